#!/usr/bin/env python3
"""template.yaml is accepted by cfn-lint and by the code that AWS runs for the SAM transform."""

import importlib.metadata
import json
import logging
import os
import pathlib
import subprocess
import sys

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "template.yaml"

# What the transform has to make of it: a route that silently vanished would lint well.
EXPECTED_ROUTES = {
    "RestApi": {
        "/appraisals": ["post"],
        "/greetings/{name}": ["get"],
        "/pets": ["get", "post"],
        "/pets/{petId}": ["delete", "get", "put"],
        "/pets/{petId}/photo": ["get", "put"],
        "/status": ["get"],
    },
    "HttpApi": {
        "/greetings/{name}": ["get"],
        "/pets": ["get", "post"],
        "/pets/{petId}": ["x-amazon-apigateway-any-method"],
        "/pets/{petId}/photo": ["x-amazon-apigateway-any-method"],
        "/quotes": ["get"],
    },
}


def transform(template):
    """The CloudFormation that the SAM transform makes, as `aws cloudformation deploy` would."""
    for resource in template["Resources"].values():
        # The transform takes uploaded code only; `sam deploy` would have put an address here.
        if "CodeUri" in resource.get("Properties", {}):
            folder = ROOT / resource["Properties"]["CodeUri"]
            assert folder.is_dir(), f"{folder} is not there"
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    # No managed policies by name, so the translator has nothing to ask IAM for.
    return Translator({}, Parser()).translate(template, parameter_values={})


def main():
    lint = subprocess.run(
        # The script of this interpreter's environment, not whatever is first on the path.
        [pathlib.Path(sys.executable).with_name("cfn-lint"), "--include-checks", "I", "--", str(TEMPLATE)],
        capture_output=True,
        text=True,
    )
    if lint.returncode:
        sys.exit(f"cfn-lint:\n{lint.stdout}{lint.stderr}")
    print(f"cfn-lint {importlib.metadata.version('cfn-lint')}: nothing to say")

    made = transform(yaml_parse(TEMPLATE.read_text(encoding="utf-8")))
    for api, expected in EXPECTED_ROUTES.items():
        paths = made["Resources"][api]["Properties"]["Body"]["paths"]
        routes = {path: sorted(methods) for path, methods in sorted(paths.items())}
        if routes != expected:
            sys.exit(f"{api} has the routes\n{json.dumps(routes, indent=1)}\nand should have\n{json.dumps(expected, indent=1)}")
    print(f"aws-sam-translator {importlib.metadata.version('aws-sam-translator')}: {len(made['Resources'])} resources")


if __name__ == "__main__":
    main()
