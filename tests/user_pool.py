"""Signs in at a local user pool by the clients that people use with Cognito, and calls protected routes.

boto3, pycognito and amazon-cognito-identity-js run as they are: only their endpoint is
the gateway's. What is refused matters as much: wrong passwords, revoked refresh tokens,
tokens of another pool, other people's web pages.
"""

import base64
import concurrent.futures
import hashlib
import hmac
import http.client
import json
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

import boto3
import botocore.exceptions
import jwt
import pycognito
from botocore import UNSIGNED
from botocore.config import Config

from gateway import ROOT, Gateway, clean_environment, program

FIXTURE = ROOT / "fixtures" / "user_pool"
ADMIN = re.compile(r'"admin":"(http://127\.0\.0\.1:\d+)"')
POOL = "us-east-1_Example1"
ISSUER = f"https://cognito-idp.us-east-1.amazonaws.com/{POOL}"
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
PASSWORD = "Wonder-1and"
SECRET = "service-secret-0123456789"


def folder_with_fixture(case, extra=""):
    folder = tempfile.TemporaryDirectory()
    case.addCleanup(folder.cleanup)
    path = pathlib.Path(folder.name)
    for name in ("openapi.yaml", "http.yaml", "tollgate.yaml"):
        shutil.copy(FIXTURE / name, path)
    with open(path / "tollgate.yaml", "a") as config:
        config.write(extra)
    return path


def secret_hash(username, client="service", secret=SECRET):
    digest = hmac.new(secret.encode(), (username + client).encode(), hashlib.sha256)
    return base64.b64encode(digest.digest()).decode()


