# The client of Lambda's Runtime API that runs a Python handler (python3.6 and later).
#
# It speaks HTTP on a bare socket, since http.client costs more than most
# handlers; it imports nothing that a small handler does not need itself. What a
# handler sees (context, logging, errors) follows AWS's own client, awslambdaric.


def tollgate_runtime():
    import json
    import os
    import socket
    import sys
    import time

    root = os.environ.get("LAMBDA_TASK_ROOT") or os.getcwd()
    if sys.path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]
    sys.path.insert(0, root)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")

    # Compiled code is trusted by its source's second and size. A file saved twice in
    # a second would stay as it was first: what was saved just now is not kept.
    loader = getattr(sys.modules.get("_frozen_importlib_external"), "SourceFileLoader", None)
    keep = getattr(loader, "_cache_bytecode", None)
    if keep is not None:
        def keep_settled(self, source_path, bytecode_path, data):
            if time.time() - os.stat(source_path).st_mtime > 2:
                keep(self, source_path, bytecode_path, data)

        loader._cache_bytecode = keep_settled

    host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    base = "/2018-06-01/runtime/"
    next_call = "GET %sinvocation/next HTTP/1.1\r\nHost: %s\r\n\r\n" % (base, host)
    next_call = next_call.encode()
    kept = [b""]
    current = [None]

    def read_answer():
        data = kept[0]
        while True:
            end = data.find(b"\r\n\r\n")
            if end >= 0:
                break
            piece = connection.recv(65536)
            if not piece:
                # The gateway is gone.
                os._exit(0)
            data = data + piece if data else piece
        headers = {}
        for line in data[:end].decode("utf-8", "replace").split("\r\n")[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        start = end + 4
        length = int(headers.get("content-length", 0))
        missing = start + length - len(data)
        if missing <= 0:
            kept[0] = data[start + length:]
            return headers, data[start:start + length]
        body = bytearray(length)
        body[:len(data) - start] = data[start:]
        view = memoryview(body)[length - missing:]
        while missing:
            count = connection.recv_into(view)
            if not count:
                os._exit(0)
            view = view[count:]
            missing -= count
        kept[0] = b""
        return headers, bytes(body)

    def flush():
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass

    def post(path, body, kind, extra="", then=b""):
        head = "POST %s%s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\n%sContent-Length: %d\r\n\r\n" % (
            base, path, host, kind, extra, len(body))
        flush()
        connection.sendall(head.encode() + body + then)

    # json has no way to write a Decimal's digits as a number: they are marked
    # and the marks taken off again. Only a handler that returns one pays.
    mark = "\ue000%s" % os.urandom(8).hex()
    marked = [False]

    def encode_special(value):
        decimal = sys.modules.get("decimal")
        if decimal is not None and isinstance(value, decimal.Decimal):
            if value.is_nan():
                return float("nan")
            marked[0] = True
            return "%s%s%s" % (mark, value, mark)
        raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)

    # Up to Python 3.11 Lambda escapes what is not ASCII.
    version = os.environ.get("AWS_EXECUTION_ENV", "").rpartition("python3.")[2]
    escape = version.isdigit() and int(version) < 12
    encode = json.JSONEncoder(ensure_ascii=escape, default=encode_special).encode

    def to_json(value):
        text = encode(value)
        if marked[0]:
            marked[0] = False
            quoted = encode(mark)[1:-1]
            text = text.replace('"' + quoted, "").replace(quoted + '"', "")
        return text.encode("utf-8", "surrogatepass")

    class Fault(Exception):
        def __init__(self, kind, message, trace=None):
            self.kind, self.message, self.trace = kind, message, trace

    def describe(error, request_id=""):
        if isinstance(error, Fault):
            kind, message, trace = error.kind, error.message, error.trace or []
        else:
            import traceback
            frames = [(f.filename, f.lineno, f.name, f.line)
                      for f in traceback.extract_tb(error.__traceback__)]
            while frames and frames[0][0] in ("<string>", globals().get("__file__")):
                frames.pop(0)
            kind, message, trace = type(error).__name__, str(error), traceback.format_list(frames)
        result = {"errorMessage": message, "errorType": kind,
                  "requestId": request_id, "stackTrace": trace}
        return kind, to_json(result)

    class Fields(object):
        __slots__ = ()

        def __init__(self, values):
            for name in self.__slots__:
                setattr(self, name, values.get(name))

        def __repr__(self):
            inner = ",".join("%s=%s" % (n, getattr(self, n)) for n in self.__slots__)
            return "%s([%s])" % (type(self).__name__, inner)

    class Client(Fields):
        __slots__ = ["installation_id", "app_title", "app_version_name",
                     "app_version_code", "app_package_name"]

    class ClientContext(Fields):
        __slots__ = ["custom", "env", "client"]

        def __init__(self, values):
            Fields.__init__(self, values)
            if self.client is not None:
                self.client = Client(self.client)

    class CognitoIdentity(Fields):
        __slots__ = ["cognito_identity_id", "cognito_identity_pool_id"]

    environment = os.environ.get
    log_group = environment("AWS_LAMBDA_LOG_GROUP_NAME")
    log_stream = environment("AWS_LAMBDA_LOG_STREAM_NAME")
    function_name = environment("AWS_LAMBDA_FUNCTION_NAME")
    function_version = environment("AWS_LAMBDA_FUNCTION_VERSION")
    memory_size = environment("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")

    def read_header(headers, name, title):
        text = headers.get(name)
        if text is None:
            return None
        try:
            return json.loads(text)
        except Exception as error:
            raise Fault("Runtime.LambdaContextUnmarshalError",
                        "Unable to parse %s JSON: %s" % (title, error))

    class LambdaContext(object):
        def __init__(self, headers):
            self.aws_request_id = headers["lambda-runtime-aws-request-id"]
            self.log_group_name = log_group
            self.log_stream_name = log_stream
            self.function_name = function_name
            self.memory_limit_in_mb = memory_size
            self.function_version = function_version
            self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
            self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
            client = read_header(headers, "lambda-runtime-client-context", "Client Context")
            self.client_context = None if client is None else ClientContext(client)
            identity = read_header(headers, "lambda-runtime-cognito-identity", "Cognito Identity")
            identity = identity or {}
            self.identity = CognitoIdentity({
                "cognito_identity_id": identity.get("cognitoIdentityId"),
                "cognito_identity_pool_id": identity.get("cognitoIdentityPoolId"),
            })
            self._deadline = int(headers.get("lambda-runtime-deadline-ms", 0))

        def get_remaining_time_in_millis(self):
            return max(self._deadline - int(time.time() * 1000), 0)

        def log(self, message):
            sys.stdout.write(str(message))

        def __repr__(self):
            names = ("aws_request_id", "log_group_name", "log_stream_name", "function_name",
                     "memory_limit_in_mb", "function_version", "invoked_function_arn",
                     "client_context", "identity", "tenant_id")
            inner = ",".join("%s=%s" % (n, getattr(self, n)) for n in names)
            return "LambdaContext([%s])" % inner

    # Lambda gives the root logger a handler before the function is loaded.
    # `logging` takes a tenth of a cold start, so that waits for who imports it.
    def prepare_logging(logging):
        class RequestId(logging.Filter):
            def filter(self, record):
                record.aws_request_id = current[0] or ""
                return True

        class ToStdout(logging.Handler):
            def emit(self, record):
                try:
                    sys.stdout.write(self.format(record))
                except Exception:
                    self.handleError(record)

        logging.Formatter.converter = time.gmtime
        handler = ToStdout()
        handler.setFormatter(logging.Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n",
            "%Y-%m-%dT%H:%M:%S"))
        handler.addFilter(RequestId())
        logger = logging.getLogger()
        level = environment("AWS_LAMBDA_LOG_LEVEL")
        if level in ("DEBUG", "INFO", "ERROR", "CRITICAL", "WARNING"):
            logger.setLevel(level)
        logger.addHandler(handler)

    class LoggingFinder(object):
        def find_spec(self, name, path=None, target=None):
            if name != "logging":
                return None
            sys.meta_path.remove(self)
            from importlib.machinery import PathFinder
            spec = PathFinder.find_spec(name, path)
            if spec is None or not hasattr(spec.loader, "exec_module"):
                return spec
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                prepare_logging(module)

            spec.loader.exec_module = exec_module
            return spec

    if "logging" in sys.modules:
        prepare_logging(sys.modules["logging"])
    else:
        sys.meta_path.insert(0, LoggingFinder())

    def load(name):
        module_name, dot, function = name.rpartition(".")
        if not dot:
            raise Fault("Runtime.MalformedHandlerName",
                        "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % name)
        if module_name.split(".")[0] in sys.builtin_module_names:
            raise Fault("Runtime.BuiltInModuleConflict",
                        "Cannot use built-in module %s as a handler module" % module_name)
        import importlib
        try:
            module = importlib.import_module(module_name.replace("/", "."))
        except ImportError as error:
            raise Fault("Runtime.ImportModuleError",
                        "Unable to import module '%s': %s" % (module_name, error))
        except SyntaxError as error:
            raise Fault("Runtime.UserCodeSyntaxError",
                        "Syntax error in module '%s': %s" % (module_name, error),
                        ['  File "%s" Line %s\n    %s' % (error.filename, error.lineno, error.text)])
        try:
            return getattr(module, function)
        except AttributeError:
            raise Fault("Runtime.HandlerNotFound",
                        "Handler '%s' missing on module '%s'" % (function, module_name))

    try:
        handler = load(environment("_HANDLER", ""))
    except Exception as error:
        kind, body = describe(error)
        post("init/error", body, "application/json",
             "Lambda-Runtime-Function-Error-Type: %s\r\n" % kind)
        read_answer()
        sys.exit(1)

    # Beyond Lambda's own runtime: a coroutine is run to its end, always on the
    # same loop, so that clients kept between calls go on working.
    loop = [None]

    def finish(coroutine):
        import asyncio
        if loop[0] is None:
            loop[0] = asyncio.new_event_loop()
            asyncio.set_event_loop(loop[0])

        async def run():
            return await coroutine

        return loop[0].run_until_complete(run())

    def run_once(headers, event):
        context = LambdaContext(headers)
        try:
            event = json.loads(event)
        except Exception as error:
            raise Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error)
        result = handler(event, context)
        if hasattr(result, "__await__"):
            result = finish(result)
        if isinstance(result, bytes):
            return result, "application/unknown"
        try:
            return to_json(result), "application/json"
        except Exception as error:
            raise Fault("Runtime.MarshalError", "Unable to marshal response: %s" % error)

    connection.sendall(next_call)
    while True:
        headers, event = read_answer()
        request_id = current[0] = headers["lambda-runtime-aws-request-id"]
        trace_id = headers.get("lambda-runtime-trace-id")
        if trace_id is not None:
            os.environ["_X_AMZN_TRACE_ID"] = trace_id
        elif "_X_AMZN_TRACE_ID" in os.environ:
            del os.environ["_X_AMZN_TRACE_ID"]
        # The call for the next event travels with the answer: one way less.
        try:
            result, kind = run_once(headers, event)
        except Exception as error:
            kind, body = describe(error, request_id)
            post("invocation/%s/error" % request_id, body, "application/json",
                 "Lambda-Runtime-Function-Error-Type: %s\r\n"
                 % kind.encode("ascii", "replace").decode(), next_call)
            del error, body
        else:
            post("invocation/%s/response" % request_id, result, kind, "", next_call)
            del result
        del event
        read_answer()


tollgate_runtime()
