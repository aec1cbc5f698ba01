"""Attaches to functions that run under `--debug`: debugpy for Python, the inspector for Node.js.

A breakpoint is held for longer than the function and the integration may take: nothing times out.
"""

import asyncio
import json
import pathlib
import re
import shutil
import socket
import sys
import tempfile
import textwrap
import threading
import time
import unittest
import urllib.request

import websockets

from gateway import ROOT, Gateway

ATTACH = re.compile(r"debug (\w+): attach to 127\.0\.0\.1:(\d+)")
PYTHON = "def handler(event, context):\n    answer = 'from py'\n    return {'statusCode': 200, 'body': answer}\n"
NODE = "exports.handler = async () => ({statusCode: 200, body: 'from js'});\n"


def definition():
    uri = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function"
    paths = "".join(
        f"  /{name}:\n    get:\n      x-amazon-apigateway-integration:\n"
        f"        {{type: aws_proxy, httpMethod: POST, timeoutInMillis: 50, uri: '{uri}:{name}/invocations'}}\n"
        for name in ("py", "js")
    )
    return f"openapi: 3.0.1\ninfo: {{title: debugged, version: '1'}}\npaths:\n{paths}"


class Adapter:
    """A client of the Debug Adapter Protocol."""

    def __init__(self, port):
        deadline = time.monotonic() + 20
        while True:
            try:
                self.stream = socket.create_connection(("127.0.0.1", port), timeout=20)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self.file = self.stream.makefile("rb")
        self.number = 0
        self.seen = []

    def send(self, command, **arguments):
        self.number += 1
        body = json.dumps({"seq": self.number, "type": "request", "command": command, "arguments": arguments}).encode()
        self.stream.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return self.number

    def read(self):
        length = 0
        while (line := self.file.readline().strip()) or not length:
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return json.loads(self.file.read(length))

    def until(self, fits):
        for message in self.seen:
            if fits(message):
                self.seen.remove(message)
                return message
        while not fits(message := self.read()):
            self.seen.append(message)
        return message

    def response(self, number):
        message = self.until(lambda message: message["type"] == "response" and message["request_seq"] == number)
        assert message["success"], message
        return message.get("body", {})

    def ask(self, command, **arguments):
        return self.response(self.send(command, **arguments))

    def event(self, name):
        return self.until(lambda message: message["type"] == "event" and message["event"] == name)

    def close(self):
        self.file.close()
        self.stream.close()


