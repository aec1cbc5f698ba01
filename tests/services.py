#!/usr/bin/env python3
"""Service actions of HTTP APIs, against moto's server: signed calls that do what they say.

moto does not know AppConfig's GetConfiguration nor synchronous executions; for those a small server notes
the request that reaches it.
"""

import base64
import contextlib
import http.server
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse
import urllib.request

import boto3

from gateway import Gateway, clean_environment

ACCOUNT = "123456789012"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
JSON = ("Content-Type", "application/json")
ROLE = f"arn:aws:iam::{ACCOUNT}:role/gateway"


def operation(subtype, **parameters):
    """An operation with a service action; the parameters are mapping expressions."""
    integration = {
        "type": "aws_proxy",
        "integrationSubtype": subtype,
        "payloadFormatVersion": "1.0",
        "credentials": ROLE,
        "requestParameters": parameters,
    }
    return {"x-amazon-apigateway-integration": integration}


def definition(paths):
    return {"openapi": "3.0.1", "info": {"title": "Services", "version": "1"}, "paths": paths}


class Moto:
    """moto's server on a free port, for as long as the `with` block lasts."""

    def __enter__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            env=clean_environment(**KEYS),
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5):
                return self
            time.sleep(0.1)
        self.__exit__()
        raise RuntimeError("moto's server does not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.output.close()

    def client(self, service):
        return boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="secret",
        )


class Recorder:
    """A server that notes each request and answers 200 with a configuration."""

    def __enter__(self):
        seen = self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                seen.append({"method": self.command, "path": self.path, "headers": headers, "body": body.decode()})
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Configuration-Version", "3")
                self.send_header("x-amzn-RequestId", "r")
                self.end_headers()
                self.wfile.write(b'{"on": true}')

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def gateway_for(case, paths, **variables):
    scratch = case.enterClassContext(tempfile.TemporaryDirectory())
    document = pathlib.Path(scratch, "api.json")
    document.write_text(json.dumps(definition(paths)))
    config = pathlib.Path(scratch, "tollgate.yaml")
    config.write_text("apiType: http\nstage: {variables: {source: shop}}\n")
    return case.enterClassContext(Gateway(document, "--config", config, **{**KEYS, **variables}))


