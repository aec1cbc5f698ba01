#!/usr/bin/env python3
"""What watching costs: requests per CPU second of the gateway's process, with and without access log and traces.

    benches/observability.py [--before OTHER_BINARY] [--rounds 15] [--seconds 2]

Wants `wrk`, and the program to measure in TOLLGATE. All gateways run at once, and are loaded in turn, so that what
else the machine does meets all of them; of a gateway's rounds the median counts. `--before` names a build without any of it.
Behind each is the same backend, a gateway's mock of 1 KB, reached by `http_proxy`.
"""

import argparse
import contextlib
import http.server
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from gateway import Gateway  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
UNLIMITED = {"throttle": {"rateLimit": 1e7, "burstLimit": 10_000_000}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--before", help="a build to compare with")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=2)
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        backend = serve(stack, folder / "backend", mock(), {}, "-q")
        proxy = proxied(backend.port)
        log = {"stage": {"accessLogSettings": {"destination": "access.log", "format": "JSON"}}}
        collector = stack.enter_context(collecting())
        traces = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
        }
        gateways = {
            "metrics": serve(stack, folder / "metrics", proxy, {}, "-q"),
            "metrics, access log": serve(stack, folder / "access", proxy, log, "-q"),
            "metrics, access log, traces at 1 %": serve(stack, folder / "traces", proxy, log, "-q", **traces),
            "metrics, one log line a request": serve(stack, folder / "lines", proxy, {}),
        }
        if asked.before:
            new, os.environ["TOLLGATE"] = os.environ["TOLLGATE"], asked.before
            gateways = {"nothing": serve(stack, folder / "before", proxy, {}), **gateways}
            os.environ["TOLLGATE"] = new
        rates = {name: [] for name in gateways}
        for gateway in gateways.values():
            load(gateway, 1)
        for _ in range(asked.rounds):
            for name, gateway in gateways.items():
                rates[name].append(load(gateway, asked.seconds))
        table(rates)


def table(rates):
    first = statistics.median(next(iter(rates.values())))
    print("| on | requests per CPU second | of the first | rounds from to |\n| --- | --- | --- | --- |")
    for name, rounds in rates.items():
        median = statistics.median(rounds)
        print(f"| {name} | {median:,.0f} | {median / first:.3f} | {min(rounds):,.0f} to {max(rounds):,.0f} |")


def load(gateway, seconds):
    """Requests that were answered, by the CPU seconds that the gateway's process took for it."""
    before = cpu(gateway)
    address = f"http://127.0.0.1:{gateway.port}/x"
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", address]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in printed or "Socket errors" in printed:
        sys.exit(f"not all requests were answered:\n{printed}\n{gateway.log()[-2000:]}")
    return int(re.search(r"(\d+) requests in", printed).group(1)) / (cpu(gateway) - before)


def cpu(gateway):
    fields = pathlib.Path(f"/proc/{gateway.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def serve(stack, folder, operation, settings, *arguments, **variables):
    folder.mkdir()
    document = {
        "openapi": "3.0.1",
        "info": {"title": "measured", "version": "1"},
        "paths": {"/x": {"get": operation}},
    }
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "tollgate.yaml").write_text(json.dumps({**UNLIMITED, **settings}))
    return stack.enter_context(Gateway("openapi.json", *arguments, cwd=folder, **variables))


def mock():
    template = json.dumps({"text": "x" * 1000})
    return {
        "responses": {"200": {"description": "OK"}},
        "x-amazon-apigateway-integration": {
            "type": "mock",
            "requestTemplates": {"application/json": '{"statusCode": 200}'},
            "responses": {"default": {"statusCode": "200", "responseTemplates": {"application/json": template}}},
        },
    }


def proxied(port):
    address = f"http://127.0.0.1:{port}/x"
    integration = {"type": "http_proxy", "httpMethod": "GET", "uri": address}
    return {"responses": {"200": {"description": "OK"}}, "x-amazon-apigateway-integration": integration}


@contextlib.contextmanager
def collecting():
    """A collector that takes everything and keeps nothing."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main()
