"""Drives the control plane with boto3 and the AWS CLI, and watches what the gateway does with it.

Every change is made through the SDK, and the very next request has to show it.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import textwrap
import unittest

import boto3
import botocore.exceptions
from botocore.config import Config

from gateway import Gateway, clean_environment

OPENAPI = textwrap.dedent(
    """
    openapi: 3.0.1
    info: {title: metered, version: '1'}
    components: {securitySchemes: {api_key: {type: apiKey, name: x-api-key, in: header}}}
    paths:
      /paid:
        get: &paid
          security: [{api_key: []}]
          responses: {'200': {description: OK}}
          x-amazon-apigateway-integration:
            type: mock
            requestTemplates: {application/json: '{"statusCode": 200}'}
            responses: {default: {statusCode: '200'}}
        post: *paid
    """
)
CONFIG = textwrap.dedent(
    """
    apiId: a1b2c3d4e5
    stage: {name: dev}
    apiKeys: [{id: k1, name: alice, value: alice-0123456789abcdefghij}]
    usagePlans: [{id: p1, name: gold, apiKeys: [alice], quota: {limit: 100, period: MONTH}}]
    store: "sqlite:state.db"
    """
)
ALICE = "alice-0123456789abcdefghij"
ADMIN = re.compile(r'"admin":"(http://127\.0\.0\.1:\d+)"')
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


class UsagePlans(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "openapi.yaml").write_text(OPENAPI)
        (self.folder / "tollgate.yaml").write_text(CONFIG)
        self.gateway = None
        self.start()

    def start(self):
        self.gateway = Gateway("openapi.yaml", "--config", "tollgate.yaml", "--admin-port", "0", cwd=self.folder)
        self.gateway.__enter__()
        self.addCleanup(self.stop)
        self.admin = ADMIN.search(self.gateway.log()).group(1)
        self.aws = boto3.client(
            "apigateway",
            endpoint_url=self.admin,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 0}, proxies={}),
        )

    def stop(self):
        if self.gateway:
            gateway, self.gateway = self.gateway, None
            gateway.__exit__()

    def status(self, value, method="GET"):
        return self.gateway.send(method, "/paid", [("x-api-key", value)]).status

    def refused(self, code, call, **arguments):
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            call(**arguments)
        self.assertEqual(caught.exception.response["Error"]["Code"], code)
        return caught.exception.response["Error"]["Message"]

    def a_plan(self, **more):
        stage = {"apiId": "a1b2c3d4e5", "stage": "dev"}
        return self.aws.create_usage_plan(name="made", apiStages=[stage], **more)["id"]

    def a_key(self, plan=None, **more):
        key = self.aws.create_api_key(name=more.pop("name", "made"), enabled=True, **more)
        if plan:
            self.aws.create_usage_plan_key(usagePlanId=plan, keyId=key["id"], keyType="API_KEY")
        return key

    def change(self, plan, *operations):
        return self.aws.update_usage_plan(
            usagePlanId=plan, patchOperations=[dict(zip(("op", "path", "value"), one)) for one in operations]
        )

    def usage(self, plan, **more):
        today = self.aws.get_usage  # the dates are the gateway's own: UTC
        from datetime import datetime, timezone

        date = datetime.now(timezone.utc).date().isoformat()
        return today(usagePlanId=plan, startDate=date, endDate=date, **more)["items"]

    def test_a_key_counts_once_it_is_in_a_plan_of_the_stage(self):
        key = self.a_key()
        self.assertEqual(self.status(key["value"]), 403)

        plan = self.a_plan()
        self.aws.create_usage_plan_key(usagePlanId=plan, keyId=key["id"], keyType="API_KEY")
        self.assertEqual(self.status(key["value"]), 200)

        self.aws.update_api_key(apiKey=key["id"], patchOperations=[{"op": "replace", "path": "/enabled", "value": "false"}])
        self.assertEqual(self.status(key["value"]), 403)
        self.aws.update_api_key(apiKey=key["id"], patchOperations=[{"op": "replace", "path": "/enabled", "value": "true"}])
        self.assertEqual(self.status(key["value"]), 200)

        self.aws.delete_usage_plan_key(usagePlanId=plan, keyId=key["id"])
        self.assertEqual(self.status(key["value"]), 403)

    def test_a_deleted_key_is_gone(self):
        key = self.a_key(self.a_plan())
        self.assertEqual(self.status(key["value"]), 200)

        self.aws.delete_api_key(apiKey=key["id"])

        self.assertEqual(self.status(key["value"]), 403)
        self.assertIn("Invalid API Key", self.refused("NotFoundException", self.aws.get_api_key, apiKey=key["id"]))

    def test_values_are_shown_only_when_asked_for(self):
        key = self.a_key(value="v" * 30, description="words", tags={"team": "blue"})
        self.assertEqual(key["value"], "v" * 30)

        self.assertNotIn("value", self.aws.get_api_key(apiKey=key["id"]))
        self.assertEqual(self.aws.get_api_key(apiKey=key["id"], includeValue=True)["value"], "v" * 30)
        items = self.aws.get_api_keys(includeValues=True, nameQuery="mad")["items"]
        self.assertEqual([(item["id"], item["value"]) for item in items], [(key["id"], "v" * 30)])
        self.assertEqual(items[0]["tags"], {"team": "blue"})
        self.assertGreater(items[0]["createdDate"].timestamp(), 1_700_000_000)

    def test_what_is_wrong_with_a_key_is_said_as_aws_says_it(self):
        self.assertIn("at least 20", self.refused("BadRequestException", self.aws.create_api_key, value="short"))
        self.refused("ConflictException", self.aws.create_api_key, name="twin", value=ALICE)
        self.refused("BadRequestException", self.aws.get_api_keys, limit=501)
        self.refused("BadRequestException", self.aws.get_api_keys, position="nowhere")
        self.refused(
            "BadRequestException",
            self.aws.update_api_key,
            apiKey="k1",
            patchOperations=[{"op": "replace", "path": "/value", "value": "x"}],
        )

    def test_lists_come_in_pages(self):
        made = [self.a_key(name=f"key{number:02}")["id"] for number in range(30)]

        pages = list(self.aws.get_paginator("get_api_keys").paginate(PaginationConfig={"PageSize": 12}))

        self.assertEqual([len(page["items"]) for page in pages], [12, 12, 7])
        self.assertEqual([item["id"] for page in pages for item in page["items"]], ["k1", *made])
        self.assertEqual(len(self.aws.get_api_keys()["items"]), 25)

    def test_a_quota_is_counted_extended_and_told(self):
        plan = self.a_plan(quota={"limit": 3, "period": "DAY"})
        key = self.a_key(plan)
        self.assertEqual([self.status(key["value"]) for _ in range(4)], [200, 200, 200, 429])
        self.assertEqual(self.usage(plan), {key["id"]: [[3, 0]]})

        granted = self.aws.update_usage(
            usagePlanId=plan, keyId=key["id"], patchOperations=[{"op": "replace", "path": "/remaining", "value": "2"}]
        )

        self.assertEqual(granted["items"], {key["id"]: [[3, 2]]})
        self.assertEqual([self.status(key["value"]) for _ in range(3)], [200, 200, 429])
        self.assertEqual(self.usage(plan, keyId=key["id"]), {key["id"]: [[5, 0]]})

    def test_throttles_of_a_plan_and_of_its_methods_change_at_once(self):
        plan = self.a_plan(throttle={"rateLimit": 0.001, "burstLimit": 1})
        key = self.a_key(plan)
        self.assertEqual([self.status(key["value"]) for _ in range(2)], [200, 429])

        self.change(plan, ("replace", "/throttle/burstLimit", "50"), ("replace", "/throttle/rateLimit", "1000"))
        stage = "/apiStages/a1b2c3d4e5:dev/throttle"
        self.change(plan, ("replace", f"{stage}/~1paid/GET/burstLimit", "2"), ("replace", f"{stage}/~1paid/GET/rateLimit", "0.001"))

        written = self.aws.get_usage_plan(usagePlanId=plan)
        self.assertEqual(written["throttle"], {"burstLimit": 50, "rateLimit": 1000.0})
        self.assertEqual(written["apiStages"][0]["throttle"], {"/paid/GET": {"burstLimit": 2, "rateLimit": 0.001}})
        self.assertEqual([self.status(key["value"]) for _ in range(3)], [200, 200, 429])
        self.assertEqual(self.status(key["value"], "POST"), 200)

        self.change(plan, ("remove", f"{stage}/~1paid/GET"), ("remove", "/throttle"))
        self.assertEqual([self.status(key["value"]) for _ in range(3)], [200, 200, 200])

    def test_a_plan_is_checked_as_aws_checks_it(self):
        stage = {"apiId": "a1b2c3d4e5", "stage": "dev"}
        self.refused("NotFoundException", self.aws.create_usage_plan, name="x", apiStages=[{"apiId": "none", "stage": "dev"}])
        self.refused("BadRequestException", self.aws.create_usage_plan, name="x", quota={"limit": 1, "offset": 1, "period": "DAY"})
        plan, other = self.a_plan(), self.a_plan()
        key = self.a_key(plan)
        twice = self.refused(
            "ConflictException", self.aws.create_usage_plan_key, usagePlanId=other, keyId=key["id"], keyType="API_KEY"
        )
        self.assertIn("cannot reference multiple Usage Plans", twice)
        self.refused("BadRequestException", self.aws.delete_usage_plan, usagePlanId=plan)
        self.change(plan, ("remove", "/apiStages", f"{stage['apiId']}:{stage['stage']}"))
        self.assertEqual(self.status(key["value"]), 403)
        self.aws.delete_usage_plan(usagePlanId=plan)
        self.refused("NotFoundException", self.aws.get_usage_plan, usagePlanId=plan)
        self.assertEqual(self.aws.get_usage_plans(keyId="k1")["items"][0]["name"], "gold")

    def test_tags(self):
        arn = f"arn:aws:apigateway:us-east-1::/usageplans/{self.a_plan()}"

        self.aws.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2"})
        self.aws.untag_resource(resourceArn=arn, tagKeys=["a"])

        self.assertEqual(self.aws.get_tags(resourceArn=arn)["tags"], {"b": "2"})
        self.refused("BadRequestException", self.aws.get_tags, resourceArn="arn:aws:apigateway:us-east-1::/restapis/x")

    def test_keys_are_imported_from_csv(self):
        plan = self.a_plan()
        body = f"Name,key,description,Enabled,usageplanIds\nimported,{'i' * 25},\"a, b\",true,{plan}\nstray,{'s' * 25},,false,none\n"

        made = self.aws.import_api_keys(body=body.encode(), format="csv")

        self.assertEqual((len(made["ids"]), len(made["warnings"])), (2, 1))
        self.assertEqual(self.status("i" * 25), 200)
        self.assertEqual(self.status("s" * 25), 403)

    def test_changes_of_what_the_configuration_names_last_until_it_says_something_else(self):
        self.assertEqual(self.status(ALICE), 200)
        self.aws.update_api_key(apiKey="k1", patchOperations=[{"op": "replace", "path": "/enabled", "value": "false"}])
        key = self.a_key("p1")
        self.stop()

        self.start()
        self.assertEqual(self.status(ALICE), 403)
        self.assertEqual(self.status(key["value"]), 200)
        self.assertEqual(self.usage("p1")["k1"][0][0], 1)
        self.stop()

        edited = CONFIG.replace("name: alice,", "name: alicia,").replace("[alice]", "[alicia]")
        (self.folder / "tollgate.yaml").write_text(edited)
        self.start()
        self.assertEqual(self.status(ALICE), 200)

    def test_the_command_line_tells_usage_from_the_store_and_from_the_gateway(self):
        self.assertEqual([self.status(ALICE) for _ in range(3)], [200] * 3)
        program = self.gateway.arguments[0]

        def usage(*arguments):
            command = [program, "usage", *arguments, "--plan", "gold", "--key", "alice", "--json"]
            output = subprocess.run(
                command, cwd=self.folder, env=clean_environment(), check=True, capture_output=True, text=True
            )
            return json.loads(output.stdout)

        asked = usage("--admin", self.admin)
        self.assertEqual((asked["usedToday"], asked["quota"]["remaining"]), (3, 97))
        self.stop()
        self.assertEqual(usage("openapi.yaml", "--config", "tollgate.yaml"), asked)

    def test_the_aws_command_line(self):
        aws = pathlib.Path(sys.executable).with_name("aws")

        def run(*arguments):
            output = subprocess.run(
                [str(aws), "apigateway", *arguments, "--endpoint-url", self.admin, "--output", "json"],
                env=clean_environment(**CREDENTIALS, HOME=str(self.folder)),
                capture_output=True,
                text=True,
            )
            self.assertEqual(output.returncode, 0, output.stderr)
            return json.loads(output.stdout) if output.stdout.strip() else None

        key = run("create-api-key", "--name", "cli", "--enabled")
        plan = run(
            "create-usage-plan", "--name", "cli", "--quota", "limit=1,period=WEEK",
            "--api-stages", "apiId=a1b2c3d4e5,stage=dev",
        )
        run("create-usage-plan-key", "--usage-plan-id", plan["id"], "--key-id", key["id"], "--key-type", "API_KEY")
        self.assertEqual([self.status(key["value"]) for _ in range(2)], [200, 429])
        run(
            "update-usage", "--usage-plan-id", plan["id"], "--key-id", key["id"],
            "--patch-operations", "op=replace,path=/remaining,value=1",
        )
        self.assertEqual([self.status(key["value"]) for _ in range(2)], [200, 429])
        values = {one["id"]: one["value"] for one in run("get-api-keys", "--include-values")["items"]}
        self.assertEqual(values[key["id"]], key["value"])


if __name__ == "__main__":
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    unittest.main()
