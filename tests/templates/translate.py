#!/usr/bin/env python3
"""Holds `tollgate routes` to what AWS's own translator makes of SAM templates.

    tests/templates/translate.py --gateway target/release/tollgate [TEMPLATE ...]

Two comparisons for each template. The translator's output, read as the plain
template that it is, must have the very same routes as the SAM template. And the
paths, methods, integrations, authorizers and API keys that this script reads
from that output by itself must be those that tollgate lists.
What the translator refuses (refused.yaml) tollgate has to refuse, with a place and the word.
"""

import argparse
import difflib
import json
import logging
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
logging.disable(logging.CRITICAL)

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parent.parent / "fixtures" / "templates"
PSEUDO = {
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "tollgate",
}
NOTHING = object()
METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "x-amazon-apigateway-any-method"]


def include(node, folder):
    """AWS::Include comes before the transform, and is not the translator's business."""
    if isinstance(node, list):
        return [include(item, folder) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: include(value, folder) for key, value in node.items()}
    macro = node.get("Fn::Transform")
    if isinstance(macro, dict) and macro.get("Name") == "AWS::Include":
        del node["Fn::Transform"]
        text = (folder / macro["Parameters"]["Location"]).read_text(encoding="utf-8")
        node = {**include(yaml_parse(text), folder), **node}
    return node


