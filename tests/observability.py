#!/usr/bin/env python3
"""What the gateway tells of itself, told to real listeners: access logs under load, the log's one line a
request, Prometheus and its rules, an OTLP receiver of OpenTelemetry's own messages.
"""

import gzip
import http.server
import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse
import urllib.request

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway import ROOT, Gateway

MONITORING = ROOT / "docs" / "monitoring"
MOCK = {
    "type": "mock",
    "requestTemplates": {"application/json": '{"statusCode": 200}'},
    "responses": {"default": {"statusCode": "200", "responseTemplates": {"application/json": '{"ok": true}'}}},
}
RESPONSES = {"200": {"description": "OK"}}
KEY = "alice-0123456789abcdefghij"
UNLIMITED = {"rateLimit": 1_000_000, "burstLimit": 1_000_000}
TRACE = "5759e988bd862e3fe1be46a994272793"


def wait_for(what, ask, seconds=30):
    """What `ask` gives, once it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = ask()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come within {seconds} s")


def fetch(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return answer.read().decode()


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def serve(self, paths, settings, *arguments, **variables):
        document = {"openapi": "3.0.1", "info": {"title": "Watched", "version": "1"}, "paths": paths}
        document["components"] = {
            "securitySchemes": {
                "api_key": {"type": "apiKey", "name": "x-api-key", "in": "header"},
                "pool": {
                    "type": "apiKey",
                    "name": "Authorization",
                    "in": "header",
                    "x-amazon-apigateway-authtype": "custom",
                    "x-amazon-apigateway-authorizer": {
                        "type": "token",
                        "authorizerUri": "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/"
                        "arn:aws:lambda:us-east-1:123456789012:function:judge/invocations",
                        "authorizerResultTtlInSeconds": 0,
                    },
                },
            }
        }
        (self.folder / "openapi.json").write_text(json.dumps(document))
        (self.folder / "tollgate.yaml").write_text(json.dumps({"throttle": UNLIMITED, **settings}))
        gateway = Gateway("openapi.json", *arguments, cwd=self.folder, **variables)
        gateway.__enter__()
        self.addCleanup(gateway.__exit__)
        return gateway


def admin(gateway):
    return re.search(r'"admin":"(http://[^"]+)"', gateway.log()).group(1)


def pipelined(port, paths):
    """Sends GETs on one connection, many at a time, and reads as many answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        stream = connection.makefile("rb")
        for start in range(0, len(paths), 50):
            some = paths[start : start + 50]
            connection.sendall(
                b"".join(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() for path in some)
            )
            for _ in some:
                length = 0
                while (line := stream.readline().strip().lower()) != b"":
                    if line.startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                stream.read(length)


class AccessLogs(Case):
    FORMAT = (
        '{"requestId":"$context.requestId","path":"$context.path","status":"$context.status",'
        '"length":"$context.responseLength","latency":"$context.responseLatency"}'
    )

    def test_each_of_100_000_requests_has_its_line_and_none_is_torn(self):
        log = self.folder / "access.log"
        gateway = self.serve(
            {"/items/{id}": {"get": {"responses": RESPONSES, "x-amazon-apigateway-integration": MOCK}}},
            {"stage": {"accessLogSettings": {"destination": str(log), "format": self.FORMAT}}},
            "-q",
        )
        connections, each = 8, 12_500
        workers = [
            threading.Thread(
                target=pipelined, args=(gateway.port, [f"/items/{worker}-{n}" for n in range(each)])
            )
            for worker in range(connections)
        ]
        for worker in workers:
            worker.start()
        rotated = self.folder / "access.log.1"
        wait_for("a first line", lambda: log.exists() and log.stat().st_size)
        log.rename(rotated)
        gateway.process.send_signal(signal.SIGHUP)
        for worker in workers:
            worker.join()
        # What was under way to the file is written before the gateway ends.
        gateway.__exit__()

        lines = rotated.read_text().splitlines() + log.read_text().splitlines()
        entries = [json.loads(line) for line in lines]
        expected = {f"/dev/items/{worker}-{n}" for worker in range(connections) for n in range(each)}
        self.assertEqual(len(entries), connections * each)
        self.assertEqual({entry["path"] for entry in entries}, expected)
        self.assertEqual(len({entry["requestId"] for entry in entries}), connections * each)
        self.assertEqual({(entry["status"], entry["length"]) for entry in entries}, {("200", "12")})
        self.assertGreater(len(log.read_text()), 0, "nothing was written after the rotation")

    def test_an_access_log_that_cannot_be_opened_is_said_at_once(self):
        with self.assertRaises(RuntimeError) as failed:
            self.serve({}, {"stage": {"accessLogSettings": {"destination": "/no/such/folder/log"}}})
        self.assertIn("cannot write to the access log /no/such/folder/log", str(failed.exception))

    @unittest.skipUnless(pathlib.Path("/dev/full").exists(), "/dev/full is Linux's")
    def test_lines_that_are_lost_are_counted_and_told(self):
        gateway = self.serve(
            {"/a": {"get": {"responses": RESPONSES, "x-amazon-apigateway-integration": MOCK}}},
            {"stage": {"accessLogSettings": {"destination": "/dev/full", "format": "CLF"}}},
        )
        self.assertEqual(gateway.get("/a").status, 200)
        wait_for("the message", lambda: "lines of the access log are lost" in gateway.log())
        dropped = 'tollgate_access_log_dropped_total{destination="/dev/full"} 1\n'
        self.assertIn(dropped, fetch(admin(gateway) + "/metrics"))


