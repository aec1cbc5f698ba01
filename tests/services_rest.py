#!/usr/bin/env python3
"""REST APIs that call AWS services, against moto's server: it speaks the services' protocols and checks signatures.

A user and a role are made first; from then on moto refuses every request whose
signature does not fit or whose caller may not do what it asks for.
"""

import base64
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import boto3

from gateway import Gateway, clean_environment

ACCOUNT = "123456789012"
REGION = "us-east-1"


def responses(*templates):
    """Integration responses: 200 by default, 400 for what the service refuses."""
    ok = {"statusCode": "200", **({"responseTemplates": {"application/json": templates[0]}} if templates else {})}
    refused = {
        "statusCode": "400",
        "responseTemplates": {"application/json": '{"refused": "$util.escapeJavaScript($input.path(\'$.__type\'))"}'},
    }
    return {"default": ok, "4\\d{2}": refused}


def method(uri, http_method="POST", parameters=(), templates=None, mapped=None, answers=None, **more):
    integration = {
        "type": "aws",
        "httpMethod": http_method,
        "uri": f"arn:aws:apigateway:{REGION}:{uri}",
        "credentials": f"arn:aws:iam::{ACCOUNT}:role/gateway",
        "responses": answers or responses(),
        **more,
    }
    if templates is not None:
        integration["requestTemplates"] = {"application/json": templates}
    if mapped:
        integration["requestParameters"] = mapped
    return {
        "parameters": [
            {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}
            for place, name in parameters
        ],
        "responses": {"200": {"description": "done"}, "400": {"description": "refused"}, "404": {"description": "none"}},
        "x-amazon-apigateway-integration": integration,
    }


FORM = {"integration.request.header.Content-Type": "'application/x-www-form-urlencoded'"}
STATE_MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:orders"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:orders"

DOCUMENT = {
    "openapi": "3.0.1",
    "info": {"title": "services", "version": "1"},
    "x-amazon-apigateway-binary-media-types": ["image/png"],
    "paths": {
        "/pets/{id}": {
            "put": method(
                "dynamodb:action/PutItem",
                parameters=[("path", "id")],
                templates='{"TableName": "pets", "Item": {"id": {"S": "$input.params(\'id\')"}, "name": {"S": $input.json(\'$.name\')}}}',
            ),
            "get": method(
                "dynamodb:action/GetItem",
                parameters=[("path", "id")],
                templates='{"TableName": "pets", "Key": {"id": {"S": "$input.params(\'id\')"}}}',
                answers=responses('#set($item = $input.path("$.Item")){"id": "$item.id.S", "name": "$item.name.S"}'),
            ),
        },
        "/nowhere": {"post": method("dynamodb:action/GetItem", templates='{"TableName": "none", "Key": {"id": {"S": "1"}}}')},
        "/own": {"post": {**method("dynamodb:action/ListTables", templates="{}")}},
        "/queue/path": {
            "post": method(
                f"sqs:path/{ACCOUNT}/orders",
                mapped=FORM,
                templates="Action=SendMessage&MessageBody=$util.urlEncode($input.body)",
            )
        },
        "/queue/action": {
            "post": method(
                "sqs:action/SendMessage",
                parameters=[("query", "text")],
                mapped={
                    "integration.request.querystring.MessageBody": "method.request.querystring.text",
                    "integration.request.querystring.QueueUrl": "stageVariables.queue",
                },
                templates="",
            )
        },
        "/topic": {
            "post": method(
                "sns:action/Publish",
                parameters=[("query", "text")],
                mapped={
                    "integration.request.querystring.TopicArn": f"'{TOPIC}'",
                    "integration.request.querystring.Message": "method.request.querystring.text",
                },
                templates="",
            )
        },
        "/start": {
            "post": method(
                "states:action/StartExecution",
                templates=f'{{"stateMachineArn": "{STATE_MACHINE}", "input": "$util.escapeJavaScript($input.body)"}}',
                answers=responses('{"started": $input.json("$.executionArn")}'),
            )
        },
        "/event": {
            "post": method(
                "events:action/PutEvents",
                templates='{"Entries": [{"Source": "shop", "DetailType": "order", "Detail": "$util.escapeJavaScript($input.body)"}]}',
            )
        },
        "/objects/{bucket}/{key}": {
            "put": method(
                "s3:path/{bucket}/{key}",
                http_method="PUT",
                parameters=[("path", "bucket"), ("path", "key"), ("header", "Content-Type")],
                mapped={
                    "integration.request.path.bucket": "method.request.path.bucket",
                    "integration.request.path.key": "method.request.path.key",
                    "integration.request.header.Content-Type": "method.request.header.Content-Type",
                },
            ),
            "get": method(
                "s3:path/{bucket}/{key}",
                http_method="GET",
                parameters=[("path", "bucket"), ("path", "key")],
                mapped={
                    "integration.request.path.bucket": "method.request.path.bucket",
                    "integration.request.path.key": "method.request.path.key",
                },
                answers={
                    "default": {"statusCode": "200", "contentHandling": "CONVERT_TO_BINARY"},
                    "404": {"statusCode": "404", "responseTemplates": {"application/json": '{"found": false}'}},
                },
            ),
        },
        "/bucket/{key}": {
            "get": method(
                "shelf.s3:path/{key}",
                http_method="GET",
                parameters=[("path", "key")],
                mapped={"integration.request.path.key": "method.request.path.key"},
            )
        },
    },
}


