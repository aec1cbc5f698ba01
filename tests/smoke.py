#!/usr/bin/env python3
"""The command line, from outside: what each subcommand prints and how it ends."""

import json
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from gateway import ROOT, Gateway, clean_environment, program

REST = "openapi/petstore-rest.yaml"
DEFINITIONS = [REST, "openapi/petstore-http.yaml", "openapi/orders-swagger.yaml"]


def tollgate(*arguments, cwd=ROOT, **variables):
    return subprocess.run(
        [program(), *map(str, arguments)],
        cwd=cwd,
        env=clean_environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


class Smoke(unittest.TestCase):
    def assert_ends(self, run, code):
        self.assertEqual(run.returncode, code, f"\n{run.stdout}\n{run.stderr}")
        self.assertNotIn("panicked", run.stderr)


class Serve(Smoke):
    def test_it_answers_on_both_loopback_addresses_and_ends_on_sigterm(self):
        with Gateway(REST) as gateway:
            self.assertEqual(gateway.get("/status").json, {"open": True})
            socket.create_connection(("::1", gateway.port), timeout=5).close()

            gateway.process.send_signal(signal.SIGTERM)

            self.assertEqual(gateway.process.wait(10), 0, gateway.log())

    def test_its_functions_end_with_it(self):
        with Gateway(REST) as gateway:
            self.assertEqual(gateway.get("/pets").status, 200)
            children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(gateway.process.pid)], capture_output=True, text=True)
            functions = [int(pid) for pid in children.stdout.split()]
            self.assertTrue(functions, "no process of the function was found")

        for pid in functions:
            self.assertFalse(pathlib.Path(f"/proc/{pid}").exists(), f"process {pid} is still there")

    def test_with_json_logs_every_line_is_json(self):
        with Gateway(REST) as gateway:
            gateway.get("/status")
            gateway.get("/nothing")

        for line in gateway.log().splitlines():
            json.loads(line)

    def test_a_port_in_use_is_said_in_one_line_with_a_way_out(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            run = tollgate("serve", REST, "--port", taken.getsockname()[1])

        self.assertNotEqual(run.returncode, 0)
        errors = [line for line in run.stderr.splitlines() if line.startswith("error")]
        self.assertEqual(len(errors), 1, run.stderr)
        self.assertIn("in use", errors[0])
        self.assertIn("--port", errors[0])

    def test_without_a_definition_it_looks_for_one(self):
        with tempfile.TemporaryDirectory() as folder:
            definition = pathlib.Path(folder, "openapi.yaml")
            definition.write_text(mock_api("/found"))
            with Gateway(cwd=folder) as gateway:
                self.assertEqual(gateway.get("/found").status, 200)
                # The log is written beside the requests.
                deadline = time.monotonic() + 20
                while "openapi.yaml" not in gateway.log() and time.monotonic() < deadline:
                    time.sleep(0.01)
                self.assertIn("openapi.yaml", gateway.log())

    def test_several_definitions_answer_side_by_side(self):
        with Gateway(*DEFINITIONS) as gateway:
            self.assertEqual(gateway.get("/status").status, 200)
            # The line that says where it listens says each API's host; the second is the HTTP API's.
            listening = next(line for line in gateway.log().splitlines() if '"listening"' in line)
            hosts = [api["host"] for api in json.loads(listening)["apis"]]
            self.assertEqual(len(set(hosts)), len(DEFINITIONS))
            pets = gateway.get("/pets/3", ("Host", hosts[1]))
            self.assertEqual((pets.status, pets.json["name"]), (200, "Tweety"))
            self.assertEqual(gateway.get("/dev/basket", ("Host", hosts[2])).status, 410)
            self.assertEqual(gateway.get("/pets", ("Host", hosts[2])).status, 403)


class Exec(Smoke):
    def test_the_command_gets_the_address_and_its_code_is_ours(self):
        run = tollgate("exec", REST, "--", "sh", "-c", 'curl -fsS "$TOLLGATE_URL/status" && exit 7')

        self.assert_ends(run, 7)
        self.assertIn('{"open": true}', run.stdout)

    def test_a_missing_command_is_said(self):
        run = tollgate("exec", REST, "--", "no-such-command-anywhere")

        self.assertNotEqual(run.returncode, 0)
        self.assertIn("no-such-command-anywhere", run.stderr)


class Check(Smoke):
    def test_the_examples_are_in_order(self):
        for definition in DEFINITIONS:
            self.assert_ends(tollgate("check", definition), 0)

    def test_a_wrong_definition_is_shown_with_its_line(self):
        with tempfile.TemporaryDirectory() as folder:
            wrong = pathlib.Path(folder, "wrong.yaml")
            wrong.write_text(mock_api("/a").replace("type: mock", "type: mok"))
            run = tollgate("check", wrong)
            serve = tollgate("serve", wrong, "--port", "0")
            as_json = tollgate("check", wrong, "--json")

        self.assert_ends(run, 1)
        self.assertIn("mok", run.stdout + run.stderr)
        self.assertIn("wrong.yaml:8", run.stdout + run.stderr)
        self.assert_ends(serve, 1)
        findings = [json.loads(line) for line in as_json.stdout.splitlines()]
        self.assertEqual([finding["line"] for finding in findings], [8])

    def test_text_that_is_no_document_is_a_finding(self):
        for text in ("", "{", "a: [b", "- 1\n- 2\n", "\x00", "a: 1\n", "a: &a [*a]\n"):
            with tempfile.TemporaryDirectory() as folder:
                wrong = pathlib.Path(folder, "wrong.yaml")
                wrong.write_text(text)

                self.assert_ends(tollgate("check", wrong), 1)

    def test_a_missing_file_is_said(self):
        run = tollgate("check", "no/such/file.yaml")

        self.assertNotEqual(run.returncode, 0)
        self.assertIn("no/such/file.yaml", run.stderr + run.stdout)


class Routes(Smoke):
    def test_every_route_of_an_example_is_listed(self):
        run = tollgate("routes", REST)

        self.assert_ends(run, 0)
        for word in ("/pets/{petId}/photo", "/shop/{proxy+}", "ANY", "aws_proxy", "http_proxy", "mock"):
            self.assertIn(word, run.stdout)

    def test_json_holds_one_object_a_route_in_order(self):
        run = tollgate("routes", REST, "--json")

        self.assert_ends(run, 0)
        routes = json.loads(run.stdout)
        keys = [(route["path"], route["method"]) for route in routes]
        self.assertEqual(keys, sorted(keys))
        self.assertIn(("/pets/{petId}", "DELETE"), keys)
        self.assertEqual({route["type"] for route in routes}, {"REST"})
        self.assertEqual({route["stage"] for route in routes}, {"dev"})


class Config(Smoke):
    def test_it_says_where_each_setting_comes_from(self):
        run = tollgate("config", REST, "--region", "eu-west-1", TOLLGATE_PORT="4000")

        self.assert_ends(run, 0)
        for word in ("eu-west-1", "4000", "TOLLGATE_PORT", "--region", "default"):
            self.assertIn(word, run.stdout)


class Usage(Smoke):
    def test_wrong_usage_is_2(self):
        self.assert_ends(tollgate("serve", "--no-such-flag"), 2)
        self.assert_ends(tollgate("no-such-command"), 2)

    def test_help_is_short_and_0(self):
        self.assert_ends(tollgate("--help"), 0)
        self.assert_ends(tollgate("serve", "--help"), 0)

    def test_starting_is_quick_and_asks_nobody(self):
        """No look-up of credentials or regions: it would cost seconds without a network."""
        start = time.monotonic()
        with Gateway(REST, AWS_EC2_METADATA_DISABLED="false"):
            taken = time.monotonic() - start

        self.assertLess(taken, 5)


def mock_api(path):
    return f"""openapi: "3.0.1"
info: {{title: t, version: "1"}}
paths:
  {path}:
    get:
      responses: {{"200": {{description: OK}}}}
      x-amazon-apigateway-integration:
        type: mock
        requestTemplates: {{application/json: '{{"statusCode": 200}}'}}
        responses: {{default: {{statusCode: "200"}}}}
"""


if __name__ == "__main__":
    unittest.main()