JUDGE = """
import json, sys
def handler(event, context):
    say = lambda effect, path: {"Effect": effect, "Action": "execute-api:Invoke", "Resource": "*/" + path}
    return {"principalId": "u", "policyDocument": {"Version": "2012-10-17", "Statement": [
        say("Allow", "*"), say("Deny", "GET/guarded")]}}
"""


class Refusals(Case):
    def test_the_log_says_which_rule_refused_while_the_client_sees_the_bare_answer(self):
        (self.folder / "judge").mkdir()
        (self.folder / "judge" / "app.py").write_text(JUDGE)
        guarded = {"responses": RESPONSES, "x-amazon-apigateway-integration": MOCK, "security": [{"pool": []}]}
        metered = {**guarded, "security": [{"api_key": []}]}
        gateway = self.serve(
            {"/guarded": {"get": guarded}, "/open": {"get": guarded}, "/metered": {"get": metered}},
            {
                "functions": {"judge": {"runtime": "python3.12", "handler": "app.handler", "codeUri": "judge"}},
                "apiKeys": [{"id": "k1", "name": "alice", "value": KEY}],
                "usagePlans": [
                    {
                        "id": "p1",
                        "name": "gold",
                        "apiKeys": ["alice"],
                        "methodThrottles": {"/metered/GET": {"rateLimit": 0.1, "burstLimit": 1}},
                    }
                ],
            },
        )
        with_token, with_key = ("Authorization", "tok-secret-0123456789"), ("x-api-key", KEY)
        answers = [
            gateway.get("/open", with_token),
            gateway.get("/guarded", with_token),
            gateway.get("/guarded"),
            gateway.get("/metered"),
            gateway.get("/metered", with_key),
            gateway.get("/metered", with_key),
        ]
        self.assertEqual([answer.status for answer in answers], [200, 403, 401, 403, 200, 429])
        for answer in answers:
            self.assertNotRegex(answer.body.decode(), "pool|statement|gold|bucket")
        gateway.__exit__()

        lines = [json.loads(line) for line in gateway.log().splitlines() if line.startswith("{")]
        lines = [line for line in lines if line.get("target") == "tollgate::request"]
        self.assertEqual([line["status"] for line in lines], [200, 403, 401, 403, 200, 429])
        told = [line.get("why") for line in lines]
        self.assertEqual(told[0], None)
        self.assertEqual(told[1], "authorizer `pool` said deny by policy statement 2")
        self.assertRegex(told[2], "^authorizer `pool`: an identity source is missing")
        self.assertEqual(told[3], "the method wants an API key, and none was sent")
        self.assertRegex(told[5], r"^plan gold, method bucket empty, next token in \d")
        self.assertNotIn("tok-secret-0123456789", gateway.log())
        self.assertNotIn(KEY, gateway.log())


