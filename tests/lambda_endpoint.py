"""Calls functions through the admin listener with boto3 and the AWS CLI, and from the command line.

Whatever a caller of the real Lambda sees is looked at here: results, errors, the log's end,
streams, pages, and functions that call each other.
"""

import base64
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest

import boto3
import botocore.exceptions
from botocore.config import Config

from gateway import Gateway, clean_environment, program

ADMIN = re.compile(r'"admin":"(http://127\.0\.0\.1:\d+)"')
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
ARN = "arn:aws:lambda:us-east-1:123456789012:function:"

PYTHON = textwrap.dedent(
    """
    import json, os, pathlib, sys, time

    def echo(event, context):
        return {"event": event, "id": context.aws_request_id, "arn": context.invoked_function_arn}

    def client(event, context):
        return {"custom": context.client_context.custom}

    def talk(event, context):
        for number in range(event.get("lines", 1)):
            print("line", number, "é" * event.get("width", 1))
        return "said"

    def fail(event, context):
        print("about to fail")
        raise ValueError("wrong pet")

    def mark(event, context):
        pathlib.Path(event["file"]).write_text("marked")

    def wait(event, context):
        pathlib.Path(event["begun"]).touch()
        while not os.path.exists(event["go"]):
            time.sleep(0.005)
        return "waited"

    def call(event, context):
        import http.client, urllib.parse
        url = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL_LAMBDA"])
        connection = http.client.HTTPConnection(url.hostname, url.port)
        connection.request("POST", "/2015-03-31/functions/echo/invocations", json.dumps({"from": context.function_name}))
        return json.loads(connection.getresponse().read())["event"]

    def tell(event, context):
        return {name: os.environ.get(name) for name in event}

    def fill(event, context):
        return len(bytearray(event["megabytes"] * 1024 * 1024))
    """
)
NODE = textwrap.dedent(
    """
    exports.stream = awslambda.streamifyResponse(async (event, stream) => {
      for (const piece of event.pieces) {
        stream.write(piece);
        await new Promise((done) => setImmediate(done));
      }
      stream.end();
    });
    exports.break = awslambda.streamifyResponse(async (event, stream) => {
      stream.write('begun');
      await new Promise((done) => setTimeout(done, 50));
      throw new TypeError('broke off');
    });
    """
)


def configuration(folder):
    functions = {
        name: {"runtime": "python3.12", "handler": f"app.{name}", "codeUri": "code", "timeout": 20}
        for name in ("echo", "client", "talk", "fail", "mark", "call", "wait", "tell", "fill")
    }
    functions["wait"]["reservedConcurrency"] = 1
    functions["fill"]["enforceMemory"] = True
    functions["echo"]["qualifiers"] = ["live", 3]
    functions["tell"]["environment"] = {"COLOR": "red"}
    functions["own"] = {**functions["tell"], "environment": {"AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:9"}}
    functions["gone"] = {"runtime": "python3.12", "handler": "none.handler", "codeUri": "code"}
    functions["stub"] = {"handler": "local:echo"}
    for name in ("stream", "break"):
        functions[name] = {"runtime": "nodejs20.x", "handler": f"app.{name}", "codeUri": "code", "timeout": 20}
    (folder / "code").mkdir()
    (folder / "code" / "app.py").write_text(PYTHON)
    (folder / "code" / "app.js").write_text(NODE)
    (folder / "tollgate.yaml").write_text(json.dumps({"functions": functions}))
    (folder / "api.yaml").write_text("openapi: 3.0.1\ninfo: {title: lambda, version: '1'}\npaths: {}\n")
    return list(functions)