class Debugging(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()
        for name, file, text, runtime in (("py", "app.py", PYTHON, "python3.12"), ("js", "app.js", NODE, "nodejs20.x")):
            (self.folder / name).mkdir()
            (self.folder / name / file).write_text(text)
        functions = {
            name: {"runtime": runtime, "handler": "app.handler", "codeUri": name, "timeout": 1}
            for name, runtime in (("py", "python3.12"), ("js", "nodejs20.x"))
        }
        (self.folder / "tollgate.yaml").write_text(json.dumps({"functions": functions}))
        (self.folder / "api.yaml").write_text(definition())
        # The environment that has debugpy is the project's.
        (self.folder / ".venv").symlink_to(sys.prefix)

    def start(self, *arguments):
        self.gateway = Gateway("api.yaml", "--admin-port", "off", *arguments, cwd=self.folder)
        self.gateway.__enter__()
        self.addCleanup(self.gateway.__exit__)

    def until(self, what):
        deadline = time.monotonic() + 20
        while not (seen := what()):
            self.assertLess(time.monotonic(), deadline, self.gateway.log())
            time.sleep(0.01)
        return seen

    def port(self, function):
        return self.until(lambda: {name: int(port) for name, port in ATTACH.findall(self.gateway.log())}.get(function))

    def get_in_thread(self, path):
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.gateway.get(path)))
        thread.start()
        return thread, answers

    def attach(self, adapter):
        self.assertIn("supportsConfigurationDoneRequest", adapter.ask("initialize", adapterID="test", pathFormat="path"))
        attached = adapter.send("attach", justMyCode=False)
        adapter.event("initialized")
        return attached

    def hold(self, adapter, attached):
        """Stops in the handler for longer than all limits, then lets it go on."""
        source = {"path": str(self.folder / "py" / "app.py")}
        told = adapter.ask("setBreakpoints", source=source, breakpoints=[{"line": 3}])
        self.assertEqual(len(told["breakpoints"]), 1)
        adapter.ask("configurationDone")
        adapter.response(attached)
        thread, answers = self.get_in_thread("/py")
        stopped = adapter.event("stopped")["body"]
        frame = adapter.ask("stackTrace", threadId=stopped["threadId"])["stackFrames"][0]
        self.assertEqual((frame["name"], frame["line"]), ("handler", 3))
        # Not a wait for something: this is how long a developer looks at it.
        time.sleep(1.3)
        self.assertEqual(answers, [])
        adapter.ask("continue", threadId=stopped["threadId"])
        thread.join()
        self.assertEqual((answers[0].status, answers[0].body), (200, b"from py"))

    def test_debugpy_stops_at_a_breakpoint_without_a_timeout(self):
        self.start("--debug", "py:0", "--watch")
        adapter = Adapter(self.port("py"))
        self.hold(adapter, self.attach(adapter))
        adapter.close()

        # Saved code comes with its debugger at the same port.
        (self.folder / "py" / "app.py").write_text(PYTHON.replace("from py", "from new"))
        self.until(lambda: "its next call runs the new code" in self.gateway.log())
        self.until(lambda: self.gateway.get("/py").body == b"from new")
        adapter = Adapter(self.port("py"))
        self.attach(adapter)
        adapter.close()

    def test_an_authorizer_is_waited_for_while_it_is_debugged(self):
        # Longer than its own second, and than the ten that API Gateway gives authorizers.
        (self.folder / "py" / "app.py").write_text(
            "import time\ndef handler(event, context):\n    time.sleep(10.5)\n    return {'isAuthorized': True}\n"
        )
        uri = re.search(r"uri: '(.*):py/invocations'", definition()).group(1)
        authorizer = {
            "type": "request", "identitySource": "$request.header.authorization", "authorizerPayloadFormatVersion": "2.0",
            "enableSimpleResponses": True, "authorizerUri": f"{uri}:py/invocations",
        }
        document = {
            "openapi": "3.0.1", "info": {"title": "debugged", "version": "1"},
            "components": {"securitySchemes": {"py": {
                "type": "apiKey", "name": "authorization", "in": "header", "x-amazon-apigateway-authorizer": authorizer,
            }}},
            "paths": {"/js": {"get": {"security": [{"py": []}], "x-amazon-apigateway-integration": {
                "type": "aws_proxy", "httpMethod": "POST", "payloadFormatVersion": "2.0", "uri": f"{uri}:js/invocations",
            }}}},
        }
        (self.folder / "api.yaml").write_text(json.dumps(document))
        self.start("--debug", "py:0")
        answer = self.gateway.get("/js", ("authorization", "x"))
        self.assertEqual((answer.status, answer.body), (200, b"from js"), self.gateway.log())

    def test_code_can_wait_for_debugpy(self):
        self.start("--debug", "py:0", "--debug-wait")
        thread, answers = self.get_in_thread("/py")
        adapter = Adapter(self.port("py"))
        attached = self.attach(adapter)
        self.assertEqual(answers, [])
        adapter.ask("configurationDone")
        adapter.response(attached)
        thread.join()
        self.assertEqual(answers[0].body, b"from py")
        adapter.close()

    def targets(self, port):
        def ask():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
                    return json.load(answer)
            except OSError:
                return None

        return self.until(ask)

    @unittest.skipUnless(shutil.which("node"), "node is not here")
    def test_the_inspector_of_node_listens_before_the_first_call(self):
        self.start("--debug", "js:0")
        (target,) = self.targets(self.port("js"))
        self.assertEqual(target["type"], "node")
        self.assertEqual(self.gateway.get("/js").body, b"from js")

    @unittest.skipUnless(shutil.which("node"), "node is not here")
    def test_code_can_wait_for_the_inspector(self):
        self.start("--debug", "js:0", "--debug-wait")
        (target,) = self.targets(self.port("js"))
        thread, answers = self.get_in_thread("/js")

        async def resume():
            async with websockets.connect(target["webSocketDebuggerUrl"]) as inspector:
                commands = ["Runtime.enable", "Debugger.enable", "Runtime.runIfWaitingForDebugger"]
                for number, method in enumerate(commands):
                    await inspector.send(json.dumps({"id": number, "method": method}))
                while json.loads(await inspector.recv()).get("method") != "Debugger.paused":
                    pass
                # Stopped at the first line for longer than all limits, and nothing was answered.
                await asyncio.sleep(1.3)
                self.assertEqual(answers, [])
                await inspector.send(json.dumps({"id": 9, "method": "Debugger.resume"}))
                await asyncio.to_thread(thread.join)

        asyncio.run(resume())
        self.assertEqual(answers[0].body, b"from js")

    def test_a_missing_debugpy_is_told_with_the_remedy(self):
        (self.folder / ".venv").unlink()
        python = self.folder / ".venv" / "bin" / "python3"
        python.parent.mkdir(parents=True)
        # An interpreter without packages.
        real = pathlib.Path(sys._base_executable).resolve()
        python.with_name("python").write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
        python.write_text(f'#!/bin/sh\nexec "{real}" -S "$@"\n')
        for file in (python, python.with_name("python")):
            file.chmod(0o755)
        self.start("--debug", "py:0")
        self.until(lambda: "-m pip install debugpy" in self.gateway.log())

    def test_the_launch_file_of_the_documentation_attaches_to_the_usual_ports(self):
        text = (ROOT / "docs" / "debugging.md").read_text()
        launch = json.loads(text.split("```json\n")[1].split("```")[0])
        python, node = launch["configurations"]
        self.assertEqual((python["type"], python["request"], node["type"], node["request"]), ("debugpy", "attach", "node", "attach"))
        self.start("--debug", "py", "--debug", "js")
        # The usual port, or the next one where another program has it.
        for name, host, port in (("py", *python["connect"].values()), ("js", node["address"], node["port"])):
            self.assertEqual(host, "127.0.0.1")
            self.assertIn(self.port(name), range(port, port + 20))

    def test_what_cannot_be_debugged_is_told(self):
        for target, words in (("pz", "did you mean `py`?"), ("py:99999", "is no port")):
            with self.assertRaises(RuntimeError) as caught:
                Gateway("api.yaml", "--debug", target, cwd=self.folder).__enter__()
            self.assertIn(words, str(caught.exception))
        with socket.create_server(("127.0.0.1", 0)) as other, self.assertRaises(RuntimeError) as caught:
            Gateway("api.yaml", "--debug", f"py:{other.getsockname()[1]}", cwd=self.folder).__enter__()
        self.assertIn("is in use by another program", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
