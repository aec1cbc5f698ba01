#!/usr/bin/env python3
"""Real web apps as functions: FastAPI behind Mangum, Express behind serverless-http, Powertools, lambda_http.

Each runs unchanged behind a REST API and behind an HTTP API. What is asserted is
what the app saw, and what came back. Needs the apps' packages and the Rust app's
program: `tests/run` installs and builds them.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from gateway import ROOT, Gateway

APPS = ROOT / "fixtures" / "apps"
NOTES = ROOT / "fixtures/functions/orders/target/release/notes"
EVERY_BYTE = bytes(range(256)) * 40
PNG = ("Content-Type", "image/png")


def build_python(name):
    """What `sam build` would leave: the app beside its packages, in build/."""
    app = APPS / name
    wanted = (app / "requirements.txt").read_text() + sys.version
    stamp = app / "build" / ".installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(app / "build", ignore_errors=True)
        install = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            + ["--target", app / "build", "-r", app / "requirements.txt"],
            capture_output=True,
            text=True,
        )
        # Shown on failure alone: pip also complains that the packages beside the tests are others.
        if install.returncode:
            sys.exit(f"pip cannot install the app {name}:\n{install.stdout}{install.stderr}")
        stamp.write_text(wanted)
    shutil.copy(app / "app.py", app / "build" / "app.py")


class App:
    """What every app does behind every kind of API."""

    app: str
    definition: str

    @classmethod
    def setUpClass(cls):
        folder = APPS / cls.app
        cls.scratch = tempfile.TemporaryDirectory()
        # The packages were built for this interpreter, so the function has to run on it.
        config = pathlib.Path(cls.scratch.name, "tollgate.yaml")
        here = f"python{sys.version_info.major}.{sys.version_info.minor}"
        config.write_text(
            (folder / "tollgate.yaml")
            .read_text()
            .replace("python3.13", here)
            .replace("codeUri: ", f"codeUri: {folder}/")
            .replace("command: [", f"command: [{folder}/")
        )
        cls.gateway = Gateway(folder / cls.definition, "--config", config)
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.enterClassContext(cls.gateway)

    def test_an_encoded_path_reaches_the_app_decoded(self):
        self.assertEqual(self.gateway.get("/hello/caf%C3%A9").json, {"hello": "café"})
        self.assertEqual(self.gateway.get("/hello/a%20b").json, {"hello": "a b"})

    def test_a_repeated_query_parameter_keeps_all_its_values(self):
        answer = self.gateway.get("/search?tag=red&tag=green&q=x%26y")

        self.assertEqual(answer.json, {"tags": ["red", "green"], "q": "x&y"})

    def test_json_is_posted_and_answered(self):
        answer = self.gateway.send("POST", "/notes", [("Content-Type", "application/json")], '{"title": "héllo", "stars": 3}')

        self.assertEqual(answer.status, 201, answer)
        self.assertEqual(answer.json, {"id": 1, "title": "héllo", "stars": 3})
        self.assertTrue(answer.header("content-type").startswith("application/json"))

    def test_a_form_is_posted(self):
        form = "application/x-www-form-urlencoded"
        answer = self.gateway.send("POST", "/form", [("Content-Type", form)], "a=1&b=%C3%A9")

        self.assertEqual(answer.json["body"], "a=1&b=%C3%A9")
        self.assertTrue(answer.json["type"].startswith(form))

    def test_bytes_go_up_and_come_down_unchanged(self):
        up = self.gateway.send("PUT", "/files/a/pixel.png", [PNG], EVERY_BYTE)
        down = self.gateway.get("/files/a/pixel.png", ("Accept", "image/png"))

        self.assertEqual(
            up.json,
            {"name": "a/pixel.png", "bytes": len(EVERY_BYTE), "sha256": hashlib.sha256(EVERY_BYTE).hexdigest()},
        )
        self.assertEqual(down.status, 200, down)
        self.assertEqual(down.header("content-type"), "image/png")
        self.assertEqual(down.body, EVERY_BYTE)

    def test_several_cookies_are_set_and_come_back(self):
        signed_in = self.gateway.send("POST", "/login", [], "")
        cookies = [value.split(";")[0] for value in signed_in.all("set-cookie")]
        seen = self.gateway.get("/login", ("Cookie", "; ".join(cookies)))

        self.assertEqual(cookies, ["user=alice", "theme=dark"])
        self.assertEqual(seen.json, {"cookies": {"user": "alice", "theme": "dark"}})

    def test_the_app_sees_the_request_as_it_was_sent(self):
        seen = self.gateway.get("/seen?a=1&b=2", ("X-List", "1"), ("X-List", "2")).json

        self.assertEqual(seen["method"], "GET")
        self.assertEqual(seen["scheme"], "http")
        self.assertEqual(seen["host"], f"127.0.0.1:{self.gateway.port}")
        self.assertEqual(seen["client"], "127.0.0.1")
        self.assertEqual(seen["query"], "a=1&b=2")
        self.assertEqual(",".join(seen["header"]).replace(" ", ""), self.repeated_header)

    repeated_header = "1,2"

    def test_the_app_answers_404_itself(self):
        answer = self.gateway.get("/nothing/here")

        self.assertEqual(answer.status, 404)
        self.assertNotIn(b'{"message"', answer.body)

    def test_many_requests_in_a_row_use_one_process(self):
        for number in range(20):
            self.assertEqual(self.gateway.get(f"/hello/{number}").json, {"hello": str(number)})


class FastApiRest(App, unittest.TestCase):
    app, definition = "fastapi", "rest.yaml"


class FastApiHttp(App, unittest.TestCase):
    app, definition = "fastapi", "http.yaml"


class ExpressRest(App, unittest.TestCase):
    app, definition = "express", "rest.yaml"
    # serverless-http reads `headers`, where a REST API puts the last value.
    repeated_header = "2"

    def test_an_encoded_slash_stays_in_its_segment(self):
        self.assertEqual(self.gateway.get("/hello/a%2Fb").json, {"hello": "a/b"})


class ExpressHttp(App, unittest.TestCase):
    app, definition = "express", "http.yaml"


class PowertoolsRest(App, unittest.TestCase):
    app, definition = "powertools", "rest.yaml"


class PowertoolsHttp(App, unittest.TestCase):
    app, definition = "powertools", "http.yaml"


class RustApp(App):
    app = "lambda_http"

    @classmethod
    def setUpClass(cls):
        if not NOTES.exists():
            if os.environ.get("CI"):
                raise AssertionError(f"{NOTES} was not built")
            raise unittest.SkipTest("the Rust app is not built")
        super().setUpClass()


class LambdaHttpRest(RustApp, unittest.TestCase):
    definition = "rest.yaml"


class LambdaHttpHttp(RustApp, unittest.TestCase):
    definition = "http.yaml"


if __name__ == "__main__":
    build_python("fastapi")
    build_python("powertools")
    unittest.main()