class Services(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.output = tempfile.TemporaryFile()
        cls.moto = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            env=clean_environment(INITIAL_NO_AUTH_ACTION_COUNT="1000000", PYTHONUNBUFFERED="1", MOTO_ACCOUNT_ID=ACCOUNT),
            stdin=subprocess.DEVNULL,
            stdout=cls.output,
            stderr=subprocess.STDOUT,
        )
        cls.addClassCleanup(cls.stop)
        cls.url = cls.address()
        cls.prepare()
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        definition = pathlib.Path(cls.folder.name, "services.json")
        definition.write_text(json.dumps(DOCUMENT))
        config = pathlib.Path(cls.folder.name, "tollgate.json")
        config.write_text(json.dumps({"stage": {"name": "dev", "variables": {"queue": cls.queue}}}))
        cls.gateway = Gateway(
            definition,
            "--config",
            config,
            AWS_ENDPOINT_URL=cls.url,
            AWS_ACCESS_KEY_ID=cls.key["AccessKeyId"],
            AWS_SECRET_ACCESS_KEY=cls.key["SecretAccessKey"],
            AWS_REGION=REGION,
        )
        cls.gateway.__enter__()
        cls.addClassCleanup(cls.gateway.__exit__, None, None, None)

    @classmethod
    def stop(cls):
        cls.moto.terminate()
        cls.moto.wait(10)

    @classmethod
    def address(cls):
        for _ in range(300):
            cls.output.seek(0)
            printed = cls.output.read().decode(errors="replace")
            found = re.search(r"http://127\.0\.0\.1:(\d+)", printed)
            if found:
                return f"http://127.0.0.1:{found[1]}"
            if cls.moto.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"moto's server did not start: {printed}")

    @classmethod
    def client(cls, name, key="test", secret="test"):
        return boto3.client(
            name, endpoint_url=cls.url, region_name=REGION, aws_access_key_id=key, aws_secret_access_key=secret
        )

    @classmethod
    def prepare(cls):
        """What the APIs call, and who may call it."""
        iam = cls.client("iam")
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        # Locally the developer takes the role that API Gateway takes at AWS.
        principal = {"Service": "apigateway.amazonaws.com", "AWS": [f"arn:aws:iam::{ACCOUNT}:user/developer"]}
        trust = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
        }
        iam.create_role(RoleName="gateway", AssumeRolePolicyDocument=json.dumps(trust))
        iam.put_role_policy(RoleName="gateway", PolicyName="all", PolicyDocument=json.dumps(everything))
        iam.create_user(UserName="developer")
        iam.put_user_policy(UserName="developer", PolicyName="all", PolicyDocument=json.dumps(everything))
        cls.key = iam.create_access_key(UserName="developer")["AccessKey"]
        cls.client("dynamodb").create_table(
            TableName="pets",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        cls.queue = cls.client("sqs").create_queue(QueueName="orders")["QueueUrl"]
        cls.client("sns").create_topic(Name="orders")
        cls.client("sns").subscribe(
            TopicArn=TOPIC,
            Protocol="sqs",
            Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:orders",
            Attributes={"RawMessageDelivery": "true"},
        )
        cls.client("stepfunctions").create_state_machine(
            name="orders",
            definition=json.dumps({"StartAt": "a", "States": {"a": {"Type": "Pass", "End": True}}}),
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/gateway",
        )
        cls.client("s3").create_bucket(Bucket="shelf")
        cls.unchecked(0)

    @classmethod
    def unchecked(cls, requests):
        """How many of the next requests moto takes whatever their signature."""
        request = urllib.request.Request(
            f"{cls.url}/moto-api/reset-auth",
            data=str(requests).encode(),
            headers={"Content-Type": "text/plain"},
            method="POST",
        )
        urllib.request.urlopen(request).close()

    def mine(self, name):
        return self.client(name, self.key["AccessKeyId"], self.key["SecretAccessKey"])

    def sent(self):
        """The text of the message that waits in the queue; it is taken out."""
        sqs = self.mine("sqs")
        for _ in range(20):
            for message in sqs.receive_message(QueueUrl=self.queue).get("Messages", []):
                sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
                return message["Body"]
            time.sleep(0.1)
        return None

    def ask(self, method, path, body=None, status=200, **headers):
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        answer = self.gateway.send(method, path, named, body)
        if answer.status != status:
            self.output.seek(0)
            served = self.output.read().decode(errors="replace")[-3000:]
            self.fail(f"{answer}, not {status}\n{self.gateway.log()[-3000:]}\n{served}")
        return answer

    def test_moto_refuses_a_wrong_signature(self):
        with self.assertRaises(Exception):
            self.client("dynamodb", self.key["AccessKeyId"], "wrong").list_tables()

    def test_an_item_is_put_and_got(self):
        self.ask("PUT", "/pets/7", '{"name": "Rex"}')

        self.assertEqual(self.ask("GET", "/pets/7").json, {"id": "7", "name": "Rex"})

    def test_what_a_service_refuses_selects_a_response(self):
        refused = self.ask("POST", "/nowhere", "{}", status=400).json["refused"]

        self.assertIn("ResourceNotFoundException", refused)

    def test_a_message_is_sent_by_path_and_by_action(self):
        self.ask("POST", "/queue/path", '{"order": 1, "text": "a & b"}', content_type="application/json")
        self.assertEqual(self.sent(), '{"order": 1, "text": "a & b"}')

        # Moto checks a query's signature against the query as it was decoded, which is not the rule.
        self.unchecked(1)
        self.ask("POST", "/queue/action?text=two%20words")
        self.unchecked(0)
        self.assertEqual(self.sent(), "two words")

    def test_a_topic_is_published_to(self):
        self.unchecked(2)
        self.ask("POST", "/topic?text=hello")
        self.unchecked(0)

        self.assertEqual(self.sent(), "hello")

    def test_an_execution_is_started(self):
        arn = self.ask("POST", "/start", '{"order": 2}').json["started"]

        described = self.mine("stepfunctions").describe_execution(executionArn=arn)
        self.assertEqual(json.loads(described["input"]), {"order": 2})

    def test_an_event_is_put(self):
        answer = self.ask("POST", "/event", '{"order": 3}').json

        self.assertEqual(answer["FailedEntryCount"], 0)

    def test_objects_come_and_go_as_bytes(self):
        picture = base64.b64decode("iVBORw0KGgo=") + bytes(range(256))
        self.ask("PUT", "/objects/shelf/a%20picture.png", picture, content_type="image/png")

        stored = self.mine("s3").get_object(Bucket="shelf", Key="a picture.png")
        self.assertEqual(stored["Body"].read(), picture)
        self.assertEqual(stored["ContentType"], "image/png")
        got = self.ask("GET", "/objects/shelf/a%20picture.png", accept="image/png")
        self.assertEqual(got.body, picture)
        self.assertEqual(self.ask("GET", "/objects/shelf/none", status=404).json, {"found": False})

    def test_a_bucket_before_the_service_is_found_too(self):
        self.mine("s3").put_object(Bucket="shelf", Key="note", Body=b"text")

        self.assertEqual(self.ask("GET", "/bucket/note").body, b"text")


if __name__ == "__main__":
    unittest.main(verbosity=2)