def package(node):
    """Code in S3, as `sam package` leaves it: the translator takes nothing else."""
    if isinstance(node, list):
        return [package(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: "s3://bucket/code.zip" if key in ("CodeUri", "ContentUri") else package(value)
        for key, value in node.items()
    }


class Stack:
    """The translator's output with the values of its functions."""

    def __init__(self, template, parameters):
        self.template, self.resources = template, template["Resources"]
        self.parameters = {
            name: parameters.get(name, declared.get("Default"))
            for name, declared in template.get("Parameters", {}).items()
        }

    def condition(self, name):
        return self.holds(self.template["Conditions"][name])

    def holds(self, node):
        [(function, argument)] = node.items()
        match function:
            case "Condition":
                return self.condition(argument)
            case "Fn::Equals":
                return self.value(argument[0]) == self.value(argument[1])
            case "Fn::Not":
                return not self.holds(argument[0])
            case "Fn::And":
                return all(self.holds(one) for one in argument)
            case "Fn::Or":
                return any(self.holds(one) for one in argument)
        raise ValueError(function)

    def live(self, kind):
        return {
            name: resource
            for name, resource in self.resources.items()
            if resource["Type"] == kind and ("Condition" not in resource or self.condition(resource["Condition"]))
        }

    def value(self, node):
        if isinstance(node, list):
            return [v for v in map(self.value, node) if v is not NOTHING]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(function, argument)] = node.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self.call(function, argument)
        values = {key: self.value(value) for key, value in node.items()}
        return {key: value for key, value in values.items() if value is not NOTHING}

    def call(self, function, argument):
        match function:
            case "Ref":
                return self.reference(argument)
            case "Fn::GetAtt":
                return self.attribute(*(argument if isinstance(argument, list) else argument.split(".", 1)))
            case "Fn::If":
                return self.value(argument[1] if self.condition(argument[0]) else argument[2])
            case "Fn::Join":
                return argument[0].join(str(part) for part in self.value(argument[1]))
            case "Fn::FindInMap":
                name, first, second = self.value(argument)
                return self.template["Mappings"][name][first][second]
            case "Fn::Sub":
                text, own = argument if isinstance(argument, list) else (argument, {})

                def fill(match):
                    name = match[1]
                    if name.startswith("!"):
                        return "${" + name[1:] + "}"
                    if name in own:
                        return str(self.value(own[name]))
                    return str(self.attribute(*name.split(".", 1)) if "." in name else self.reference(name))

                return re.sub(r"\$\{([^}]*)\}", fill, text)
        raise ValueError(function)

    def reference(self, name):
        if name == "AWS::NoValue":
            return NOTHING
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            return self.parameters[name]
        resource = self.resources[name]
        properties = resource.get("Properties", {})
        match resource["Type"]:
            case "AWS::Lambda::Alias":
                return f"{self.function_arn(properties['FunctionName']['Ref'])}:{properties['Name']}"
            case "AWS::Lambda::Function":
                return self.function_name(name)
            case "AWS::Cognito::UserPool":
                return f"us-east-1_{name}"
        return name

    def attribute(self, name, attribute):
        if self.resources[name]["Type"] == "AWS::Lambda::Function" and attribute == "Arn":
            return self.function_arn(name)
        return f"{name}.{attribute}"

    def function_name(self, name):
        return self.value(self.resources[name]["Properties"].get("FunctionName", name))

    def function_arn(self, name):
        return f"arn:aws:lambda:us-east-1:123456789012:function:{self.function_name(name)}"

    def target(self, uri):
        """`function` and `qualifier` where the uri leads to a function of the template, else `uri`."""
        names = {self.function_name(name): name for name in self.live("AWS::Lambda::Function")}
        inner = re.search(r"/functions/(.*)/[a-z-]*invocations$", uri)
        found = re.fullmatch(r"arn:aws:lambda:[^:]*:[^:]*:function:([^:]+)(?::(.+))?", inner[1] if inner else uri)
        if found and found[1] in names:
            qualifier = {"qualifier": found[2]} if found[2] else {}
            return {"function": names[found[1]], **qualifier}
        return {"uri": uri}

    def rows(self):
        rows = []
        for kind, stage_kind, link, word in [
            ("AWS::ApiGateway::RestApi", "AWS::ApiGateway::Stage", "RestApiId", "REST"),
            ("AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Stage", "ApiId", "HTTP"),
        ]:
            for name, api in self.live(kind).items():
                if "Body" not in api["Properties"]:
                    continue
                body = self.value(api["Properties"]["Body"])
                for stage in self.live(stage_kind).values():
                    if stage["Properties"][link] == {"Ref": name}:
                        rows += self.api_rows(name, word, body, self.value(stage["Properties"]["StageName"]))
        return rows

    def api_rows(self, name, word, body, stage):
        schemes = body.get("securityDefinitions") or (body.get("components") or {}).get("securitySchemes") or {}
        for path, item in body["paths"].items():
            for method in METHODS:
                if method not in item:
                    continue
                operation = item[method]
                row = {
                    "api": name,
                    "type": word,
                    "stage": stage,
                    "method": "ANY" if method.startswith("x-") else method.upper(),
                    # The default route is written `/$default` too.
                    "path": "$default" if path == "/$default" else "/" + path.strip("/") if path.startswith("/") else path,
                }
                integration = operation.get("x-amazon-apigateway-integration")
                if integration:
                    row["integration"] = {"type": integration["type"].lower()}
                    if "uri" in integration:
                        row["integration"].update(self.target(integration["uri"]))
                    if word == "HTTP":
                        row["integration"]["payloadFormatVersion"] = str(integration["payloadFormatVersion"])
                self.secure(row, operation, schemes, word)
                yield row

    def secure(self, row, operation, schemes, word):
        for entry in operation.get("security", []):
            for scheme, scopes in entry.items():
                declared = schemes.get(scheme)
                if not declared:
                    continue
                authorizer = declared.get("x-amazon-apigateway-authorizer")
                if declared.get("x-amazon-apigateway-authtype") == "awsSigv4":
                    row["authorizer"] = {"type": "aws_iam"}
                elif authorizer:
                    kind = authorizer["type"].lower()
                    made = {"name": scheme, "type": kind}
                    if "authorizerUri" in authorizer:
                        made.update(self.target(authorizer["authorizerUri"]))
                    source = authorizer.get("identitySource", [])
                    if word == "REST" and kind != "request":
                        source = f"method.request.header.{declared['name']}"
                    source = [one.strip() for one in source.split(",")] if isinstance(source, str) else source
                    if source:
                        made["identitySource"] = source
                    if scopes:
                        made["scopes"] = scopes
                    row["authorizer"] = made
                elif scheme == "api_key":
                    row["apiKeyRequired"] = True


