"""Saves files under a running gateway, and watches that no request fails meanwhile.

Prints how long it took from a save to the first answer of the new code.
"""

import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import textwrap
import threading
import time
import unittest

from gateway import Gateway, clean_environment, program

FUNCTIONS = {
    "py": ("python3.12", "app.py", "def handler(event, context):\n    return {'statusCode': 200, 'body': 'VERSION'}\n"),
    "js": ("nodejs20.x", "app.js", "exports.handler = async () => ({statusCode: 200, body: 'VERSION'});\n"),
}
MOST_MILLISECONDS = 300
REQUESTS = 1000


def definition(routes, shared="shared.yaml"):
    paths = "".join(
        textwrap.dedent(
            f"""
            {path}:
              get:
                x-amazon-apigateway-integration:
                  type: aws_proxy
                  httpMethod: POST
                  uri: arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:{function}/invocations
            """
        )
        for path, function in routes.items()
    )
    paths += f"\n/shared:\n  $ref: './{shared}'\n"
    return "openapi: 3.0.1\ninfo: {title: reloaded, version: '1'}\npaths:\n" + textwrap.indent(paths, "  ")


def mock(body):
    return textwrap.dedent(
        f"""
        get:
          x-amazon-apigateway-integration:
            type: mock
            requestTemplates: {{application/json: '{{"statusCode": 200}}'}}
            responses: {{default: {{statusCode: '200', responseTemplates: {{application/json: '{body}'}}}}}}
          responses: {{'200': {{description: OK}}}}
        """
    )


def save(path, text):
    """As most editors do: a new file, renamed over the old one."""
    new = path.with_name(path.name + ".tmp")
    new.write_text(text)
    new.replace(path)


class Load:
    """Threads that send requests one after the other and keep every answer."""

    def __init__(self, gateway, paths, threads=4):
        self.gateway, self.paths = gateway, paths
        self.answers, self.failures, self.stop = [], [], threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(index,)) for index in range(threads)]

    def run(self, index):
        while not self.stop.is_set():
            path = self.paths[index % len(self.paths)]
            index += 1
            try:
                answer = self.gateway.get(path)
            except OSError as error:
                self.failures.append((path, repr(error)))
                continue
            self.answers.append((path, answer.body))
            if answer.status != 200:
                self.failures.append((path, answer))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