class AgainstMoto(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.moto = cls.enterClassContext(Moto())
        cls.sqs = cls.moto.client("sqs")
        cls.queue = cls.sqs.create_queue(QueueName="orders")["QueueUrl"]
        cls.kinesis = cls.moto.client("kinesis")
        cls.kinesis.create_stream(StreamName="clicks", ShardCount=1)
        cls.logs, cls.events = cls.moto.client("logs"), cls.moto.client("events")
        cls.logs.create_log_group(logGroupName="/events/shop")
        cls.events.put_rule(Name="shop", EventPattern='{"source": ["shop"]}', State="ENABLED")
        arn = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/events/shop"
        cls.events.put_targets(Rule="shop", Targets=[{"Id": "log", "Arn": arn}])
        cls.states = cls.moto.client("stepfunctions")
        cls.machine = cls.states.create_state_machine(
            name="fulfil",
            definition='{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}',
            roleArn=ROLE,
        )["stateMachineArn"]
        attributes = '{"Kind": {"DataType": "String", "StringValue": "${request.header.x-kind}"}}'
        paths = {
            "/messages": {
                "post": operation(
                    "SQS-SendMessage",
                    QueueUrl=cls.queue,
                    MessageBody="$request.body",
                    DelaySeconds="0",
                    MessageAttributes=attributes,
                ),
                "get": operation(
                    "SQS-ReceiveMessage",
                    QueueUrl=cls.queue,
                    MaxNumberOfMessages="$request.querystring.most",
                    WaitTimeSeconds="0",
                    AttributeNames="SentTimestamp,SenderId",
                    MessageAttributeNames='["All"]',
                ),
                "delete": operation(
                    "SQS-DeleteMessage", QueueUrl=cls.queue, ReceiptHandle="$request.querystring.receipt"
                ),
            },
            "/purge": {"post": operation("SQS-PurgeQueue", QueueUrl=cls.queue, Region="us-east-1")},
            "/lost": {"post": operation("SQS-SendMessage", QueueUrl=cls.queue + "-none", MessageBody="x")},
            "/events": {
                "post": operation(
                    "EventBridge-PutEvents",
                    Detail="$request.body.detail",
                    DetailType="$request.body.type",
                    Source="${stageVariables.source}",
                    Time="2020-01-01T00:00:00Z",
                    Resources="arn:aws:a,arn:aws:b",
                )
            },
            "/clicks/{who}": {
                "post": operation(
                    "Kinesis-PutRecord",
                    StreamName="clicks",
                    Data="$request.body.data",
                    PartitionKey="$request.path.who",
                )
            },
            "/executions": {
                "post": operation(
                    "StepFunctions-StartExecution",
                    StateMachineArn=cls.machine,
                    Name="$request.querystring.name",
                    Input="$request.body",
                ),
                "delete": operation(
                    "StepFunctions-StopExecution",
                    ExecutionArn="$request.querystring.arn",
                    Cause="too late",
                    Error="Late",
                ),
            },
        }
        # The role is assumed at moto, too.
        cls.gateway = gateway_for(cls, paths, AWS_ENDPOINT_URL=cls.moto.url)

    def test_a_message_is_sent_received_and_deleted(self):
        sent = self.gateway.send("POST", "/messages", [JSON, ("X-Kind", "gift")], '{"a": "1 & ü"}')
        self.assertEqual(sent.status, 200, sent)
        self.assertIn(b"<SendMessageResponse", sent.body)
        self.assertIn("xml", sent.header("content-type"))
        self.assertIsNone(sent.header("x-amzn-requestid"))

        received = self.gateway.get("/messages?most=5").body.decode()
        self.assertIn("1 &amp; ü", received.replace("&quot;", '"'))
        self.assertIn("<Name>Kind</Name>", received)
        self.assertIn("<StringValue>gift</StringValue>", received)
        self.assertIn("SentTimestamp", received)

        receipt = received.split("<ReceiptHandle>")[1].split("</ReceiptHandle>")[0]
        deleted = self.gateway.send("DELETE", f"/messages?receipt={receipt}")
        self.assertEqual(deleted.status, 200, deleted)
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["All"])["Attributes"]
        self.assertEqual(attributes["ApproximateNumberOfMessagesNotVisible"], "0")

    def test_a_queue_is_purged(self):
        self.sqs.send_message(QueueUrl=self.queue, MessageBody="x")

        self.assertEqual(self.gateway.send("POST", "/purge", [], "").status, 200)

        left = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["ApproximateNumberOfMessages"])
        self.assertEqual(left["Attributes"]["ApproximateNumberOfMessages"], "0")

    def test_the_services_own_refusal_reaches_the_client(self):
        answer = self.gateway.send("POST", "/lost", [], "")

        self.assertEqual(answer.status, 400, answer)
        self.assertIn(b"NonExistentQueue", answer.body)

    def test_an_event_goes_over_the_bus(self):
        answer = self.gateway.send("POST", "/events", [JSON], '{"type": "order", "detail": {"id": 7}}')

        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.json["FailedEntryCount"], 0)
        logged = self.logs.filter_log_events(logGroupName="/events/shop")["events"]
        event = json.loads(logged[-1]["message"])
        self.assertEqual((event["source"], event["detail-type"], event["detail"]), ("shop", "order", {"id": 7}))
        self.assertEqual(event["resources"], ["arn:aws:a", "arn:aws:b"])

    def test_a_record_is_put_on_a_stream(self):
        data = base64.b64encode(b"click!").decode()
        answer = self.gateway.send("POST", "/clicks/al%20ice", [JSON], json.dumps({"data": data}))

        self.assertEqual(answer.status, 200, answer)
        self.assertIn("SequenceNumber", answer.json)
        shard = self.kinesis.describe_stream(StreamName="clicks")["StreamDescription"]["Shards"][0]["ShardId"]
        iterator = self.kinesis.get_shard_iterator(
            StreamName="clicks", ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        record = self.kinesis.get_records(ShardIterator=iterator)["Records"][-1]
        self.assertEqual((record["Data"], record["PartitionKey"]), (b"click!", "al ice"))

    def test_an_execution_starts_and_stops(self):
        started = self.gateway.send("POST", "/executions?name=one", [JSON], '{"order": 7}')
        self.assertEqual(started.status, 200, started)
        arn = started.json["executionArn"]
        self.assertEqual(self.states.describe_execution(executionArn=arn)["input"], '{"order": 7}')

        stopped = self.gateway.send("DELETE", f"/executions?arn={arn}")
        self.assertEqual(stopped.status, 200, stopped)
        self.assertEqual(self.states.describe_execution(executionArn=arn)["status"], "ABORTED")

    def test_a_parameter_that_the_request_lacks_is_the_services_business(self):
        answer = self.gateway.send("POST", "/events", [JSON], '{"type": "order"}')

        self.assertEqual((answer.status, answer.json["FailedEntryCount"]), (200, 1))
        self.assertIn("Detail", answer.json["Entries"][0]["ErrorMessage"])


class AgainstARecorder(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.recorder = cls.enterClassContext(Recorder())
        paths = {
            "/configuration/{name}": {
                "get": operation(
                    "AppConfig-GetConfiguration",
                    Application="shop",
                    Environment="dev",
                    Configuration="$request.path.name",
                    ClientId="$context.requestId",
                    ClientConfigurationVersion="$request.querystring.version",
                )
            },
            "/orders": {
                "post": operation(
                    "StepFunctions-StartSyncExecution",
                    StateMachineArn=f"arn:aws:states:eu-west-1:{ACCOUNT}:stateMachine:fulfil",
                    Input="$request.body",
                    Region="eu-west-1",
                )
            },
        }
        # Only these two services are elsewhere, so no role is assumed at AWS.
        cls.gateway = gateway_for(
            cls, paths, AWS_ENDPOINT_URL_APPCONFIG=cls.recorder.url, AWS_ENDPOINT_URL_SFN=cls.recorder.url
        )

    def test_a_configuration_is_fetched(self):
        answer = self.gateway.get("/configuration/a%2Fb")

        self.assertEqual((answer.status, answer.json), (200, {"on": True}))
        self.assertEqual(answer.header("configuration-version"), "3")
        self.assertIsNone(answer.header("x-amzn-requestid"))
        seen = self.recorder.seen[-1]
        request_id = answer.header("apigw-requestid")
        path, query = seen["path"].split("?")
        self.assertEqual((seen["method"], path), ("GET", "/applications/shop/environments/dev/configurations/a%2Fb"))
        self.assertEqual(query, "client_id=" + urllib.parse.quote(request_id, safe=""))
        self.assertIn("/us-east-1/appconfig/aws4_request", seen["headers"]["authorization"])

    def test_a_synchronous_execution_is_started_in_its_region(self):
        answer = self.gateway.send("POST", "/orders", [JSON], '{"order": 7}')

        self.assertEqual(answer.status, 200)
        seen = self.recorder.seen[-1]
        self.assertEqual(seen["headers"]["x-amz-target"], "AWSStepFunctions.StartSyncExecution")
        self.assertEqual(seen["headers"]["content-type"], "application/x-amz-json-1.0")
        self.assertEqual(json.loads(seen["body"])["input"], '{"order": 7}')
        self.assertIn("Credential=AKIDEXAMPLE/", seen["headers"]["authorization"])
        self.assertIn("/eu-west-1/states/aws4_request", seen["headers"]["authorization"])


class WithoutAService(unittest.TestCase):
    def test_a_service_that_cannot_be_reached_is_503(self):
        paths = {"/q": {"post": operation("SQS-PurgeQueue", QueueUrl="http://127.0.0.1:1/q")}}
        gateway = gateway_for(type(self), paths, AWS_ENDPOINT_URL_SQS="http://127.0.0.1:1")

        answer = gateway.send("POST", "/q", [], "")

        self.assertEqual((answer.status, answer.json), (503, {"message": "Service Unavailable"}))


if __name__ == "__main__":
    unittest.main()