KEYS = ["api", "type", "stage", "method", "path", "integration", "authorizer", "apiKeyRequired"]


def order(row):
    return [row[key] for key in ("api", "stage", "path", "method")]


def routes(gateway, template, parameters):
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    argv = [gateway, "routes", str(template), "--json"] + (["--parameter-overrides", *overrides] if overrides else [])
    done = subprocess.run(argv, cwd=template.parent, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv[1:])} ended with {done.returncode}: {done.stderr.strip()[-800:]}")
    return json.loads(done.stdout)


def differences(wanted, given, names):
    text = lambda rows: json.dumps(rows, indent=1, sort_keys=True).splitlines()
    return list(difflib.unified_diff(text(wanted), text(given), *names, lineterm="", n=4))


def check(gateway, template, parameters):
    source = include(yaml_parse(template.read_text(encoding="utf-8")), template.parent)
    made = Translator({}, Parser()).translate(package(source), dict(parameters))
    given = routes(gateway, template, parameters)
    plain = template.parent / f".{template.stem}.translated.json"
    plain.write_text(json.dumps(made), encoding="utf-8")
    try:
        found = differences(routes(gateway, plain, parameters), given, ("translated", "as SAM"))
    finally:
        plain.unlink()
    wanted = sorted(Stack(made, parameters).rows(), key=order)
    # APIs of plain resources have nothing that the translator makes.
    made_here = [name for name, one in made["Resources"].items() if "Body" in one.get("Properties", {})]
    reduced = [{key: row[key] for key in KEYS if key in row} for row in given if row["api"] in made_here]
    return found + differences(wanted, reduced, ("translator", "tollgate"))


def refused(gateway, one):
    """What is wrong with how a template is refused."""
    template = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Conditions": {"Yes": {"Fn::Equals": ["a", "a"]}},
        "Globals": one.get("globals", {}),
        "Resources": one["resources"],
    }
    text = json.dumps(template, indent=1)
    try:
        Translator({}, Parser()).translate(package(json.loads(text)), {})
        return ["the translator takes it"]
    except InvalidDocumentException:
        pass
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "template.json")
        path.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [gateway, "routes", path.name], cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
    found = [] if done.returncode == 1 else [f"exit status {done.returncode}"]
    for word in ("error[", "template.json:", one["says"]):
        if word not in done.stderr:
            found.append(f"not said: {word}")
    return found + (done.stderr.splitlines() if found else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("templates", nargs="*", type=pathlib.Path)
    parser.add_argument("--gateway", required=True)
    options = parser.parse_args()
    gateway = os.path.abspath(options.gateway)
    templates = options.templates or [
        *(path for path in sorted((HERE / "own").glob("*.yaml")) if not path.stem.endswith(".cfn")),
        *sorted(FIXTURES.glob("*/template.yaml")),
        HERE.parent.parent / "template.yaml",
    ]
    failed = passed = 0
    for template in templates:
        template = template.resolve()
        sets = [{}]
        if "Environment" in template.read_text(encoding="utf-8") and template.parent.name == "stages-and-conditions":
            sets.append({"Environment": "prod"})
        if template.stem == "conditional-functions":
            sets.append({"Stage": "prod"})
        for parameters in sets:
            try:
                found = check(gateway, template, parameters)
            except Exception as problem:  # every template is to be looked at
                found = [f"{type(problem).__name__}: {problem}"]
            name = "/".join(template.parts[-2:]) + "".join(f" {k}={v}" for k, v in parameters.items())
            if found:
                failed += 1
                print(f"FAIL  {name}", *found[:60], sep="\n      ")
            else:
                passed += 1
    cases = {} if options.templates else yaml_parse((HERE / "refused.yaml").read_text(encoding="utf-8"))
    for name, one in cases.items():
        found = refused(gateway, one)
        if found:
            failed += 1
            print(f"FAIL  refused: {name}", *found[:20], sep="\n      ")
        else:
            passed += 1
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