class WithFolder(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.names = configuration(cls.folder)


class LambdaEndpoint(WithFolder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gateway = Gateway("api.yaml", "--admin-port", "0", cwd=cls.folder)
        cls.gateway.__enter__()
        cls.addClassCleanup(cls.gateway.__exit__)
        cls.admin = ADMIN.search(cls.gateway.log()).group(1)
        cls.aws = boto3.client(
            "lambda",
            endpoint_url=cls.admin,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 0}, proxies={}, read_timeout=40),
        )

    def invoke(self, name, event=None, **more):
        answer = self.aws.invoke(FunctionName=name, Payload=json.dumps(event or {}), **more)
        return answer, json.loads(answer["Payload"].read())

    def refused(self, code, call, **arguments):
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            call(**arguments)
        self.assertEqual(caught.exception.response["Error"]["Code"], code)
        return caught.exception.response

    def until(self, what):
        deadline = time.monotonic() + 20
        while not (seen := what()):
            self.assertLess(time.monotonic(), deadline, self.gateway.log())
            time.sleep(0.005)
        return seen

    def test_a_result_comes_with_the_invocations_id_and_version(self):
        answer, result = self.invoke("echo", {"a": "é"})

        self.assertEqual((answer["StatusCode"], answer["ExecutedVersion"]), (200, "$LATEST"))
        self.assertNotIn("FunctionError", answer)
        self.assertEqual(result["event"], {"a": "é"})
        self.assertEqual(result["id"], answer["ResponseMetadata"]["RequestId"])
        self.assertEqual(result["arn"], ARN + "echo")

    def test_names_arns_and_qualifiers(self):
        for name in ("echo", ARN + "echo", "123456789012:function:echo"):
            self.assertEqual(self.invoke(name)[1]["arn"], ARN + "echo")
            self.assertEqual(self.invoke(name + ":live")[1]["arn"], ARN + "echo:live")
            self.assertEqual(self.invoke(name, Qualifier="3")[1]["arn"], ARN + "echo:3")
            self.assertEqual(self.invoke(name, Qualifier="$LATEST")[1]["arn"], ARN + "echo:$LATEST")
        self.refused("InvalidParameterValueException", self.aws.invoke, FunctionName="echo:a", Qualifier="b")

    def test_an_alias_or_version_that_is_not_declared_is_not_found(self):
        for call in (
            self.aws.invoke,
            self.aws.invoke_with_response_stream,
            self.aws.get_function,
            self.aws.get_function_configuration,
        ):
            for name, more in (("echo", {"Qualifier": "dead"}), ("echo:dead", {}), (ARN + "echo", {"Qualifier": "dead"})):
                refused = self.refused("ResourceNotFoundException", call, FunctionName=name, **more)
                self.assertEqual(refused["Message"], f"Function not found: {ARN}echo:dead")
                self.assertEqual(refused["ResponseMetadata"]["HTTPStatusCode"], 404)
            self.refused("ResourceNotFoundException", call, FunctionName="talk", Qualifier="3")
        told = self.aws.get_function(FunctionName="echo", Qualifier="live")
        self.assertEqual(told["Configuration"]["FunctionArn"], ARN + "echo:live")
        self.refused("ValidationException", self.aws.invoke, FunctionName="echo", Qualifier="a b")

    def test_without_a_payload_the_event_is_an_empty_object(self):
        answer = self.aws.invoke(FunctionName="echo")
        self.assertEqual(json.loads(answer["Payload"].read())["event"], {})

    def test_the_functions_own_error_is_told_apart(self):
        answer, error = self.invoke("fail")

        self.assertEqual((answer["StatusCode"], answer["FunctionError"]), (200, "Unhandled"))
        self.assertEqual((error["errorType"], error["errorMessage"]), ("ValueError", "wrong pet"))

    def test_a_function_that_cannot_start_says_why(self):
        answer, error = self.invoke("gone")

        self.assertEqual(answer["FunctionError"], "Unhandled")
        self.assertIn("none.py does not exist", error["errorMessage"])

    def test_the_end_of_the_log(self):
        answer, _ = self.invoke("talk", {"lines": 2}, LogType="Tail")
        log = base64.b64decode(answer["LogResult"]).decode()
        request = answer["ResponseMetadata"]["RequestId"]
        self.assertTrue(log.startswith(f"START RequestId: {request} Version: $LATEST\nline 0 é\nline 1 é\nEND"), log)
        self.assertIn(f"REPORT RequestId: {request}\tDuration: ", log)

        answer, _ = self.invoke("talk", {"lines": 300, "width": 30}, LogType="Tail")
        log = base64.b64decode(answer["LogResult"])
        self.assertLessEqual(len(log), 4096)
        self.assertIn("line 299", log.decode())

        answer, _ = self.invoke("fail", LogType="Tail")
        self.assertIn("wrong pet", base64.b64decode(answer["LogResult"]).decode())
        self.assertNotIn("LogResult", self.invoke("talk")[0])

    def test_client_context(self):
        context = base64.b64encode(json.dumps({"custom": {"a": "1"}}).encode()).decode()
        self.assertEqual(self.invoke("client", ClientContext=context)[1], {"custom": {"a": "1"}})
        self.refused("InvalidRequestContentException", self.aws.invoke, FunctionName="client", ClientContext="e30")

    def test_events_are_taken_and_run(self):
        file = self.folder / "marked"
        answer = self.aws.invoke(FunctionName="mark", InvocationType="Event", Payload=json.dumps({"file": str(file)}))
        self.assertEqual((answer["StatusCode"], answer["Payload"].read()), (202, b""))
        self.until(lambda: file.exists() and file.read_text() == "marked")

    def test_a_dry_run_runs_nothing(self):
        begun, go = self.folder / "dry-begun", self.folder / "dry-go"
        event = json.dumps({"begun": str(begun), "go": str(go)})
        answer = self.aws.invoke(FunctionName="wait", InvocationType="DryRun", Payload=event)
        self.assertEqual((answer["StatusCode"], answer["Payload"].read()), (204, b""))
        # It takes one call at a time: had it run, it would wait and this would be throttled.
        go.touch()
        done = json.dumps({"begun": str(self.folder / "other-begun"), "go": str(go)})
        self.assertEqual(self.aws.invoke(FunctionName="wait", Payload=done)["Payload"].read(), b'"waited"')
        self.assertFalse(begun.exists())
        missing = "echo:dead"
        self.refused("ResourceNotFoundException", self.aws.invoke, FunctionName=missing, InvocationType="DryRun")

    def test_a_limit_on_memory_is_an_option(self):
        self.assertEqual(self.invoke("fill", {"megabytes": 32})[1], 32 * 1024 * 1024)
        answer, error = self.invoke("fill", {"megabytes": 600})
        self.assertEqual((answer["FunctionError"], error["errorType"]), ("Unhandled", "MemoryError"))

    def test_what_lambda_refuses(self):
        missing = self.refused("ResourceNotFoundException", self.aws.invoke, FunctionName="nobody:live")
        self.assertEqual(missing["Message"], f"Function not found: {ARN}nobody:live")
        self.assertEqual(missing["ResponseMetadata"]["HTTPStatusCode"], 404)
        bad = self.refused("InvalidRequestContentException", self.aws.invoke, FunctionName="echo", Payload=b"{a")
        self.assertIn("Could not parse request body into json", bad["Error"]["Message"])
        self.refused("ValidationException", self.aws.invoke, FunctionName="echo", InvocationType="Never")
        self.refused("ValidationException", self.aws.invoke, FunctionName="echo", LogType="Head")
        self.refused("ResourceNotFoundException", self.aws.get_function, FunctionName="nobody")
        self.refused("UnknownOperationException", self.aws.delete_function, FunctionName="echo")

    def test_events_that_are_too_large(self):
        large = lambda megabytes: json.dumps("x" * (megabytes * 1024 * 1024)).encode()
        refused = self.refused("RequestTooLargeException", self.aws.invoke, FunctionName="echo", Payload=large(6))
        self.assertEqual(refused["ResponseMetadata"]["HTTPStatusCode"], 413)
        self.refused(
            "RequestTooLargeException", self.aws.invoke, FunctionName="echo", InvocationType="Event", Payload=large(1)
        )
        self.assertEqual(len(self.invoke("echo", {"a": "x" * 2_000_000})[1]["event"]["a"]), 2_000_000)

    def test_a_function_with_reserved_concurrency_is_throttled(self):
        begun, go = self.folder / "begun", self.folder / "go"
        event = {"begun": str(begun), "go": str(go)}
        results = []
        thread = threading.Thread(target=lambda: results.append(self.invoke("wait", event)[1]))
        thread.start()
        self.until(begun.exists)

        refused = self.refused("TooManyRequestsException", self.aws.invoke, FunctionName="wait", Payload=json.dumps(event))
        go.touch()
        thread.join()

        self.assertEqual(refused["ResponseMetadata"]["HTTPStatusCode"], 429)
        self.assertEqual(refused["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded")
        self.assertEqual(results, ["waited"])

    def test_streams_come_in_pieces_with_an_end(self):
        def stream(name, **event):
            answer = self.aws.invoke_with_response_stream(
                FunctionName=name, Payload=json.dumps(event), LogType="Tail"
            )
            events = list(answer["EventStream"])
            pieces = [event["PayloadChunk"]["Payload"] for event in events if "PayloadChunk" in event]
            self.assertEqual([list(event) for event in events[-1:]], [["InvokeComplete"]])
            return b"".join(pieces), events[-1]["InvokeComplete"]

        body, end = stream("stream", pieces=["one ", "two ", "three"])
        self.assertEqual(body, b"one two three")
        self.assertNotIn("ErrorCode", end)
        self.assertIn("REPORT", base64.b64decode(end["LogResult"]).decode())

        body, end = stream("break")
        self.assertEqual((body, end["ErrorCode"]), (b"begun", "Unhandled"))
        self.assertEqual(json.loads(end["ErrorDetails"])["errorMessage"], "broke off")

        body, end = stream("echo", a=1)
        self.assertEqual(json.loads(body)["event"], {"a": 1})
        body, end = stream("fail")
        self.assertEqual((body, json.loads(end["ErrorDetails"])["errorMessage"]), (b"", "wrong pet"))
        self.refused("ResourceNotFoundException", self.aws.invoke_with_response_stream, FunctionName="nobody")

    def test_functions_are_listed_in_pages_and_described(self):
        pages = list(self.aws.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 4}))
        self.assertEqual([one["FunctionName"] for page in pages for one in page["Functions"]], self.names)
        self.assertEqual(len(pages), -(-len(self.names) // 4))
        self.refused("InvalidParameterValueException", self.aws.list_functions, Marker="nowhere")

        told = self.aws.get_function(FunctionName="wait")
        self.assertEqual(told["Concurrency"]["ReservedConcurrentExecutions"], 1)
        self.assertEqual(told["Configuration"]["FunctionArn"], ARN + "wait")
        self.assertTrue(told["Code"]["Location"].startswith("file://"))
        configuration = self.aws.get_function_configuration(FunctionName="tell")
        self.assertEqual(configuration["Environment"]["Variables"], {"COLOR": "red"})
        self.assertEqual((configuration["Runtime"], configuration["Handler"]), ("python3.12", "app.tell"))
        self.assertEqual((configuration["Timeout"], configuration["MemorySize"], configuration["State"]), (20, 128, "Active"))
        self.aws.get_waiter("function_active_v2").wait(FunctionName="tell")

    def test_functions_call_each_other(self):
        self.assertEqual(self.invoke("call")[1], {"from": "call"})

    def test_functions_are_told_where_lambda_is_unless_they_say_so_themselves(self):
        wanted = ["AWS_ENDPOINT_URL_LAMBDA", "AWS_ACCESS_KEY_ID"]
        self.assertEqual(self.invoke("tell", wanted)[1], {wanted[0]: self.admin, wanted[1]: "local"})
        self.assertEqual(self.invoke("own", wanted[:1])[1], {wanted[0]: "http://127.0.0.1:9"})

    def test_a_page_of_another_origin_calls_nothing(self):
        host, port = self.admin.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as stream:
            stream.sendall(
                b"POST /2015-03-31/functions/echo/invocations HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                b"Origin: http://evil.example\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
            )
            self.assertIn(b" 403 ", stream.recv(4096).splitlines()[0])

    def test_the_aws_command_line(self):
        aws = pathlib.Path(sys.executable).with_name("aws")
        out = self.folder / "out.json"

        def run(*arguments):
            output = subprocess.run(
                [str(aws), "lambda", *arguments, "--endpoint-url", self.admin, "--output", "json"],
                env=clean_environment(**CREDENTIALS, HOME=str(self.folder)),
                capture_output=True,
                text=True,
            )
            self.assertEqual(output.returncode, 0, output.stderr)
            return json.loads(output.stdout) if output.stdout.strip() else None

        told = run("invoke", "--function-name", "echo", "--payload", '{"a":1}', "--log-type", "Tail", str(out))
        self.assertEqual((told["StatusCode"], told["ExecutedVersion"]), (200, "$LATEST"))
        self.assertIn(b"REPORT", base64.b64decode(told["LogResult"]))
        self.assertEqual(json.loads(out.read_text())["event"], {"a": 1})
        self.assertEqual(run("invoke", "--function-name", "fail", str(out))["FunctionError"], "Unhandled")
        self.assertEqual(len(run("list-functions")["Functions"]), len(self.names))
        self.assertEqual(run("get-function", "--function-name", ARN + "echo")["Configuration"]["FunctionName"], "echo")


class SwitchedOff(WithFolder):
    def test_functions_are_told_nothing_where_that_is_switched_off(self):
        settings = json.loads((self.folder / "tollgate.yaml").read_text())
        settings["admin"] = {"functionEndpoint": False}
        (self.folder / "off.yaml").write_text(json.dumps(settings))
        with Gateway("api.yaml", "--config", "off.yaml", "--admin-port", "0", cwd=self.folder) as gateway:
            admin = ADMIN.search(gateway.log()).group(1)
            output = subprocess.run(
                ["curl", "-s", f"{admin}/2015-03-31/functions/tell/invocations", "-d", '["AWS_ENDPOINT_URL_LAMBDA"]'],
                capture_output=True,
                check=True,
            )
        self.assertEqual(json.loads(output.stdout), {"AWS_ENDPOINT_URL_LAMBDA": None})


class CommandLine(WithFolder):
    def run_program(self, *arguments, code=0, given=None):
        output = subprocess.run(
            [program(), *arguments], cwd=self.folder, env=clean_environment(), input=given, capture_output=True, text=True
        )
        self.assertEqual(output.returncode, code, output)
        return output

    def test_one_function_is_called_without_a_gateway(self):
        (self.folder / "event.json").write_text('{"lines": 1}')

        output = self.run_program("invoke", "talk", "--event", "event.json")
        self.assertEqual(output.stdout, '"said"\n')
        self.assertIn("line 0", output.stderr)
        self.assertIn("REPORT", output.stderr)

        output = self.run_program("invoke", "echo", "--event", "-", "--json", given='{"a": 1}')
        told = json.loads(output.stdout)
        self.assertEqual((told["functionError"], told["payload"]["event"]), (None, {"a": 1}))

    def test_a_failing_function_ends_with_one_and_a_missing_one_with_two(self):
        output = self.run_program("invoke", "fail", code=1)
        self.assertEqual(json.loads(output.stdout)["errorMessage"], "wrong pet")
        output = self.run_program("invoke", "ecko", code=2)
        self.assertIn("did you mean `echo`?", output.stderr)
        output = self.run_program("invoke", "echo:dead", code=2)
        self.assertIn("no alias or version `dead`", output.stderr)
        output = self.run_program("invoke", "echo", "--event", "-", code=2, given="{")
        self.assertIn("the event is no JSON", output.stderr)
        output = self.run_program("invoke", "gone", code=2)
        self.assertIn("none.py does not exist", output.stderr)

    def test_variables_of_a_file_go_behind_the_functions_own(self):
        (self.folder / "all.env").write_text("# for all functions\nCOLOR=blue\nexport SIZE='very large'\n")
        output = self.run_program("invoke", "tell", "--env-file", "all.env", "--event", "-", given='["COLOR", "SIZE"]')
        self.assertEqual(json.loads(output.stdout), {"COLOR": "red", "SIZE": "very large"})

    def test_a_configuration_alone_will_do(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            configuration(folder)
            (folder / "api.yaml").unlink()
            output = subprocess.run(
                [program(), "invoke", "talk"], cwd=folder, env=clean_environment(), capture_output=True, text=True
            )
            self.assertEqual((output.returncode, output.stdout), (0, '"said"\n'), output)

    def test_a_sample_event_goes_into_a_function(self):
        event = self.run_program("event", "http", "--path", "/pets/7?full=1", "--resource", "/pets/{id}").stdout
        told = json.loads(self.run_program("invoke", "echo", "--event", "-", given=event).stdout)["event"]
        self.assertEqual((told["version"], told["routeKey"], told["rawPath"]), ("2.0", "GET /pets/{id}", "/pets/7"))
        self.assertEqual((told["pathParameters"], told["queryStringParameters"]), ({"id": "7"}, {"full": "1"}))

    def event(self, *arguments):
        return json.loads(self.run_program("event", *arguments).stdout)

    def test_events_of_every_kind(self):
        rest = self.event(
            "rest", "-X", "post", "--path", "/a%20b", "--header", "X-Pet: rex", "--query", "q=ä b", "--body", "hi",
            "--stage", "prod", "--stage-variable", "alias=live", "--source-ip", "192.0.2.1",
        )
        self.assertEqual((rest["httpMethod"], rest["path"], rest["body"]), ("POST", "/a%20b", "hi"))
        self.assertEqual((rest["headers"]["X-Pet"], rest["queryStringParameters"]), ("rex", {"q": "ä b"}))
        self.assertEqual((rest["stageVariables"], rest["requestContext"]["path"]), ({"alias": "live"}, "/prod/a%20b"))
        self.assertEqual(rest["requestContext"]["identity"]["sourceIp"], "192.0.2.1")

        self.assertEqual(self.event("http-v1")["version"], "1.0")
        binary = self.event("rest", "--header", "Content-Type: image/png", "--binary-media-type", "image/*", "--body", "x")
        self.assertTrue(binary["isBase64Encoded"])

        connect = self.event("websocket", "--route-key", "$connect", "--query", "token=1")
        self.assertEqual(connect["requestContext"]["eventType"], "CONNECT")
        self.assertEqual(connect["queryStringParameters"], {"token": "1"})
        message = self.event("websocket", "--route-key", "send", "--body", '{"action":"send"}')
        self.assertEqual((message["body"], message["requestContext"]["routeKey"]), ('{"action":"send"}', "send"))
        self.assertNotIn("headers", message)
        gone = self.event("websocket", "--route-key", "$disconnect")["requestContext"]
        self.assertEqual((gone["eventType"], gone["disconnectStatusCode"]), ("DISCONNECT", 1005))

        token = self.event("authorizer-token", "--token", "secret", "--path", "/pets")
        self.assertEqual((token["type"], token["authorizationToken"]), ("TOKEN", "secret"))
        self.assertTrue(token["methodArn"].endswith("/dev/GET/pets"), token)
        self.assertEqual(self.event("authorizer", "--path", "/pets")["type"], "REQUEST")
        simple = self.event("authorizer-http", "--token", "secret", "--path", "/pets")
        self.assertEqual((simple["version"], simple["identitySource"]), ("2.0", ["secret"]))
        self.assertEqual(simple["headers"]["authorization"], "secret")
        header = self.event("authorizer-http-v1", "-H", "Authorization: Bearer x", "--path", "/pets")
        self.assertEqual((header["identitySource"], header["authorizationToken"]), ("Bearer x", "Bearer x"))
        given = {name: value for name, value in header["headers"].items() if name.lower() == "authorization"}
        self.assertEqual(given, {"Authorization": "Bearer x"})

    def test_an_event_that_no_request_can_have_is_refused(self):
        for arguments in (["--path", "pets"], ["--header", "x"], ["--path", "/a", "--resource", "/b/{c}"]):
            self.run_program("event", "http", *arguments, code=2)

    def test_an_option_that_an_event_has_no_place_for_is_refused(self):
        for arguments in (
            ["websocket", "--path", "/pets"], ["websocket", "-X", "POST"], ["websocket", "--resource", "/pets/{id}"],
            ["websocket", "--route-key", "$connect", "--body", "hi"], ["http", "--token", "x"], ["rest", "--route-key", "a"],
            ["http", "--binary-media-type", "image/png"], ["authorizer", "--body", "x"], ["authorizer-token", "-H", "a: b"],
            ["authorizer-http", "--token", "x", "-H", "authorization: y"], ["authorizer-http", "--token", "a\nb"],
        ):
            said = self.run_program("event", *arguments, code=2)
            self.assertIn("--", said.stderr, arguments)


if __name__ == "__main__":
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    unittest.main()