class UserPool(unittest.TestCase):
    def setUp(self):
        self.folder = folder_with_fixture(self)
        self.gateway = self.start()

    def start(self, *arguments, cwd=None):
        gateway = Gateway("openapi.yaml", "http.yaml", *arguments, cwd=cwd or self.folder)
        self.enterContext(gateway)
        self.admin = ADMIN.search(gateway.log()).group(1)
        hosts = [one["host"] for one in json.loads(self.listening(gateway))["apis"]]
        self.http_host = hosts[1]
        return gateway

    def listening(self, gateway):
        return next(line for line in gateway.log().splitlines() if '"message":"listening"' in line)

    def cognito(self, signed=True):
        # As an app or an administrator would: the calls of apps are not signed.
        config = Config(retries={"max_attempts": 0}, **({} if signed else {"signature_version": UNSIGNED}))
        client = boto3.client("cognito-idp", endpoint_url=self.admin, config=config, **KEYS)
        self.addCleanup(client.close)
        return client

    def get(self, path, token, host=None):
        headers = [("Authorization", token)] + ([("Host", host)] if host else [])
        return self.gateway.send("GET", path, headers)

    def password_sign_in(self, username="alice", password=PASSWORD, client="web", **more):
        parameters = {"USERNAME": username, "PASSWORD": password, **more}
        return self.cognito(signed=False).initiate_auth(
            ClientId=client, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=parameters
        )

    def refused(self, kind, message=None):
        case = self

        class Refused:
            def __enter__(self):
                return self

            def __exit__(self, _, error, trace):
                case.assertIsInstance(error, botocore.exceptions.ClientError, "nothing was refused")
                case.assertEqual(error.response["Error"]["Code"], kind, error.response)
                if message:
                    case.assertEqual(error.response["Error"]["Message"], message)
                return True

        return Refused()

    # ---- boto3

    def test_boto3_signs_in_with_a_password_and_both_kinds_of_api_take_the_tokens(self):
        result = self.password_sign_in()["AuthenticationResult"]

        mine = self.get("/me", result["IdToken"])
        self.assertEqual(mine.status, 200, mine)
        self.assertEqual(mine.json["email"], "alice@example.com")
        self.assertEqual(mine.json["groups"], "admin,staff")
        self.assertEqual(self.get("/me", result["AccessToken"]).status, 401)
        self.assertEqual(self.get("/profile", "Bearer " + result["AccessToken"]).status, 200)
        self.assertEqual(self.get("/orders", result["AccessToken"]).status, 401)
        for token in (result["IdToken"], result["AccessToken"]):
            self.assertEqual(self.get("/me", "Bearer " + token, self.http_host).status, 200)
        self.assertEqual(self.get("/orders", result["AccessToken"], self.http_host).status, 403)

    def test_tokens_verify_with_the_published_keys_and_have_cognitos_claims(self):
        result = self.password_sign_in()["AuthenticationResult"]
        with urllib.request.urlopen(f"{self.admin}/{POOL}/.well-known/openid-configuration") as answer:
            discovered = json.load(answer)
        self.assertEqual(discovered["issuer"], ISSUER)
        keys = jwt.PyJWKClient(discovered["jwks_uri"])

        def verify(token, **options):
            key = keys.get_signing_key_from_jwt(token)
            return jwt.decode(token, key.key, algorithms=["RS256"], issuer=ISSUER, **options)

        identity = verify(result["IdToken"], audience="web")
        access = verify(result["AccessToken"])
        self.assertEqual(identity["token_use"], "id")
        self.assertEqual(identity["cognito:username"], "alice")
        self.assertEqual(identity["cognito:groups"], ["admin", "staff"])
        self.assertEqual(identity["cognito:preferred_role"], "arn:aws:iam::123456789012:role/admin")
        self.assertEqual(identity["email_verified"], True)
        self.assertEqual(identity["custom:tenant"], "blue")
        self.assertEqual(identity["exp"] - identity["iat"], 3600)
        self.assertEqual(access["token_use"], "access")
        self.assertEqual(access["client_id"], "web")
        self.assertEqual(access["username"], "alice")
        self.assertEqual(access["scope"], "aws.cognito.signin.user.admin")
        self.assertNotIn("aud", access)
        for name in ("sub", "origin_jti", "event_id", "auth_time"):
            self.assertEqual(identity[name], access[name])
        self.assertNotEqual(identity["jti"], access["jti"])

    def test_wrong_passwords_users_and_clients_are_refused_as_cognito_words_it(self):
        with self.refused("NotAuthorizedException", "Incorrect username or password."):
            self.password_sign_in(password="wrong")
        with self.refused("UserNotFoundException", "User does not exist."):
            self.password_sign_in("nobody")
        with self.refused("ResourceNotFoundException", "User pool client nowhere does not exist."):
            self.password_sign_in(client="nowhere")
        with self.refused("NotAuthorizedException", "Client service is configured for secret but secret was not received"):
            self.password_sign_in(client="service")
        with self.refused("NotAuthorizedException", "SecretHash does not match for the client: service"):
            self.password_sign_in(client="service", SECRET_HASH=secret_hash("bob"))
        with self.refused("InvalidParameterException"):
            self.cognito(signed=False).initiate_auth(ClientId="web", AuthFlow="USER_SRP_AUTH", AuthParameters={"USERNAME": "alice"})
        signed_in = self.password_sign_in(client="service", SECRET_HASH=secret_hash("alice"))
        self.assertIn("AccessToken", signed_in["AuthenticationResult"])

    def test_a_refresh_token_brings_new_tokens_until_it_is_revoked(self):
        aws = self.cognito(signed=False)
        first = self.password_sign_in()["AuthenticationResult"]
        refresh = {"ClientId": "web", "AuthFlow": "REFRESH_TOKEN_AUTH", "AuthParameters": {"REFRESH_TOKEN": first["RefreshToken"]}}

        second = aws.initiate_auth(**refresh)["AuthenticationResult"]
        self.assertNotIn("RefreshToken", second)
        self.assertEqual(self.get("/me", second["IdToken"]).status, 200)

        with self.refused("NotAuthorizedException", "Invalid Refresh Token"):
            broken = first["RefreshToken"][:-4] + "AAAA"
            aws.initiate_auth(**{**refresh, "AuthParameters": {"REFRESH_TOKEN": broken}})
        aws.revoke_token(ClientId="web", Token=first["RefreshToken"])
        with self.refused("NotAuthorizedException", "Refresh Token has been revoked"):
            aws.initiate_auth(**refresh)
        with self.refused("NotAuthorizedException", "Access Token has been revoked"):
            aws.get_user(AccessToken=second["AccessToken"])
        # Another sign-in is not touched.
        self.assertIn("IdToken", self.password_sign_in()["AuthenticationResult"])

    def test_a_sign_out_everywhere_ends_every_sign_in_before_it(self):
        aws = self.cognito(signed=False)
        one, other = (self.password_sign_in()["AuthenticationResult"] for _ in range(2))

        aws.global_sign_out(AccessToken=one["AccessToken"])

        for old in (one, other):
            with self.refused("NotAuthorizedException"):
                aws.initiate_auth(ClientId="web", AuthFlow="REFRESH_TOKEN_AUTH", AuthParameters={"REFRESH_TOKEN": old["RefreshToken"]})
        fresh = self.password_sign_in()["AuthenticationResult"]
        self.assertEqual(aws.get_user(AccessToken=fresh["AccessToken"])["Username"], "alice")

    def test_a_user_signs_up_is_told_a_code_and_is_kept_over_a_restart(self):
        aws = self.cognito(signed=False)
        new = {"ClientId": "web", "Username": "carol", "Password": "Long-Enough-1"}
        email = [{"Name": "email", "Value": "carol@example.com"}]
        with self.refused("InvalidPasswordException", "Password did not conform with policy: Password not long enough"):
            aws.sign_up(**{**new, "Password": "Ab1!"})
        with self.refused("InvalidParameterException", "Invalid email address format."):
            aws.sign_up(**new, UserAttributes=[{"Name": "email", "Value": "carol"}])

        made = aws.sign_up(**new, UserAttributes=email)
        self.assertEqual(made["UserConfirmed"], False)
        self.assertEqual(made["CodeDeliveryDetails"]["Destination"], "c***@e***")
        with self.refused("UsernameExistsException", "User already exists"):
            aws.sign_up(**new)
        with self.refused("UserNotConfirmedException", "User is not confirmed."):
            self.password_sign_in("carol", "Long-Enough-1")
        code = self.messages()[-1]["code"]
        self.assertNotIn(code, self.gateway.log())
        wrong = f"{(int(code) + 1) % 1_000_000:06}"
        with self.refused("CodeMismatchException"):
            aws.confirm_sign_up(ClientId="web", Username="carol", ConfirmationCode=wrong)
        aws.confirm_sign_up(ClientId="web", Username="carol", ConfirmationCode=code)
        with self.refused("NotAuthorizedException", "User cannot be confirmed. Current status is CONFIRMED"):
            aws.confirm_sign_up(ClientId="web", Username="carol", ConfirmationCode=code)
        before = self.password_sign_in("carol", "Long-Enough-1")["AuthenticationResult"]

        self.gateway.__exit__()
        self.gateway = self.start()

        after = self.password_sign_in("carol", "Long-Enough-1")["AuthenticationResult"]
        self.assertEqual(self.get("/me", before["IdToken"]).json, self.get("/me", after["IdToken"]).json)
        self.assertEqual(self.get("/me", after["IdToken"]).json["sub"], made["UserSub"])

    def messages(self):
        text = (self.folder / ".tollgate/user-pools" / POOL / "messages.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def test_a_forgotten_password_is_replaced_with_the_code_that_was_sent(self):
        aws = self.cognito(signed=False)
        aws.forgot_password(ClientId="web", Username="alice")
        code = self.messages()[-1]["code"]
        for _ in range(5):
            with self.refused("CodeMismatchException"):
                aws.confirm_forgot_password(ClientId="web", Username="alice", ConfirmationCode="none", Password="Other-Pa55word")
        with self.refused("ExpiredCodeException"):
            aws.confirm_forgot_password(ClientId="web", Username="alice", ConfirmationCode=code, Password="Other-Pa55word")

        aws.forgot_password(ClientId="web", Username="alice")
        code = self.messages()[-1]["code"]
        aws.confirm_forgot_password(ClientId="web", Username="alice", ConfirmationCode=code, Password="Other-Pa55word")

        self.assertIn("AuthenticationResult", self.password_sign_in(password="Other-Pa55word"))
        with self.refused("NotAuthorizedException"):
            self.password_sign_in()

    def test_an_administrator_makes_users_groups_and_clients(self):
        aws, pool = self.cognito(), {"UserPoolId": POOL}
        made = aws.admin_create_user(**pool, Username="dave", TemporaryPassword="Tempora-1", MessageAction="SUPPRESS")["User"]
        self.assertEqual(made["UserStatus"], "FORCE_CHANGE_PASSWORD")
        with self.refused("UsernameExistsException", "User account already exists"):
            aws.admin_create_user(**pool, Username="dave")
        aws.create_group(**pool, GroupName="buyers", Description="who buys")
        with self.refused("GroupExistsException"):
            aws.create_group(**pool, GroupName="buyers")
        aws.admin_add_user_to_group(**pool, Username="dave", GroupName="buyers")
        client = aws.create_user_pool_client(
            **pool, ClientName="tests", GenerateSecret=True, ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
        )["UserPoolClient"]
        described = aws.describe_user_pool_client(**pool, ClientId=client["ClientId"])["UserPoolClient"]
        self.assertEqual(described["ClientSecret"], client["ClientSecret"])

        auth = {"USERNAME": "dave", "PASSWORD": "Tempora-1", "SECRET_HASH": secret_hash("dave", client["ClientId"], client["ClientSecret"])}
        challenge = aws.admin_initiate_auth(
            **pool, ClientId=client["ClientId"], AuthFlow="ADMIN_USER_PASSWORD_AUTH", AuthParameters=auth
        )
        self.assertEqual(challenge["ChallengeName"], "NEW_PASSWORD_REQUIRED")
        answer = {"USERNAME": "dave", "NEW_PASSWORD": "Chosen-0ne", "SECRET_HASH": auth["SECRET_HASH"]}
        respond = {**pool, "ClientId": client["ClientId"], "ChallengeName": "NEW_PASSWORD_REQUIRED", "Session": challenge["Session"]}
        tokens = aws.admin_respond_to_auth_challenge(**respond, ChallengeResponses=answer)["AuthenticationResult"]
        self.assertEqual(self.get("/me", tokens["IdToken"]).json["groups"], "buyers")
        with self.refused("NotAuthorizedException", "Invalid session for the user."):
            aws.admin_respond_to_auth_challenge(**respond, ChallengeResponses={**answer, "NEW_PASSWORD": "Another-0ne"})
        with self.refused("InvalidParameterException"):
            self.password_sign_in("dave", "Chosen-0ne", client["ClientId"], SECRET_HASH=auth["SECRET_HASH"])

        aws.admin_set_user_password(**pool, Username="bob", Password="Set-By-0thers", Permanent=True)
        self.assertIn("AuthenticationResult", self.password_sign_in("bob", "Set-By-0thers"))
        user = aws.admin_get_user(**pool, Username="dave")
        self.assertEqual(user["UserStatus"], "CONFIRMED")
        names = {user["Username"] for page in aws.get_paginator("list_users").paginate(**pool, PaginationConfig={"PageSize": 1}) for user in page["Users"]}
        self.assertEqual(names, {"alice", "bob", "dave"})
        found = aws.list_users(**pool, Filter='email = "alice@example.com"')["Users"]
        self.assertEqual([user["Username"] for user in found], ["alice"])
        self.assertEqual(aws.describe_user_pool(**pool)["UserPool"]["Id"], POOL)
        aws.admin_disable_user(**pool, Username="bob")
        with self.refused("NotAuthorizedException", "User is disabled."):
            self.password_sign_in("bob", "Set-By-0thers")
        aws.admin_delete_user(**pool, Username="dave")
        with self.refused("UserNotFoundException"):
            aws.admin_get_user(**pool, Username="dave")
        with self.refused("ResourceNotFoundException", "User pool us-east-1_None does not exist."):
            aws.list_users(UserPoolId="us-east-1_None")

    # ---- pycognito

    def pycognito(self, username, **more):
        config = Config(signature_version=UNSIGNED)
        return pycognito.Cognito(
            POOL, "web", user_pool_region="us-east-1", username=username, boto3_client_kwargs={"endpoint_url": self.admin, "config": config}, **more
        )

    def test_pycognito_proves_that_it_knows_the_password(self):
        # It reads the keys at its endpoint, and wants the issuer to be there, too.
        self.gateway.__exit__()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        config = self.folder / "tollgate.yaml"
        own = f"local: true\n    issuer: http://127.0.0.1:{port}/{POOL}"
        config.write_text(config.read_text().replace("local: true", own))
        self.gateway = self.start("--admin-port", str(port))
        user = self.pycognito("alice")
        user.authenticate(password=PASSWORD)

        self.assertEqual(self.get("/me", user.id_token).json["email"], "alice@example.com")
        self.assertEqual(user.get_user().email, "alice@example.com")
        user.change_password(PASSWORD, "Changed-Pa55")
        with self.refused("NotAuthorizedException", "Incorrect username or password."):
            self.pycognito("alice").authenticate(password=PASSWORD)
        again = self.pycognito("alice")
        again.authenticate(password="Changed-Pa55")
        again.renew_access_token()
        self.assertEqual(self.get("/profile", again.access_token).status, 200)

    # ---- amazon-cognito-identity-js

    def node(self, *arguments):
        ran = subprocess.run(
            ["node", FIXTURE / "sign_in.mjs", f"{self.admin}/", f"http://127.0.0.1:{self.gateway.port}", *arguments],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return {step.pop("step"): step for step in map(json.loads, ran.stdout.splitlines())}

    def test_a_web_app_signs_in_refreshes_and_signs_out(self):
        steps = self.node("alice", PASSWORD)

        self.assertEqual(steps["me"], {"status": 200, "body": {**steps["me"]["body"], "email": "alice@example.com"}})
        self.assertEqual(steps["profile"]["status"], 200)
        self.assertEqual(steps["refreshed"]["status"], 200)
        self.assertEqual(steps["signedIn"]["claims"]["cognito:groups"], ["admin", "staff"])
        self.assertEqual(steps["signedOut"], {"code": "NotAuthorizedException", "message": "Refresh Token has been revoked"})
        self.assertEqual(self.node("alice", "wrong"), {"failed": {"code": "NotAuthorizedException", "message": "Incorrect username or password."}})

    def test_a_web_app_lets_its_user_choose_a_new_password(self):
        steps = self.node("bob", "First-Pa55word", "Second-Pa55word")

        self.assertIn("newPasswordRequired", steps)
        self.assertEqual(steps["me"]["body"]["email"], "bob@example.com")
        self.assertIn("failed", self.node("bob", "First-Pa55word"))

    # ---- OAuth

    def token(self, fields, basic=None, path="/oauth2/token"):
        request = urllib.request.Request(self.admin + path, urllib.parse.urlencode(fields).encode())
        if basic:
            request.add_header("Authorization", "Basic " + base64.b64encode(basic.encode()).decode())
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def test_a_program_gets_a_token_for_its_scopes(self):
        grant = {"grant_type": "client_credentials"}
        status, body = self.token({**grant, "scope": "orders/read"}, f"service:{SECRET}")
        self.assertEqual(status, 200, body)
        self.assertEqual(set(body), {"access_token", "expires_in", "token_type"})
        self.assertEqual(self.get("/orders", body["access_token"]).json["scope"], "orders/read")
        self.assertEqual(self.get("/orders", body["access_token"], self.http_host).status, 200)
        for basic, fields, error in [
            (f"service:{SECRET}", {**grant, "scope": "orders/write"}, "invalid_scope"),
            ("service:wrong", grant, "invalid_client"),
            ("nowhere:x", grant, "invalid_client"),
            (None, {**grant, "client_id": "service"}, "invalid_client"),
            (None, {**grant, "client_id": "web"}, "unauthorized_client"),
            (f"service:{SECRET}", {"grant_type": "magic"}, "unsupported_grant_type"),
            (f"service:{SECRET}", {}, "invalid_request"),
            (None, grant, "invalid_request"),
        ]:
            self.assertEqual(self.token(fields, basic), (400, {"error": error}), fields)

    def test_a_test_signs_in_with_one_form(self):
        form = {"grant_type": "password", "client_id": "web", "username": "alice", "password": PASSWORD}
        status, body = self.token(form, path=f"/{POOL}/oauth2/token")
        self.assertEqual(status, 200, body)
        self.assertEqual(self.get("/me", body["id_token"]).status, 200)
        refresh = {"grant_type": "refresh_token", "client_id": "web", "refresh_token": body["refresh_token"]}
        self.assertEqual(self.token(refresh)[0], 200)
        self.assertEqual(self.token({**form, "password": "x"}), (400, {"error": "invalid_grant"}))
        self.assertEqual(self.token({"client_id": "web", "token": body["refresh_token"]}, path="/oauth2/revoke")[0], 200)
        self.assertEqual(self.token(refresh), (400, {"error": "invalid_grant"}))
        with_scope = self.token({**form, "scope": "openid orders/read"})[1]["access_token"]
        self.assertEqual(self.get("/orders", with_scope).status, 200)

    def form(self, body, kind="application/x-www-form-urlencoded", path="/oauth2/token", method="POST", authorization=None):
        """A request to the token endpoint byte for byte: status and body."""
        connection = http.client.HTTPConnection(self.admin.removeprefix("http://"), timeout=30)
        headers = {"Content-Type": kind} if kind else {}
        if authorization:
            headers["Authorization"] = authorization
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def test_forms_that_are_none_are_refused_as_rfc_6749_words_it(self):
        good = f"grant_type=client_credentials&client_id=service&client_secret={SECRET}&scope=orders%2Fread"
        self.assertEqual(self.form(good)[0], 200)
        self.assertEqual(self.form(good, "Application/X-WWW-Form-Urlencoded; charset=UTF-8")[0], 200)
        invalid = (400, '{"error":"invalid_request"}')
        for kind in (None, "", "application/json", "multipart/form-data", "text/plain", "application/x-www-form-urlencodedx"):
            self.assertEqual(self.form(good, kind), invalid, kind)
        grant = {"grant_type": "client_credentials", "client_id": "service", "client_secret": SECRET}
        for body in (
            "", "&&&", "=", json.dumps(grant), good.replace("client_id=service", ""), good + "&grant_type=client_credentials", good + "&scope=x",
            good + "&client_id=web", good + "&client_secret=x", good.replace("grant_type", "grant%5Ftypo"), b"grant_type=\xff&client_id=service",
            good + "&x=" + "y" * 200_000,
        ):
            self.assertEqual(self.form(body), invalid, body[:60])
        for grant_type in ("CLIENT_CREDENTIALS", "client_credentials ", "magic", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer"):
            body = good.replace("client_credentials", urllib.parse.quote(grant_type))
            self.assertEqual(self.form(body), (400, '{"error":"unsupported_grant_type"}'), grant_type)
        for secret in ("", "x", SECRET.upper(), SECRET[:-1], SECRET + "0", "%00" + SECRET):
            body = good.replace(SECRET, secret)
            self.assertEqual(self.form(body), (400, '{"error":"invalid_client"}'), secret)
        for client in ("SERVICE", "service%20", "nowhere", "", "*"):
            body = good.replace("client_id=service", f"client_id={client}")
            self.assertEqual(self.form(body), (400, '{"error":"invalid_client"}'), client)
        encode = lambda text: base64.b64encode(text.encode()).decode()
        bare = "grant_type=client_credentials&scope=orders%2Fread"
        self.assertEqual(self.form(bare, authorization="Basic " + encode(f"service:{SECRET}"))[0], 200)
        for authorization in (
            "Basic", "Basic !", "Basic " + encode("service"), "Basic " + encode("service:"), "Basic " + encode(f":{SECRET}"),
            "Basic " + encode(f"service:{SECRET}x"), "Bearer " + encode(f"service:{SECRET}"), encode(f"service:{SECRET}"), "Digest x",
        ):
            self.assertEqual(self.form(bare, authorization=authorization), (400, '{"error":"invalid_client"}'), authorization)
        for scope in ("orders/write", "orders", "*", "ORDERS/READ", "orders/read orders/write", "openid", "aws.cognito.signin.user.admin", "orders/read,x"):
            body = good.replace("orders%2Fread", urllib.parse.quote(scope, safe=""))
            self.assertEqual(self.form(body), (400, '{"error":"invalid_scope"}'), scope)
        for method in ("GET", "PUT", "DELETE"):
            self.assertEqual(self.form(good, method=method)[0], 405, method)
        self.assertEqual(self.form(good, path="/us-east-1_Nobody/oauth2/token"), (400, '{"error":"invalid_client"}'))
        self.assertEqual(self.form(good)[0], 200)

    def test_only_its_client_ends_a_sign_in_and_only_with_its_refresh_token(self):
        signed_in = self.password_sign_in()["AuthenticationResult"]
        refresh = {"grant_type": "refresh_token", "client_id": "web", "refresh_token": signed_in["RefreshToken"]}

        def revoke(token, basic=None, **fields):
            return self.token({"token": token, **fields}, basic, "/oauth2/revoke")

        self.assertEqual(revoke(signed_in["RefreshToken"], f"service:{SECRET}"), (400, {"error": "unauthorized_client"}))
        self.assertEqual(revoke(signed_in["RefreshToken"], "service:x"), (400, {"error": "invalid_client"}))
        self.assertEqual(revoke(signed_in["RefreshToken"]), (400, {"error": "invalid_request"}))
        self.assertEqual(revoke("", client_id="web"), (400, {"error": "invalid_request"}))
        for other in ("x", signed_in["AccessToken"], signed_in["IdToken"], signed_in["RefreshToken"][:-4] + "AAAA"):
            self.assertEqual(revoke(other, client_id="web")[0], 200)
        for wrong in (
            {**refresh, "client_id": "service", "client_secret": SECRET}, {**refresh, "refresh_token": signed_in["AccessToken"]},
            {**refresh, "refresh_token": "x"}, {**refresh, "refresh_token": signed_in["RefreshToken"] + "A"},
        ):
            self.assertEqual(self.token(wrong), (400, {"error": "invalid_grant"}))
        self.assertEqual(self.token(refresh)[0], 200)
        self.assertEqual(revoke(signed_in["RefreshToken"], client_id="web"), (200, {}))
        self.assertEqual(self.token(refresh), (400, {"error": "invalid_grant"}))

    def test_a_password_is_not_guessed_by_trying(self):
        for _ in range(5):
            with self.refused("NotAuthorizedException", "Incorrect username or password."):
                self.password_sign_in(password="guess")
        with self.refused("NotAuthorizedException", "Password attempts exceeded"):
            self.password_sign_in()
        form = {"grant_type": "password", "client_id": "web", "username": "alice", "password": PASSWORD}
        self.assertEqual(self.token(form), (400, {"error": "invalid_grant"}))
        # Bob is somebody else.
        self.assertIn("ChallengeName", self.password_sign_in("bob", "First-Pa55word"))

    # ---- what must not pass

    def test_a_token_of_another_pool_is_refused(self):
        elsewhere = folder_with_fixture(self)
        forged = self.minted("--user", "alice", cwd=elsewhere)
        own = self.minted("--user", "alice")

        self.assertEqual(self.get("/me", own).status, 200)
        answer = self.get("/me", forged)
        self.assertEqual((answer.status, answer.json), (401, {"message": "Unauthorized"}))
        self.assertEqual(self.get("/me", forged, self.http_host).status, 401)
        with self.refused("NotAuthorizedException", "Invalid Access Token"):
            self.cognito(signed=False).get_user(AccessToken=self.minted("--user", "alice", "--access", cwd=elsewhere))

    def minted(self, *arguments, cwd=None):
        command = [program(), "token", "openapi.yaml", "http.yaml", *arguments]
        ran = subprocess.run(command, cwd=cwd or self.folder, env=clean_environment(), capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return ran.stdout.strip()

    def test_the_command_line_mints_tokens_that_the_gateway_takes(self):
        token = self.minted("--user", "erin", "--group", "night", "--expires", "5m")
        self.assertEqual(self.get("/me", token).json["groups"], "night")
        claims = jwt.decode(token, options={"verify_signature": False})
        self.assertEqual(claims["exp"] - claims["iat"], 300)
        scoped = self.minted("--user", "erin", "--scope", "orders/read", "--client", "service")
        self.assertEqual(self.get("/orders", scoped).json["scope"], "orders/read")
        self.assertEqual(self.get("/me", scoped).status, 401)

    def call(self, headers, method="POST", target="InitiateAuth", body="{}"):
        address = self.admin.removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=30)
        headers = {"X-Amz-Target": f"AWSCognitoIdentityProviderService.{target}", "Content-Type": "application/x-amz-json-1.1", **headers}
        connection.request(method, "/", body, headers)
        answer = connection.getresponse()
        answer.text = answer.read().decode()
        connection.close()
        return answer

    def test_a_page_of_this_machine_may_sign_in_and_no_other(self):
        here = "http://localhost:5173"
        asked = self.call(
            {"Origin": here, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-amz-target"}, "OPTIONS"
        )
        self.assertEqual(asked.status, 204)
        self.assertEqual(asked.getheader("Access-Control-Allow-Origin"), here)
        self.assertIn("x-amz-target", asked.getheader("Access-Control-Allow-Headers"))
        self.assertIsNone(asked.getheader("Access-Control-Allow-Credentials"))

        body = json.dumps({"ClientId": "web", "AuthFlow": "USER_PASSWORD_AUTH", "AuthParameters": {"USERNAME": "alice", "PASSWORD": PASSWORD}})
        signed_in = self.call({"Origin": here, "Sec-Fetch-Site": "cross-site"}, body=body)
        self.assertEqual(signed_in.status, 200, signed_in.text)
        self.assertEqual(signed_in.getheader("Access-Control-Allow-Origin"), here)
        self.assertEqual(self.call({}, body=body).getheader("Access-Control-Allow-Origin"), None)

        for headers in [
            {"Origin": "https://evil.example"},
            {"Origin": "http://localhost.evil.example"},
            {"Origin": "null"},
            {"Host": "evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
        ]:
            answer = self.call(headers, body=body)
            self.assertEqual(answer.status, 403, headers)
            self.assertIsNone(answer.getheader("Access-Control-Allow-Origin"))
        # What needs AWS credentials at AWS is not for pages.
        for target in ("AdminCreateUser", "AdminSetUserPassword", "ListUsers", "CreateUserPoolClient"):
            answer = self.call({"Origin": here}, target=target, body=json.dumps({"UserPoolId": POOL}))
            self.assertEqual(json.loads(answer.text)["__type"], "MissingAuthenticationTokenException")
        # The control plane stays closed to it.
        self.assertEqual(self.call({"Origin": here, "Sec-Fetch-Site": "cross-site"}, "GET").status, 405)
        keys = urllib.request.Request(f"{self.admin}/apikeys", headers={"Origin": here, "Sec-Fetch-Site": "cross-site"})
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(keys)
        refused.exception.close()
        self.assertEqual(refused.exception.code, 403)

    def test_tokens_and_sign_ins_last_over_reloads_and_through_wrong_files(self):
        self.gateway = self.start("--watch")
        tokens = self.password_sign_in()["AuthenticationResult"]
        config = self.folder / "tollgate.yaml"
        written = config.read_text()

        def reloaded(text, words):
            before = self.gateway.log().count(words)
            config.write_text(text)
            deadline = time.monotonic() + 20
            while self.gateway.log().count(words) == before and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertGreater(self.gateway.log().count(words), before, self.gateway.log())
            self.assertEqual(self.get("/me", tokens["IdToken"]).status, 200)

        reloaded(written.replace("users:", "users: {no: list}\n    unused:", 1), "what was served before goes on")
        reloaded(written + "\nstage: {variables: {a: b}}\n", "reloaded")
        renewed = self.cognito(signed=False).initiate_auth(
            ClientId="web",
            AuthFlow="REFRESH_TOKEN_AUTH",
            AuthParameters={"REFRESH_TOKEN": tokens["RefreshToken"]},
        )
        self.assertEqual(self.get("/me", renewed["AuthenticationResult"]["IdToken"]).status, 200)

    def test_no_secret_is_ever_logged(self):
        self.gateway.__exit__()
        self.gateway = Gateway("openapi.yaml", "http.yaml", cwd=self.folder, RUST_LOG="trace,hyper=info,h2=info")
        self.enterContext(self.gateway)
        self.admin = ADMIN.search(self.gateway.log()).group(1)
        result = self.password_sign_in()["AuthenticationResult"]
        with self.refused("NotAuthorizedException"):
            self.password_sign_in(password="Not-The-0ne")
        self.token({"grant_type": "client_credentials", "scope": "orders/read"}, f"service:{SECRET}")
        self.get("/me", result["IdToken"])
        self.get("/me", result["AccessToken"])
        keys = json.loads((self.folder / ".tollgate/user-pools" / POOL / "keys.json").read_text())

        log = self.gateway.log()
        secrets = [PASSWORD, "Not-The-0ne", SECRET, keys["seal"], keys["id"][:80], keys["access"][:80]]
        secrets += [result[name] for name in ("IdToken", "AccessToken", "RefreshToken")]
        for secret in secrets:
            self.assertNotIn(secret, log)

    def test_keys_and_users_are_for_their_owner_alone(self):
        folder = self.folder / ".tollgate/user-pools" / POOL
        self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
        self.cognito(signed=False).forgot_password(ClientId="web", Username="alice")
        names = sorted(path.name for path in folder.iterdir())
        self.assertEqual(names, ["keys.json", "messages.jsonl", "users.json"])
        for name in names:
            self.assertEqual((folder / name).stat().st_mode & 0o777, 0o600, name)
        self.assertNotIn(PASSWORD, (folder / "users.json").read_text())

    def test_many_sign_ins_at_once_lose_nobody(self):
        aws = self.cognito()
        names = [f"user{number}" for number in range(24)]

        def sign_up(name):
            aws.admin_create_user(UserPoolId=POOL, Username=name, MessageAction="SUPPRESS")
            aws.admin_set_user_password(UserPoolId=POOL, Username=name, Password=PASSWORD, Permanent=True)

        with concurrent.futures.ThreadPoolExecutor(8) as workers:
            list(workers.map(sign_up, names))
        self.gateway.__exit__()
        self.gateway = self.start()
        for name in names[::6]:
            self.assertIn("AuthenticationResult", self.password_sign_in(name))


class WithoutConfiguration(unittest.TestCase):
    def test_the_pool_that_a_document_names_is_local_when_asked_for(self):
        folder = folder_with_fixture(self)
        (folder / "tollgate.yaml").unlink()
        with Gateway("openapi.yaml", "http.yaml", "--user-pool", cwd=folder) as gateway:
            admin = ADMIN.search(gateway.log()).group(1)
            aws = boto3.client("cognito-idp", endpoint_url=admin, **KEYS)
            self.addCleanup(aws.close)
            aws.admin_create_user(UserPoolId=POOL, Username="alice", MessageAction="SUPPRESS")
            aws.admin_set_user_password(UserPoolId=POOL, Username="alice", Password=PASSWORD, Permanent=True)
            # The audiences of the document are the pool's clients.
            result = aws.initiate_auth(
                ClientId="web", AuthFlow="USER_PASSWORD_AUTH", AuthParameters={"USERNAME": "alice", "PASSWORD": PASSWORD}
            )["AuthenticationResult"]
            self.assertEqual(gateway.get("/me", ("Authorization", result["IdToken"])).status, 200)

    def test_nothing_is_written_where_no_pool_is_local(self):
        folder = folder_with_fixture(self)
        (folder / "tollgate.yaml").unlink()
        with Gateway("openapi.yaml", cwd=folder) as gateway:
            self.assertEqual(gateway.get("/me").status, 401)
        subprocess.run([program(), "check", "openapi.yaml"], cwd=folder, env=clean_environment(), check=True, capture_output=True)
        self.assertFalse((folder / ".tollgate").exists())


class WithoutAuthorization(unittest.TestCase):
    def test_everybody_passes_on_loopback_and_has_the_claims_of_the_file(self):
        folder = folder_with_fixture(self)
        (folder / "claims.json").write_text('{"sub": "1", "email": "any@example.com", "cognito:groups": ["a", "b"]}')
        with Gateway("openapi.yaml", "--no-auth", "--claims", "claims.json", cwd=folder) as gateway:
            answer = gateway.get("/me")
            self.assertEqual(answer.json, {"sub": "1", "email": "any@example.com", "groups": "a,b", "scope": ""})
            deadline = time.monotonic() + 20
            while "NO AUTHORIZATION" not in gateway.log():
                self.assertLess(time.monotonic(), deadline, gateway.log())

    def test_what_is_no_authorizer_still_holds(self):
        folder = folder_with_fixture(self)
        echo = {"type": "aws_proxy", "httpMethod": "POST", "uri": "local:echo"}
        scheme = {"type": "apiKey", "in": "header"}
        function = "arn:aws:lambda:us-east-1:123456789012:function:nobody"
        uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{function}/invocations"

        def route(*names):
            return {"get": {"security": [{name: []} for name in names], "x-amazon-apigateway-integration": echo}}

        def statement(effect, resource):
            return {"Effect": effect, "Principal": "*", "Action": "execute-api:Invoke", "Resource": resource}

        document = {
            "openapi": "3.0.1",
            "info": {"title": "t", "version": "1"},
            "x-amazon-apigateway-api-key-source": "AUTHORIZER",
            "x-amazon-apigateway-policy": {
                "Version": "2012-10-17",
                "Statement": [statement("Allow", "execute-api:/dev/GET/lambda"), statement("Deny", "execute-api:/dev/GET/denied")],
            },
            "paths": {
                "/lambda": route("lambda"),
                "/silent": route("lambda"),
                "/denied": route("lambda"),
                "/signed": route("signed"),
                "/paid": {"get": {"security": [{"lambda": [], "key": []}], "x-amazon-apigateway-integration": echo}},
            },
            "components": {"securitySchemes": {
                "lambda": {**scheme, "name": "X-Ticket", "x-amazon-apigateway-authtype": "custom",
                           "x-amazon-apigateway-authorizer": {"type": "token", "authorizerUri": uri}},
                "signed": {**scheme, "name": "Authorization", "x-amazon-apigateway-authtype": "awsSigv4"},
                "key": {**scheme, "name": "x-api-key"},
            }},
        }
        value = "alice-0123456789abcdefghij"
        config = {"apiKeys": [{"name": "alice", "value": value}], "usagePlans": [{"name": "gold", "apiKeys": ["alice"]}]}
        (folder / "openapi.json").write_text(json.dumps(document))
        (folder / "tollgate.yaml").write_text(json.dumps(config))
        claims = {"sub": "alice", "tenant": "blue", "level": 3}

        def serve(more):
            (folder / "claims.json").write_text(json.dumps({**claims, **more}))
            return Gateway("openapi.json", "--no-auth", "--claims", "claims.json", cwd=folder)

        with serve({"usageIdentifierKey": value}) as gateway:
            # The function does not exist, and is not missed.
            answer = gateway.get("/lambda")
            self.assertEqual(answer.status, 200, answer)
            self.assertIn('"principalId":"alice"', answer.body.decode().replace(" ", ""))
            self.assertIn('"level":"3"', answer.body.decode().replace(" ", ""))
            self.assertEqual(gateway.get("/silent").status, 200)
            self.assertEqual(gateway.get("/denied").status, 403)
            self.assertEqual(gateway.get("/signed").status, 200)
            self.assertEqual(gateway.get("/paid").status, 200)
        with serve({}) as gateway:
            self.assertEqual(gateway.get("/paid").status, 403)
            self.assertEqual(gateway.send("GET", "/paid", [("x-api-key", value)]).status, 403, "the source is the authorizer")
        with serve({"usageIdentifierKey": "somebody-else-0123456789"}) as gateway:
            self.assertEqual(gateway.get("/paid").status, 403)

    def test_claims_that_are_edited_count_at_once(self):
        folder = folder_with_fixture(self)
        claims = folder / "claims.json"
        claims.write_text('{"email": "one@example.com"}')
        gateway = Gateway("openapi.yaml", "--no-auth", "--claims", "claims.json", "--watch", cwd=folder)
        self.enterContext(gateway)
        self.assertEqual(gateway.get("/me").json["email"], "one@example.com")

        claims.write_text('{"email": "two@example.com"}')
        deadline = time.monotonic() + 20
        while gateway.get("/me").json["email"] != "two@example.com":
            self.assertLess(time.monotonic(), deadline, gateway.log())

    def test_another_address_than_loopback_is_refused(self):
        folder = folder_with_fixture(self)
        for host in ("0.0.0.0", "::"):
            command = [program(), "serve", "openapi.yaml", "--no-auth", "--host", host, "--port", "0"]
            ran = subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True, timeout=60)
            self.assertEqual(ran.returncode, 2, ran)
            self.assertIn("--no-auth lets everybody pass", ran.stderr)
        ran = subprocess.run(
            [program(), "serve", "openapi.yaml", "--claims", "x.json"], cwd=folder, env=clean_environment(), capture_output=True, text=True, timeout=60
        )
        self.assertEqual(ran.returncode, 2)


if __name__ == "__main__":
    unittest.main()
