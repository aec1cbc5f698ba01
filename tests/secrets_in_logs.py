"""No secret is logged whole: real requests with every kind of credential, at the most verbose level.

Tokens in headers, queries and bodies, passwords, client secrets, API keys, IAM secrets, signatures and
session tokens go through every authorizer, with execution logs, access logs and the logs of the libraries
underneath. Then all that was printed or written is searched for them.
"""

import json
import pathlib
import socket
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway import Gateway, Backend

POOL = "us-east-1_Secrets01"
ISSUER = f"https://cognito-idp.us-east-1.amazonaws.com/{POOL}"
PASSWORD = "Wonder-1and-of-secrets"
CLIENT_SECRET = "client-secret-9f8e7d6c5b4a"
API_KEY = "api-key-value-0123456789abcdef"
OTHER_KEY = "unknown-api-key-0123456789abc"
IAM_KEY = "AKIAIOSFODNN7EXAMPLE"
IAM_SECRET = "iam-secret-wJalrXUtnFEMI/K7MDENG/bPxRfiCY"
SESSION = "session-token-FwoGZXIvYXdzEXAMPLETOKEN0123456789"
AWS_SECRET = "own-secret-je7MtGbClwBF/2Zp9Utk/h3yCo8nvb"
AWS_SESSION = "own-session-token-0123456789abcdefghij"
OPAQUE = "opaque-token-0f1e2d3c4b5a69788796a5b4"
IN_QUERY = "query/token+0f1e2d3c4b5a6978"
COOKIE = "cookie-secret-0f1e2d3c4b5a6978"

ECHO = {"type": "aws_proxy", "httpMethod": "POST", "uri": "local:echo"}
REMOTE = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:remote/invocations"
OWN = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:decide/invocations"
# The answer's body repeats the token without its scheme.
DECIDE = """
def handler(event, context):
    source = event.get("authorizationToken") or (event.get("queryStringParameters") or {}).get("token")
    if event.get("version") == "2.0":
        return {"isAuthorized": True, "context": {"seen": source or event["identitySource"][0]}}
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": "*"}
    return {"principalId": "someone", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
            "context": {"seen": source.removeprefix("Bearer ")}, "usageIdentifierKey": "%s"}
""" % API_KEY


def route(security=None, integration=ECHO):
    return {"get": {"responses": {"200": {"description": "OK"}}, "x-amazon-apigateway-integration": integration,
                    **({"security": [{security: []}]} if security else {})}}


def documents(backend):
    proxy = {"type": "http_proxy", "httpMethod": "GET", "uri": f"http://127.0.0.1:{backend}/shop/x",
             "requestParameters": {"integration.request.querystring.passed": "method.request.querystring.token"}}
    scheme = {"type": "apiKey", "in": "header"}
    pool = f"arn:aws:cognito-idp:us-east-1:123456789012:userpool/{POOL}"
    rest = {
        "openapi": "3.0.1",
        "info": {"title": "rest", "version": "1"},
        "paths": {
            "/open": route(),
            "/pool": route("pool"),
            "/token": route("token"),
            "/request": route("request"),
            "/proxied": {"parameters": [{"name": "token", "in": "query"}], **route("request", proxy)},
            "/signed": route("signed"),
            "/paid": route("key"),
            "/remote": route(None, {"type": "aws_proxy", "httpMethod": "POST", "uri": REMOTE}),
        },
        "components": {"securitySchemes": {
            "pool": {**scheme, "name": "Authorization", "x-amazon-apigateway-authtype": "cognito_user_pools",
                     "x-amazon-apigateway-authorizer": {"type": "cognito_user_pools", "providerARNs": [pool]}},
            "token": {**scheme, "name": "X-Ticket", "x-amazon-apigateway-authtype": "custom",
                      "x-amazon-apigateway-authorizer": {"type": "token", "authorizerUri": OWN}},
            "request": {**scheme, "name": "Unused", "x-amazon-apigateway-authtype": "custom",
                        "x-amazon-apigateway-authorizer": {
                            "type": "request", "authorizerUri": OWN, "identitySource": "method.request.querystring.token"}},
            "signed": {**scheme, "name": "Authorization", "x-amazon-apigateway-authtype": "awsSigv4"},
            "key": {**scheme, "name": "x-api-key"},
        }},
    }
    http_echo = {**ECHO, "payloadFormatVersion": "2.0"}
    http = {
        "openapi": "3.0.1",
        "info": {"title": "http", "version": "1"},
        "paths": {"/jwt": route("jwt", http_echo), "/query": route("query", http_echo), "/lambda": route("lambda", http_echo)},
        "components": {"securitySchemes": {
            "jwt": {"type": "oauth2", "x-amazon-apigateway-authorizer": {
                "type": "jwt", "identitySource": "$request.header.Authorization",
                "jwtConfiguration": {"issuer": ISSUER, "audience": ["service"]}}},
            "query": {"type": "oauth2", "x-amazon-apigateway-authorizer": {
                "type": "jwt", "identitySource": "$request.querystring.token",
                "jwtConfiguration": {"issuer": ISSUER, "audience": ["service"]}}},
            "lambda": {**scheme, "name": "X-Ticket", "x-amazon-apigateway-authorizer": {
                "type": "request", "authorizerUri": OWN, "identitySource": "$request.header.X-Ticket",
                "authorizerPayloadFormatVersion": "2.0", "enableSimpleResponses": True, "authorizerResultTtlInSeconds": 0}},
        }},
    }
    return rest, http


