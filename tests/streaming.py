"""Time to first byte: what a function has written reaches the caller while the function still runs.

Each function writes one piece, tells so by a file, and waits for another file before the second. A
gateway that kept pieces back would answer nothing until then, and the function's timeout would end it.
"""

import json
import pathlib
import re
import socket
import tempfile
import textwrap
import unittest

import boto3
from botocore.config import Config

from gateway import Gateway

ADMIN = re.compile(r'"admin":"(http://127\.0\.0\.1:\d+)"')
ARN = "arn:aws:lambda:us-east-1:123456789012:function:"

NODE = textwrap.dedent(
    """
    const fs = require('fs');
    const held = () => new Promise((done) => {
      const look = () => (fs.existsSync(process.env.GO) ? done() : setTimeout(look, 5));
      look();
    });
    exports.whole = awslambda.streamifyResponse(async (event, stream) => {
      stream = awslambda.HttpResponseStream.from(stream, {
        statusCode: 207, headers: { 'content-type': 'text/x', 'x-own': 'yes' },
      });
      stream.write('one ');
      await held();
      stream.write('two');
      stream.end();
    });
    exports.plain = awslambda.streamifyResponse(async (event, stream) => {
      stream.setContentType('text/plain');
      stream.write('one ');
      await held();
      stream.end('two');
    });
    """
)

# A runtime of its own: the streaming mode of the Runtime API, by hand.
CUSTOM = textwrap.dedent(
    """
    import json, os, socket, time
    host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
    base = "/2018-06-01/runtime/invocation/"
    while True:
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"GET %snext HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n" % base.encode())
            data = b""
            while b"\\r\\n\\r\\n" not in data:
                data += connection.recv(65536)
        head = data.decode("utf-8", "replace").split("\\r\\n\\r\\n")[0]
        headers = dict(line.lower().split(": ", 1) for line in head.split("\\r\\n")[1:])
        request = headers["lambda-runtime-aws-request-id"]
        with socket.create_connection((host, int(port))) as connection:
            chunk = lambda data: connection.sendall(b"%x\\r\\n%s\\r\\n" % (len(data), data))
            connection.sendall(
                (
                    f"POST {base}{request}/response HTTP/1.1\\r\\nHost: x\\r\\n"
                    "Lambda-Runtime-Function-Response-Mode: streaming\\r\\n"
                    "Content-Type: application/vnd.awslambda.http-integration-response\\r\\n"
                    "Transfer-Encoding: chunked\\r\\n\\r\\n"
                ).encode()
            )
            chunk(json.dumps({"statusCode": 207, "headers": {"x-own": "yes"}}).encode())
            chunk(bytes(8))
            chunk(b"one ")
            while not os.path.exists(os.environ["GO"]):
                time.sleep(0.005)
            chunk(b"two")
            connection.sendall(b"0\\r\\n\\r\\n")
            connection.recv(65536)
    """
)


def api(*functions):
    uri = "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/" + ARN
    return {
        "openapi": "3.0.1",
        "info": {"title": "streams", "version": "1"},
        "paths": {
            f"/{name}": {
                "get": {
                    "x-amazon-apigateway-integration": {
                        "type": "aws_proxy",
                        "httpMethod": "POST",
                        "responseTransferMode": "STREAM",
                        "uri": f"{uri}{name}/response-streaming-invocations",
                    }
                }
            }
            for name in functions
        },
    }


class FirstBytes(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.go = self.folder / "go"
        (self.folder / "app.js").write_text(NODE)
        (self.folder / "runtime.py").write_text(CUSTOM)
        more = {"timeout": 60, "environment": {"GO": str(self.go)}}
        node = {"runtime": "nodejs20.x", "codeUri": ".", **more}
        url = lambda name: {"functionUrl": {"authType": "NONE", "invokeMode": "RESPONSE_STREAM", "id": name}}
        functions = {
            "whole": {**node, "handler": "app.whole", **url("whole")},
            "plain": {**node, "handler": "app.plain", **url("plain")},
            "custom": {"command": ["python3", "runtime.py"], **more, **url("custom")},
        }
        (self.folder / "tollgate.yaml").write_text(json.dumps({"functions": functions}))
        (self.folder / "api.json").write_text(json.dumps(api("whole", "custom")))
        self.gateway = self.enterContext(Gateway("api.json", "--admin-port", "0", cwd=self.folder))
        self.admin = ADMIN.search(self.gateway.log()).group(1)

    def expect(self, gateway, host, path, status):
        """The first piece comes while the function is held, the second once it is let go."""
        self.go.unlink(missing_ok=True)
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=90) as stream:
            stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            seen = b""
            while b"one " not in seen:
                data = stream.recv(65536)
                self.assertTrue(data, f"the answer ended with {seen!r}: {gateway.log()}")
                seen += data
            self.assertFalse(self.go.exists())
            self.assertNotIn(b"two", seen)
            self.go.touch()
            while data := stream.recv(65536):
                seen += data
        head, _, body = seen.partition(b"\r\n\r\n")
        self.assertIn(f" {status} ".encode(), head.splitlines()[0])
        self.assertIn(b"transfer-encoding: chunked", head.lower())
        self.assertTrue(body.endswith(b"two\r\n0\r\n\r\n"), body)
        return head

    def test_of_a_local_function_behind_a_rest_api(self):
        for name in ("whole", "custom"):
            head = self.expect(self.gateway, "x", f"/{name}", 207)
            self.assertIn(b"x-own: yes", head.lower())

    def test_of_a_local_function_behind_its_url(self):
        for name, status in (("whole", 207), ("custom", 207), ("plain", 200)):
            self.expect(self.gateway, f"{name}.lambda-url.localhost", "/", status)

    def test_of_lambdas_endpoint(self):
        client = boto3.client(
            "lambda",
            endpoint_url=self.admin,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 0}, proxies={}, read_timeout=90),
        )
        events = iter(client.invoke_with_response_stream(FunctionName="plain")["EventStream"])
        self.assertEqual(next(events)["PayloadChunk"]["Payload"], b"one ")
        self.assertFalse(self.go.exists())
        self.go.touch()
        self.assertEqual(next(events)["PayloadChunk"]["Payload"], b"two")
        self.assertIn("InvokeComplete", next(events))

    def test_of_functions_at_aws_and_behind_an_endpoint(self):
        """The first gateway stands for Lambda: the second calls it with InvokeWithResponseStream."""
        folder = self.folder / "second"
        folder.mkdir()
        # `whole` is not named there, so it is at AWS.
        functions = {"custom": {"endpoint": self.admin, "timeout": 60}}
        (folder / "tollgate.yaml").write_text(json.dumps({"functions": functions}))
        (folder / "api.json").write_text(json.dumps(api("whole", "custom")))
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        arguments = ("api.json", "--admin-port", "off", "--lambda-endpoint", self.admin)
        with Gateway(*arguments, cwd=folder, **keys) as second:
            for name in ("whole", "custom"):
                head = self.expect(second, "x", f"/{name}", 207)
                self.assertIn(b"x-own: yes", head.lower())


if __name__ == "__main__":
    unittest.main()