class Reload(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.write_functions("1")
        (self.folder / "shared.yaml").write_text(mock("one"))
        (self.folder / "api.yaml").write_text(definition({"/py": "py", "/js": "js"}))
        self.configure()
        self.gateway = None

    def configure(self, more=""):
        functions = ", ".join(
            f"{name}: {{runtime: {runtime}, handler: app.handler, codeUri: {name}, timeout: 20}}"
            for name, (runtime, _, _) in FUNCTIONS.items()
        )
        save(self.folder / "tollgate.yaml", f"functions: {{{functions}}}\n{more}")

    def write_functions(self, version, only=None):
        for name, (_, file, text) in FUNCTIONS.items():
            if only in (None, name):
                (self.folder / name).mkdir(exist_ok=True)
                save(self.folder / name / file, text.replace("VERSION", version))

    def start(self, *arguments):
        self.gateway = Gateway("api.yaml", "--watch", "--admin-port", "off", *arguments, cwd=self.folder)
        self.gateway.__enter__()
        self.addCleanup(self.gateway.__exit__)
        return self.gateway

    def body(self, path):
        answer = self.gateway.get(path)
        self.assertEqual(answer.status, 200, answer)
        return answer.body.decode()

    def until(self, wanted, what):
        """Asks again until `what()` gives `wanted`."""
        deadline = time.monotonic() + 20
        while (seen := what()) != wanted:
            if time.monotonic() > deadline:
                self.fail(f"{seen!r} instead of {wanted!r}; the gateway said:\n{self.gateway.log()}")
            time.sleep(0.001)

    def said(self, words, times=1):
        self.until(True, lambda: self.gateway.log().count(words) >= times)

    def test_the_first_answer_of_new_code_comes_soon_and_no_request_fails(self):
        self.start()
        for name in FUNCTIONS:
            self.assertEqual(self.body(f"/{name}"), "1")
        for name in FUNCTIONS:
            times = []
            for version in range(2, 9):
                before = time.perf_counter()
                self.write_functions(str(version), name)
                self.until(str(version), lambda: self.body(f"/{name}"))
                times.append((time.perf_counter() - before) * 1000)
            times.sort()
            print(
                f"from save to the first answer of new code, {name}: "
                f"median {times[len(times) // 2]:.0f} ms, best {times[0]:.0f} ms, worst {times[-1]:.0f} ms"
            )
            # The machine may be busy with other work: the best shows what reloading itself takes.
            self.assertLess(times[0], MOST_MILLISECONDS)

        with Load(self.gateway, ["/py", "/js", "/shared"]) as load:
            for version in range(10, 1000):
                self.write_functions(str(version))
                save(self.folder / "shared.yaml", mock(f"version {version}"))
                save(self.folder / "api.yaml", definition({"/py": "py", "/js": "js", f"/more{version}": "py"}))
                for path in ("/py", "/js"):
                    self.until(str(version), lambda: self.body(path))
                self.until(f"version {version}", lambda: self.body("/shared"))
                if len(load.answers) >= REQUESTS:
                    break
        self.assertEqual(load.failures, [])
        print(f"{len(load.answers)} requests during {version - 9} reloads of definition and code: none failed")

    def test_processes_stay_when_only_the_definition_changes(self):
        (self.folder / "py" / "app.py").write_text(
            "import os\ndef handler(event, context):\n    return {'statusCode': 200, 'body': str(os.getpid())}\n"
        )
        self.start()
        process = self.body("/py")

        (self.folder / "api.yaml").write_text(definition({"/py": "py", "/again": "py"}))
        self.until(200, lambda: self.gateway.get("/again").status)

        self.assertEqual(self.body("/again"), process)
        self.assertEqual(self.body("/py"), process)
        self.configure("stage: {name: other}\n")
        self.said("tollgate.yaml: reloaded")
        self.assertEqual(self.body("/py"), process)

    def test_a_request_in_flight_ends_on_the_code_it_began_with(self):
        begun = self.folder / "begun"
        go = self.folder / "go"
        slow = (
            "import os, pathlib, time\ndef handler(event, context):\n"
            f"    pathlib.Path({str(begun)!r}).touch()\n"
            f"    while not os.path.exists({str(go)!r}): time.sleep(0.005)\n"
            "    return {'statusCode': 200, 'body': 'old'}\n"
        )
        (self.folder / "py" / "app.py").write_text(slow)
        self.start()
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.body("/py")))
        thread.start()
        self.until(True, begun.exists)

        self.write_functions("new", "py")
        self.said("its next call runs the new code")
        self.assertEqual(self.body("/py"), "new")
        go.touch()
        thread.join()

        self.assertEqual(answers, ["old"])

    def test_a_wrong_file_keeps_the_old_plan_and_a_mended_one_says_so(self):
        self.start()
        good = (self.folder / "api.yaml").read_text()

        save(self.folder / "api.yaml", "openapi: 3.0.1\ninfo: {title: [\n")
        self.said("what was served before goes on")
        findings = [json.loads(line) for line in self.gateway.log().splitlines() if '"severity":"error"' in line]
        self.assertEqual([(one["file"], one["line"], one["code"]) for one in findings], [("api.yaml", 2, "E0101")])
        self.assertEqual(self.body("/shared"), "one")

        save(self.folder / "api.yaml", good.replace("/py:", "/mended:"))
        self.said("mended and reloaded")
        self.assertEqual(self.body("/mended"), "1")

        (self.folder / "shared.yaml").unlink()
        self.said("what was served before goes on", 2)
        save(self.folder / "shared.yaml", mock("back"))
        self.said("mended and reloaded", 2)
        self.assertEqual(self.body("/shared"), "back")

    def test_a_nested_stack_is_served_and_read_again_when_its_file_changes(self):
        outer = """Resources:
  Inner: {{Type: AWS::CloudFormation::Stack, Properties: {{TemplateURL: stacks/inner.yaml, Parameters: {{Word: {word}}}}}}}
"""
        inner = """Transform: AWS::Serverless-2016-10-31
Parameters: {Word: {Type: String}}
Resources:
  Say:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.11
      Handler: index.handler
      InlineCode: "import os\\ndef handler(event, context): return os.environ['WORD'] + ' of ' + context.function_name"
      Environment: {Variables: {WORD: !Ref Word}}
      Events: {Get: {Type: HttpApi, Properties: {Path: /PATH, Method: get}}}
"""
        (self.folder / "stacks").mkdir()
        save(self.folder / "stacks/inner.yaml", inner.replace("PATH", "say"))
        save(self.folder / "template.yaml", outer.format(word="one"))
        self.gateway = self.enterContext(
            Gateway("template.yaml", "--watch", "--admin-port", "off", cwd=self.folder)
        )
        self.assertEqual(self.body("/say"), "one of Inner-Say")

        save(self.folder / "template.yaml", outer.format(word="two"))
        self.until("two of Inner-Say", lambda: self.body("/say"))
        save(self.folder / "stacks/inner.yaml", inner.replace("PATH", "{broken"))
        self.said("stacks/inner.yaml changed, and cannot be served")
        self.assertEqual(self.body("/say"), "two of Inner-Say")
        save(self.folder / "stacks/inner.yaml", inner.replace("PATH", "tell"))
        self.until(200, lambda: self.gateway.get("/tell").status)
        self.assertEqual(self.body("/tell"), "two of Inner-Say")

    def test_what_needs_a_restart_is_said(self):
        self.start()

        self.configure("store: 'sqlite:state.db'\nadmin: {port: 1}\n")

        self.said("`store` of the configuration has changed")
        self.said("`admin` of the configuration has changed")
        self.assertEqual(self.body("/py"), "1")

    def test_the_store_that_nobody_named_stays_open(self):
        plans = (
            "apiKeys: [{id: a, value: a-key-of-twenty-chars}]\n"
            "usagePlans: [{id: p, apiKeys: [a], throttle: {rateLimit: 9, burstLimit: 9}}]\n"
        )
        self.configure(plans)
        self.start()
        self.assertTrue((self.folder / ".tollgate" / "state.db").exists())

        self.configure(plans + "stage: {name: other}\n")
        self.said("tollgate.yaml: reloaded")

        self.assertNotIn("takes effect at the next start", self.gateway.log())

    def test_a_configuration_that_is_written_later_counts(self):
        (self.folder / "tollgate.yaml").unlink()
        save(self.folder / "api.yaml", definition({}))
        self.start()
        self.assertEqual(self.body("/shared"), "one")

        self.configure("stage: {name: late}\n")
        self.said("tollgate.yaml: reloaded")

    def test_used_tokens_and_quotas_stay_used(self):
        save(self.folder / "shared.yaml", mock("one"))
        self.configure("stage: {methodSettings: {'*/*': {throttlingRateLimit: 0.001, throttlingBurstLimit: 2}}}\n")
        self.start()
        self.assertEqual([self.gateway.get("/shared").status for _ in range(3)], [200, 200, 429])

        save(self.folder / "api.yaml", definition({"/new": "py"}))
        self.until(200, lambda: self.gateway.get("/new").status)

        self.assertEqual(self.gateway.get("/shared").status, 429)

    def test_authorizer_answers_and_cached_responses_carry_over(self):
        counts = self.folder / "counts"
        counts.mkdir()
        code = (
            "import json, os\n"
            "def count(name):\n"
            f"    with open(os.path.join({str(counts)!r}, name), 'a') as file:\n"
            "        file.write('x')\n"
            "def handler(event, context):\n"
            "    if event.get('type') != 'TOKEN':\n"
            "        count('backend')\n"
            "        return {'statusCode': 200, 'body': 'made'}\n"
            "    count('authorizer')\n"
            "    statement = {'Effect': 'Allow', 'Action': 'execute-api:Invoke', 'Resource': '*'}\n"
            "    policy = {'Version': '2012-10-17', 'Statement': [statement]}\n"
            "    return {'principalId': 'me', 'policyDocument': policy}\n"
        )
        save(self.folder / "py" / "app.py", code)
        uri = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:py/invocations"
        authorizer = {"type": "token", "authorizerUri": uri, "authorizerResultTtlInSeconds": 300}
        scheme = {"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "custom"}
        integration = {"type": "aws_proxy", "httpMethod": "POST", "uri": uri}
        method = {"x-amazon-apigateway-integration": integration, "responses": {}}
        api = {
            "openapi": "3.0.1",
            "info": {"title": "kept", "version": "1"},
            "paths": {"/guarded": {"get": {**method, "security": [{"tok": []}]}}, "/cached": {"get": method}},
            "components": {"securitySchemes": {"tok": {**scheme, "x-amazon-apigateway-authorizer": authorizer}}},
        }
        save(self.folder / "api.yaml", json.dumps(api))
        self.configure(
            "stage: {cacheClusterEnabled: true, methodSettings: {'cached/GET': {cachingEnabled: true, cacheTtlInSeconds: 300}}}\n"
        )
        self.start()
        guarded = lambda: self.gateway.get("/guarded", ("Authorization", "a")).status
        made = lambda name: (counts / name).read_text()
        self.assertEqual([guarded(), guarded()], [200, 200])
        self.assertEqual([self.body("/cached"), self.body("/cached")], ["made", "made"])
        self.assertEqual(made("authorizer"), "x")
        self.assertEqual(made("backend"), "xxx")

        api["paths"]["/new"] = {"get": method}
        save(self.folder / "api.yaml", json.dumps(api))
        self.until(200, lambda: self.gateway.get("/new").status)
        (counts / "backend").write_text("")

        self.assertEqual((guarded(), self.body("/cached")), (200, "made"))
        self.assertEqual(made("authorizer"), "x", "the authorizer was asked again")
        self.assertEqual(made("backend"), "x", "only the guarded route calls its function again")

    @unittest.skipUnless(shutil.which("git"), "git is not here")
    def test_a_checkout_of_many_files_is_one_reload(self):
        def git(*arguments):
            command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments]
            subprocess.run(command, cwd=self.folder, check=True, capture_output=True)

        git("init", "-b", "first")
        git("add", ".")
        git("commit", "-m", "1")
        git("checkout", "-b", "second")
        self.write_functions("2")
        save(self.folder / "shared.yaml", mock("two"))
        save(self.folder / "api.yaml", definition({"/py": "py", "/js": "js", "/two": "py"}))
        for number in range(200):
            (self.folder / "py" / f"module{number}.py").write_text("")
        git("add", ".")
        git("commit", "-m", "2")
        git("checkout", "first")
        self.start()
        self.assertEqual(self.body("/py"), "1")

        git("checkout", "second")
        self.until(200, lambda: self.gateway.get("/two").status)

        self.assertEqual((self.body("/py"), self.body("/js"), self.body("/shared")), ("2", "2", "two"))
        # The log is written beside the requests.
        self.until(1, lambda: self.gateway.log().count("reloaded, "))

    def test_an_installed_dependency_is_seen_and_written_bytecode_is_not(self):
        (self.folder / "js" / "node_modules").mkdir()
        self.start()
        self.body("/js")
        (self.folder / "py" / "__pycache__").mkdir()
        (self.folder / "py" / "__pycache__" / "app.cpython-312.pyc").touch()

        (self.folder / "js" / "node_modules" / ".package-lock.json").write_text("{}")

        self.said("its next call runs the new code")
        self.assertNotIn("__pycache__", self.gateway.log())

    def test_a_hangup_reloads_even_without_watching(self):
        self.gateway = Gateway("api.yaml", "--no-watch", "--admin-port", "off", cwd=self.folder)
        with self.gateway:
            save(self.folder / "shared.yaml", mock("two"))
            self.assertEqual(self.body("/shared"), "one")

            os.kill(self.gateway.process.pid, signal.SIGHUP)

            self.until("two", lambda: self.body("/shared"))

    @unittest.skipUnless(hasattr(os, "openpty"), "there are no terminals here")
    def test_in_a_terminal_changes_are_watched_for_without_being_asked(self):
        terminal, output = os.openpty()
        self.addCleanup(os.close, terminal)
        process = subprocess.Popen(
            [program(), "serve", "api.yaml", "--port", "0", "--admin-port", "off"],
            cwd=self.folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        os.close(output)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        said = b""

        def read_until(words):
            nonlocal said
            while words not in said:
                self.assertTrue(select.select([terminal], [], [], 20)[0], said)
                said += os.read(terminal, 65536)

        read_until(b"http://")
        save(self.folder / "shared.yaml", mock("two"))
        read_until(b"shared.yaml: reloaded, ")

    def test_nothing_is_left_running_of_replaced_processes(self):
        (self.folder / "py" / "app.py").write_text(
            "import os\ndef handler(event, context):\n    return {'statusCode': 200, 'body': str(os.getpid())}\n"
        )
        self.start()
        first = int(self.body("/py"))

        (self.folder / "py" / "app.py").write_text(
            "import os\ndef handler(event, context):\n    return {'statusCode': 200, 'body': f'0{os.getpid()}'}\n"
        )
        self.until("0", lambda: self.body("/py")[0])
        second = int(self.body("/py"))

        def runs(process):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, 0)
                return True
            return False

        self.until(False, lambda: runs(first))
        self.assertTrue(runs(second))
        self.gateway.__exit__()
        self.assertFalse(runs(second))


if __name__ == "__main__":
    unittest.main()