CONFIG = {
    "region": "us-east-1",
    "stage": {
        "methodSettings": {"*/*": {"loggingLevel": "INFO", "dataTraceEnabled": True}},
        "accessLogSettings": {
            "destination": "access.log",
            "format": "$context.requestId $context.path $context.identity.apiKey $context.identity.apiKeyId $context.identity.accessKey $context.authorizer.error",
        },
    },
    "functions": {"decide": {"runtime": "python3.11", "handler": "app.handler", "codeUri": "function"}},
    "apiKeys": [{"name": "alice", "value": API_KEY}],
    "usagePlans": [{"name": "gold", "apiKeys": ["alice"]}],
    "iam": {"users": [{"accessKeyId": IAM_KEY, "secretAccessKey": IAM_SECRET, "sessionToken": SESSION,
                       "userArn": "arn:aws:iam::123456789012:user/alice",
                       "policies": [{"Version": "2012-10-17", "Statement": [
                           {"Effect": "Allow", "Action": "execute-api:*", "Resource": "*"}]}]}]},
    "userPools": {POOL: {
        "local": True,
        "clients": [{"clientId": "service", "clientSecret": CLIENT_SECRET, "allowedOAuthScopes": ["orders/read"]},
                    {"clientId": "web"}],
        "users": [{"username": "alice", "password": PASSWORD}],
        "resourceServers": [{"identifier": "orders", "scopes": ["read"]}],
    }},
}


def wait_for(find):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := find():
            return found
        time.sleep(0.01)
    raise TimeoutError("the gateway printed no address within 20 s")


