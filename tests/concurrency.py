"""Many requests at once, over HTTP, to functions that have few processes or misbehave.

No request is lost or answered twice, and no process is left over once the gateway has ended.
"""

import asyncio
import collections
import json
import pathlib
import resource
import tempfile
import textwrap
import time
import unittest
import uuid

from gateway import Gateway

ARN = "arn:aws:lambda:us-east-1:123456789012:function:"
REQUESTS = 1000

PYTHON = textwrap.dedent(
    """
    import os, time
    count = 0

    def note(event):
        number = event["queryStringParameters"]["n"]
        with open(os.environ["RAN"], "ab", buffering=0) as ran:
            ran.write(b"%s %d\\n" % (number.encode(), os.getpid()))
        return {"statusCode": 200, "body": number}

    def few(event, context):
        return note(event)

    def crashes(event, context):
        global count
        count += 1
        answer = note(event)
        if count % 3 == 0:
            os._exit(9)
        return answer

    def hangs(event, context):
        note(event)
        time.sleep(600)

    def forks(event, context):
        answer = note(event)
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
            os._exit(0)
        return answer
    """
)


def api(kind, names):
    """An OpenAPI document whose paths lead to the functions."""
    rest = kind == "rest"
    uri = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/" + ARN
    integration = {"type": "aws_proxy", "httpMethod": "POST"}
    if not rest:
        integration["payloadFormatVersion"] = "2.0"
    return {
        "openapi": "3.0.1",
        "info": {"title": kind, "version": "1"},
        "paths": {
            f"/{path}": {
                "get": {"x-amazon-apigateway-integration": {**integration, "uri": f"{uri}{name}/invocations"}}
            }
            for path, name in names.items()
        },
    }


async def ask(port, path):
    """Everything that a connection answers to one request, until the gateway closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


async def ask_all(port, path, numbers, at_once):
    turn = asyncio.Semaphore(at_once)

    async def one(number):
        async with turn:
            return await ask(port, f"/{path}?n={number}")

    return await asyncio.gather(*map(one, numbers))


def processes_of(names):
    """Processes, by function, that were started for one of these functions, or by what was."""
    found = collections.defaultdict(set)
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            zombie = ") Z " in (folder / "stat").read_text()
        except OSError:
            continue
        for name in names:
            if not zombie and f"AWS_LAMBDA_FUNCTION_NAME={name}".encode() in variables:
                found[name].add(int(folder.name))
    return found


class ManyRequests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "app.py").write_text(PYTHON)
        # Nobody else's processes have these names.
        mark = uuid.uuid4().hex[:8]
        self.names = {path: f"{path}-{mark}" for path in ("few", "crashes", "hangs", "forks")}
        functions = {
            name: {
                "runtime": "python3.12",
                "handler": f"app.{path}",
                "codeUri": ".",
                "timeout": 2 if path == "hangs" else 60,
                "reservedConcurrency": 4,
                "environment": {"RAN": str(self.folder / f"{path}.ran")},
            }
            for path, name in self.names.items()
        }
        (self.folder / "tollgate.yaml").write_text(json.dumps({"functions": functions}))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 4 * REQUESTS
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard > 0 else wanted, hard))

    def ran(self, path):
        """What a function noted: (number of the request, process)."""
        file = self.folder / f"{path}.ran"
        lines = file.read_text().split("\n") if file.exists() else []
        return [tuple(map(int, line.split())) for line in lines if line]

    def one_answer(self, answer):
        """Status and body; every request has exactly one answer."""
        self.assertEqual(answer.count(b"HTTP/1.1 "), 1, answer)
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()

    def ask_all(self, gateway, path, count, at_once, first=0):
        """Status and body by the number of the request."""
        numbers = range(first, first + count)
        answers = asyncio.run(ask_all(gateway.port, path, numbers, at_once))
        return {number: self.one_answer(answer) for number, answer in zip(numbers, answers, strict=True)}

    def answered_once(self, path, answers, failures):
        """Each request ran as often as it was answered by the function: once, or not at all where it was throttled."""
        times = collections.Counter(number for number, _ in self.ran(path))
        seen = collections.Counter()
        for number, (status, body) in answers.items():
            seen[status] += 1
            if status == 200:
                self.assertEqual(body, str(number), "an answer went to another request")
                self.assertEqual(times[number], 1, f"request {number}")
            else:
                self.assertIn((status, times[number]), failures, f"request {number}: {body}")
        self.assertEqual(sum(seen.values()), len(answers))
        return seen

    def flood(self, kind, throttled, failed):
        (self.folder / "api.json").write_text(json.dumps(api(kind, self.names)))
        names = list(self.names.values())
        with Gateway("api.json", "--admin-port", "off", cwd=self.folder) as gateway:
            for state, first in (("cold", 0), ("warm", REQUESTS)):
                answers = self.ask_all(gateway, "few", REQUESTS, REQUESTS, first)
                seen = self.answered_once("few", answers, {(throttled, 0)})
                print(f"{kind}: {REQUESTS} requests at once to 4 {state} processes: {dict(seen)}")
                self.assertGreaterEqual(seen[200], 4)
            self.assertLessEqual(len({process for _, process in self.ran("few")}), 4)
            self.assertLessEqual(len(processes_of(names)[self.names["few"]]), 4)

            # No more at once than there are processes: nothing is throttled.
            seen = self.answered_once("crashes", self.ask_all(gateway, "crashes", 24, 1), {(failed, 1)})
            self.assertEqual(seen, {200: 16, failed: 8})

            seen = self.answered_once("hangs", self.ask_all(gateway, "hangs", 6, 6), {(failed, 1), (throttled, 0)})
            self.assertEqual(seen[200], 0)
            self.assertEqual(len(self.ran("hangs")), 4)

            seen = self.answered_once("forks", self.ask_all(gateway, "forks", 12, 4), set())
            self.assertEqual(seen, {200: 12})
            # The daemons that it left are there, besides its own processes.
            self.assertGreaterEqual(len(processes_of(names)[self.names["forks"]]), 12)
        # What was killed is the kernel's to clear away; what was not would sleep for ten minutes.
        deadline = time.monotonic() + 60
        while left := processes_of(names):
            self.assertLess(time.monotonic(), deadline, f"left over: {dict(left)}")

    def test_a_rest_api_answers_each_once(self):
        # A throttled function is API Gateway's own 500, a failed one 502.
        self.flood("rest", throttled=500, failed=502)

    def test_an_http_api_answers_each_once(self):
        self.flood("http", throttled=503, failed=500)


if __name__ == "__main__":
    unittest.main()
