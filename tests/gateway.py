"""Starts the gateway for the scripts beside this one, and talks to it byte for byte."""

import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ADDRESS = re.compile(r"http://(?:127\.0\.0\.1|localhost):(\d+)")


def program():
    """The gateway's executable: `TOLLGATE`, or the release build."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = pathlib.Path(os.environ.get("TOLLGATE", target / "release" / "tollgate"))
    if not path.exists():
        sys.exit(f"{path} is not there: cargo build --release")
    return str(path.resolve())


def clean_environment(**variables):
    """The environment without AWS credentials, proxies and settings of the gateway: nothing leaves the machine."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "TOLLGATE_")) and not name.lower().endswith("_proxy")
    }
    return {**kept, "AWS_EC2_METADATA_DISABLED": "true", **variables}


class Answer:
    """A response: `status`, `headers` as (lower-case name, value) pairs, `body`."""

    def __init__(self, response):
        self.status = response.status
        self.headers = [(name.lower(), value) for name, value in response.getheaders()]
        self.body = response.read()

    def header(self, name):
        values = self.all(name)
        return values[0] if values else None

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:500]!r}"


class Gateway:
    """A gateway on a free port, for as long as the `with` block lasts."""

    def __init__(self, *arguments, cwd=ROOT, **variables):
        self.arguments = [program(), "serve", *map(str, arguments), "--log-format", "json"]
        if "--port" not in self.arguments:
            self.arguments += ["--port", "0"]
        self.cwd = cwd
        self.environment = clean_environment(**variables)
        self.port = None
        self.output = None
        self.printed = ""

    def __enter__(self):
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            self.arguments,
            cwd=self.cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.__exit__()
                raise RuntimeError(f"the gateway ended with {self.process.returncode}:\n{self.printed}")
            found = ADDRESS.search(self.log())
            if found:
                self.port = int(found.group(1))
                return self
            time.sleep(0.005)
        self.__exit__()
        raise RuntimeError(f"the gateway printed no address within 20 s:\n{self.printed}")

    def __exit__(self, *_):
        if self.output is None:
            return
        ended = True
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                ended = False
                self.process.kill()
                self.process.wait()
        self.printed = self.log()
        self.output.close()
        self.output = None
        if not ended:
            raise RuntimeError(f"the gateway did not end within 10 s of SIGTERM:\n{self.printed}")

    def log(self):
        """Everything it has printed so far, to either stream."""
        if self.output is None:
            return self.printed
        size = self.output.seek(0, os.SEEK_END)
        return os.pread(self.output.fileno(), size, 0).decode("utf-8", "replace")

    def send(self, method, path, headers=(), body=None):
        """One request, with exactly these headers (and `Host`, and a body's length)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=35)
        try:
            names = {name.lower() for name, _ in headers}
            connection.putrequest(method, path, skip_host="host" in names, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            body = body.encode() if isinstance(body, str) else body
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, *headers):
        return self.send("GET", path, headers)


class Backend:
    """fixtures/backend.py, for as long as the `with` block lasts."""

    def __init__(self, port=0):
        self.port = port

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "fixtures" / "backend.py"), "--port", str(self.port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.process.stdout.readline().rpartition(":")[2])
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()