class Secrets(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "function").mkdir()
        (self.folder / "function/app.py").write_text(DECIDE)
        (self.folder / "tollgate.yaml").write_text(json.dumps(CONFIG))
        backend = self.enterContext(Backend())
        for name, document in zip(("rest.json", "http.json"), documents(backend.port)):
            (self.folder / name).write_text(json.dumps(document))

    def serve(self, *arguments, **variables):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            closed = f"http://127.0.0.1:{taken.getsockname()[1]}"
        keys = {"AWS_ACCESS_KEY_ID": "AKIDOWNEXAMPLE", "AWS_SECRET_ACCESS_KEY": AWS_SECRET, "AWS_SESSION_TOKEN": AWS_SESSION}
        gateway = Gateway(
            "rest.json", "http.json", "--lambda-endpoint", closed, *arguments, cwd=self.folder, **keys, **variables
        )
        self.enterContext(gateway)
        listening = wait_for(lambda: [json.loads(line) for line in gateway.log().splitlines() if '"message":"listening"' in line])[0]
        # The libraries speak of other addresses first.
        gateway.port = int(listening["url"].rpartition(":")[2])
        self.host = listening["apis"][1]["host"]
        self.admin = listening["admin"]
        return gateway

    def post(self, path, body, headers):
        request = urllib.request.Request(self.admin + path, body.encode(), headers)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def cognito(self, action, **body):
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"AWSCognitoIdentityProviderService.{action}"}
        return self.post("/", json.dumps(body), headers)

    def signature(self, gateway, signer, session=SESSION):
        """Headers and target of a signed request, and what of it is a secret."""
        url = f"http://127.0.0.1:{gateway.port}/signed"
        request = AWSRequest("GET", url)
        signer(Credentials(IAM_KEY, IAM_SECRET, session), "execute-api", "us-east-1").add_auth(request)
        target = request.url.removeprefix(f"http://127.0.0.1:{gateway.port}")
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(request.url).query))
        authorization = request.headers.get("Authorization", "")
        signature = query.get("X-Amz-Signature") or authorization.rpartition("Signature=")[2]
        return list(request.headers.items()), target, signature

    def call_all(self, gateway):
        """Sends each kind of credential; what must not be found afterwards."""
        secrets = [PASSWORD, CLIENT_SECRET, API_KEY, OTHER_KEY, IAM_SECRET, SESSION, AWS_SECRET, AWS_SESSION, OPAQUE, IN_QUERY, COOKIE]
        form = {"content-type": "application/x-www-form-urlencoded"}
        machine = self.post("/oauth2/token", urllib.parse.urlencode({
            "grant_type": "client_credentials", "client_id": "service", "client_secret": CLIENT_SECRET}), form)
        person = self.cognito("InitiateAuth", AuthFlow="USER_PASSWORD_AUTH", ClientId="web",
                              AuthParameters={"USERNAME": "alice", "PASSWORD": PASSWORD})["AuthenticationResult"]
        again = self.cognito("InitiateAuth", AuthFlow="REFRESH_TOKEN_AUTH", ClientId="web",
                             AuthParameters={"REFRESH_TOKEN": person["RefreshToken"]})["AuthenticationResult"]
        self.cognito("GetUser", AccessToken=person["AccessToken"])
        key = self.post("/apikeys", json.dumps({"name": "bob", "enabled": True}), {"content-type": "application/json"})
        secrets += [machine["access_token"], person["IdToken"], person["AccessToken"], person["RefreshToken"], again["IdToken"], key["value"]]

        def get(expected, path, *headers):
            answer = gateway.get(path, *headers)
            self.assertEqual(answer.status, expected, (path, answer))

        get(200, "/open", ("Authorization", f"Bearer {OPAQUE}"), ("Cookie", f"sid={COOKIE}"), ("x-api-key", API_KEY))
        get(200, "/pool", ("Authorization", person["IdToken"]))
        get(200, "/pool", ("Authorization", f"Bearer {person['IdToken']}"))
        get(401, "/pool", ("Authorization", person["AccessToken"]))
        get(401, "/pool", ("Authorization", OPAQUE))
        get(200, "/token", ("X-Ticket", f"Bearer {OPAQUE}"))
        get(200, "/token", ("X-Ticket", f"{OPAQUE}-other"))
        for path in ("/request", "/proxied"):
            get(200, f"{path}?token={urllib.parse.quote(IN_QUERY, safe='')}")
        get(200, "/paid", ("x-api-key", API_KEY))
        get(403, "/paid", ("x-api-key", OTHER_KEY))
        get(500, "/remote", ("Authorization", OPAQUE))
        host = ("Host", self.host)
        get(200, "/jwt", host, ("Authorization", f"Bearer {machine['access_token']}"))
        get(401, "/jwt", host, ("Authorization", OPAQUE))
        get(200, f"/query?token={machine['access_token']}", host)
        get(200, "/lambda", host, ("X-Ticket", OPAQUE))
        for signer in (SigV4Auth, SigV4QueryAuth):
            headers, target, signature = self.signature(gateway, signer)
            get(200, target, *headers)
            secrets.append(signature)
            headers, target, signature = self.signature(gateway, signer, "wrong-" + SESSION)
            get(403, target, *headers)
            secrets.append(signature)
        # What no route takes, with a header that is no signature.
        get(403, "/nothing", ("Authorization", f"Bearer {OPAQUE}"))
        return [secret for secret in secrets if secret]

    def check(self, gateway):
        secrets = self.call_all(gateway)
        gateway.__exit__()
        written = {"the log": gateway.log(), "the access log": (self.folder / "access.log").read_text()}
        # They did come by: their last characters are shown.
        for shown in (OPAQUE, API_KEY, IN_QUERY, SESSION, COOKIE):
            self.assertIn("*" + shown[-6:], written["the log"])
        self.assertIn("*" + API_KEY[-6:], written["the access log"])
        for where, text in written.items():
            for secret in secrets:
                for form in {secret, urllib.parse.quote(secret, safe=""), json.dumps(secret)[1:-1]}:
                    at = text.find(form)
                    self.assertEqual(at, -1, f"{where} has `{form}`: …{text[max(0, at - 300) : at + 100]}")

    def test_everything_that_v_can_say(self):
        self.check(self.serve("-vv"))

    def test_everything_that_the_libraries_can_say(self):
        self.check(self.serve(RUST_LOG="trace"))


if __name__ == "__main__":
    unittest.main()