class Metrics(Case):
    def test_prometheus_scrapes_and_its_rules_load(self):
        gateway = self.serve(
            {
                "/items/{id}": {"get": {"responses": RESPONSES, "x-amazon-apigateway-integration": MOCK}},
                "/down": {
                    "get": {
                        "responses": RESPONSES,
                        "x-amazon-apigateway-integration": {
                            "type": "http_proxy",
                            "httpMethod": "GET",
                            "uri": "http://127.0.0.1:1/",
                        },
                    }
                },
            },
            {},
        )
        for n in range(7):
            self.assertEqual(gateway.get(f"/items/{n}").status, 200)
        self.assertEqual(gateway.get("/down").status, 504)
        self.assertEqual(gateway.get("/nowhere").status, 403)
        base = admin(gateway)
        self.assertEqual(fetch(base + "/healthz"), "ok\n")
        self.assertEqual(fetch(base + "/readyz"), "ready\n")
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=fetch(base + "/metrics"), text=True, capture_output=True
        )
        self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""))
        for check, name in [("rules", "alerts.yaml"), ("config", "prometheus.yaml")]:
            checked = subprocess.run(
                ["promtool", "check", check, name], cwd=MONITORING, text=True, capture_output=True
            )
            self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

        address = base.removeprefix("http://")
        config = {
            "scrape_configs": [
                {"job_name": "tollgate", "scrape_interval": "1s", "static_configs": [{"targets": [address]}]}
            ],
            "rule_files": [str(MONITORING / "alerts.yaml")],
        }
        (self.folder / "prometheus.yaml").write_text(json.dumps(config))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        prometheus = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={self.folder}/prometheus.yaml",
                f"--storage.tsdb.path={self.folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def query(expression):
            text = urllib.parse.urlencode({"query": expression})
            try:
                result = json.loads(fetch(f"http://127.0.0.1:{port}/api/v1/query?{text}"))
            except OSError:
                return []
            return [(series["metric"], float(series["value"][1])) for series in result["data"]["result"]]

        try:
            found = wait_for("the scrape", lambda: query('tollgate_count_total{resource="/items/{id}"}'))
            self.assertEqual([value for _, value in found], [7])
            self.assertEqual(found[0][0]["method"], "GET")
            self.assertEqual([v for _, v in query('tollgate_5xx_error_total{resource="/down"}')], [1])
            self.assertEqual([v for _, v in query('tollgate_4xx_error_total{resource="-"}')], [1])
            self.assertEqual([v for _, v in query("sum(tollgate_latency_seconds_count)")], [9])
            self.assertEqual([v for _, v in query('tollgate_refused_total{reason="INTEGRATION_FAILURE"}')], [1])
            rules = json.loads(fetch(f"http://127.0.0.1:{port}/api/v1/rules"))["data"]["groups"]
            names = [rule["name"] for group in rules for rule in group["rules"]]
            self.assertIn("TollgateServerErrors", names)
            # Every query of the dashboard is one that Prometheus reads, of series that are there.
            known = set(json.loads(fetch(f"http://127.0.0.1:{port}/api/v1/label/__name__/values"))["data"])
            unseen = re.compile("cache_|function_|authorizer_|access_log_")
            dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
            for panel in dashboard["panels"]:
                for target in panel["targets"]:
                    expression = target["expr"].replace("$__rate_interval", "1m")
                    expression = expression.replace("$api", ".*").replace("$stage", ".*")
                    query(expression)
                    for name in re.findall(r"\b(?:tollgate|process)_\w+", expression):
                        if not unseen.search(name):
                            self.assertIn(name, known)
        finally:
            prometheus.terminate()
            prometheus.wait(20)


class Collector:
    """Receives OTLP over HTTP and keeps the spans, for as long as the `with` block lasts."""

    def __enter__(self):
        spans = self.spans = []
        resources = self.resources = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                request = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    resources.append({one.key: one.value.string_value for one in resource.resource.attributes})
                    spans.extend(span for scope in resource.scope_spans for span in scope.spans)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def of_trace(self, trace):
        return [span for span in self.spans if span.trace_id.hex() == trace]


class Traces(Case):
    def paths(self, backend):
        return {
            "/proxy": {
                "get": {
                    "responses": RESPONSES,
                    "security": [{"api_key": []}],
                    "x-amazon-apigateway-integration": {
                        "type": "http_proxy",
                        "httpMethod": "GET",
                        "uri": f"http://127.0.0.1:{backend.port}/seen",
                    },
                }
            },
            "/fn": {
                "get": {
                    "x-amazon-apigateway-integration": {
                        "type": "aws_proxy",
                        "httpMethod": "POST",
                        "uri": "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/"
                        "arn:aws:lambda:us-east-1:123456789012:function:show/invocations",
                    }
                }
            },
        }

    SHOW = """
import json, os
def handler(event, context):
    return {"statusCode": 200, "body": json.dumps({
        "xray": os.environ.get("_X_AMZN_TRACE_ID"), "headers": event["headers"]})}
"""

    def settings(self):
        (self.folder / "show").mkdir()
        (self.folder / "show" / "app.py").write_text(self.SHOW)
        return {
            "functions": {"show": {"runtime": "python3.12", "handler": "app.handler", "codeUri": "show"}},
            "apiKeys": [{"id": "k1", "name": "alice", "value": KEY}],
            "usagePlans": [{"id": "p1", "name": "gold", "apiKeys": ["alice"]}],
        }

    def traced(self, backend, collector, **variables):
        asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        return self.serve(self.paths(backend), self.settings(), **{**asked, **variables})

    def test_a_collector_gets_the_phases_of_a_request_and_the_backend_its_place_in_the_trace(self):
        with Echo() as backend, Collector() as collector:
            gateway = self.traced(backend, collector)
            parent = "53995c3f42cd8ad8"
            answer = gateway.get("/proxy", ("x-api-key", KEY), ("traceparent", f"00-{TRACE}-{parent}-01"))
            self.assertEqual(answer.status, 200, answer)
            seen = answer.json
            spans = wait_for("the spans", lambda: root_of(collector, TRACE) and collector.of_trace(TRACE))

            by_name = {span.name: span for span in spans}
            root = by_name["GET /proxy"]
            self.assertEqual(root.kind, Span.SPAN_KIND_SERVER)
            self.assertEqual(root.parent_span_id.hex(), parent)
            phases = ["route", "throttle", "validation", "mapping", "integration", "response mapping"]
            self.assertEqual(set(by_name), {"GET /proxy", *phases})
            for phase in phases:
                self.assertEqual(by_name[phase].parent_span_id, root.span_id, phase)
                self.assertLessEqual(root.start_time_unix_nano, by_name[phase].start_time_unix_nano)
                self.assertLessEqual(by_name[phase].end_time_unix_nano, root.end_time_unix_nano)
            integration = by_name["integration"]
            self.assertEqual(integration.kind, Span.SPAN_KIND_CLIENT)
            own = integration.span_id.hex()
            self.assertEqual(seen["traceparent"], f"00-{TRACE}-{own}-01")
            self.assertEqual(seen["x-amzn-trace-id"], f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={own};Sampled=1")
            attributes = {one.key: one.value for one in root.attributes}
            self.assertEqual(attributes["http.response.status_code"].int_value, 200)
            self.assertEqual(attributes["http.route"].string_value, "/proxy")
            self.assertEqual(collector.resources[0]["service.name"], "tollgate")

    def test_xrays_header_is_continued_and_mapped_for_functions(self):
        with Echo() as backend, Collector() as collector:
            gateway = self.traced(backend, collector)
            xray = f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a:0"
            answer = gateway.get("/fn", ("X-Amzn-Trace-Id", xray))
            self.assertEqual(answer.status, 200, answer)
            spans = wait_for("the spans", lambda: root_of(collector, TRACE) and collector.of_trace(TRACE))
            own = next(span for span in spans if span.name == "integration").span_id.hex()
            expected = f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={own};Sampled=1;Lineage=a:0"
            self.assertEqual(answer.json["xray"], expected)
            self.assertEqual(answer.json["headers"]["X-Amzn-Trace-Id"], expected)
            self.assertEqual(answer.json["headers"]["traceparent"], f"00-{TRACE}-{own}-01")

    def test_what_is_not_sampled_is_told_on_and_not_sent(self):
        with Echo() as backend, Collector() as collector:
            gateway = self.traced(
                backend, collector, OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0"
            )
            refused = f"00-{TRACE}-53995c3f42cd8ad8-00"
            seen = gateway.get("/proxy", ("x-api-key", KEY), ("traceparent", refused)).json
            self.assertEqual(seen["traceparent"], refused)
            seen = gateway.get("/proxy", ("x-api-key", KEY)).json
            self.assertRegex(seen["traceparent"], "^00-[0-9a-f]{32}-[0-9a-f]{16}-00$")
            trace = seen["traceparent"].split("-")[1]
            self.assertIn(f"Root=1-{trace[:8]}-{trace[8:]};", seen["x-amzn-trace-id"])
            other = "4bf92f3577b34da6a3ce929d0e0e4736"
            gateway.get("/proxy", ("x-api-key", KEY), ("traceparent", f"00-{other}-00f067aa0ba902b7-01"))
            wait_for("the sampled one", lambda: root_of(collector, other))
            gateway.__exit__()
            self.assertEqual({span.trace_id.hex() for span in collector.spans}, {other})

    def test_the_last_spans_are_sent_before_the_end(self):
        with Echo() as backend, Collector() as collector:
            gateway = self.traced(backend, collector, OTEL_BSP_SCHEDULE_DELAY="60000")
            gateway.get("/proxy")
            gateway.__exit__()
            root = next(span for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER)
            attributes = {one.key: one.value.string_value for one in root.attributes}
            self.assertEqual(attributes["error.type"], "INVALID_API_KEY")


def root_of(collector, trace):
    return any(span.kind == Span.SPAN_KIND_SERVER for span in collector.of_trace(trace))


class Echo:
    """An HTTP backend that answers with the headers it got."""

    def __enter__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


if __name__ == "__main__":
    for tool in ["prometheus", "promtool"]:
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is missing: install prometheus")
    unittest.main(verbosity=2)
