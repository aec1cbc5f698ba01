#!/usr/bin/env python3
"""Lambda's runtime clients under the gateway: event, context, error and remaining time.

Clients that a registry at hand has run themselves: awslambdaric, esbuild and tsx (the
Rust client runs in tests/apps.py and tests/examples.py). For Java, Ruby and .NET a
stand-in of the client's program says how it was started, which is held against the
client's documented command line. `tests/run` installs the packages.
"""

import json
import os
import pathlib
import shutil
import stat
import sys
import tempfile
import time
import unittest

from gateway import ROOT, Gateway

CLIENTS = ROOT / "fixtures" / "runtimes"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
TIMEOUT = 20


def definition(names):
    """A REST API that gives a function the body as its event, and its result or error back."""

    def route(name):
        arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
        return {
            "post": {
                "responses": {"200": {"description": "what the function answered"}},
                "x-amazon-apigateway-integration": {
                    "type": "aws",
                    "httpMethod": "POST",
                    "uri": f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations",
                    "responses": {"default": {"statusCode": "200"}},
                },
            }
        }

    return {
        "openapi": "3.0.1",
        "info": {"title": "clients", "version": "1"},
        "paths": {f"/{name}": route(name) for name in names},
    }


class Client:
    """What is the same for every client."""

    functions: dict
    name: str
    variables: dict = {}

    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name).resolve()
        cls.prepare()
        function = {"timeout": TIMEOUT, "memorySize": 256, **cls.function()}
        api, config = cls.folder / "api.json", cls.folder / "tollgate.yaml"
        api.write_text(json.dumps(definition([cls.name])))
        config.write_text(json.dumps({"functions": {cls.name: function}}))
        cls.gateway = Gateway(api, "--config", config, **cls.variables)
        cls.enterClassContext(cls.gateway)

    @classmethod
    def prepare(cls):
        """Lays out what has to be there before the gateway starts."""

    def call(self, event):
        answer = self.gateway.send("POST", f"/{self.name}", [("Content-Type", "application/json")], json.dumps(event))
        self.assertEqual(answer.status, 200, f"{answer}\n{self.gateway.log()}")
        return answer.json

    def test_the_event_and_the_context_arrive(self):
        event = {"word": "héllo", "list": [1, 2.5, None], "deep": {"a": True}}

        first, second = self.call(event), self.call(event)

        self.assertEqual(first["event"], event, self.gateway.log())
        self.assertEqual(first["arn"], f"arn:aws:lambda:us-east-1:123456789012:function:{self.name}")
        self.assertRegex(first["id"], r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
        self.assertNotEqual(first["id"], second["id"])
        self.assertEqual(first["process"], second["process"])
        self.check_context(first)

    def check_context(self, seen):
        self.assertEqual((seen["name"], seen["memory"]), (self.name, 256))
        self.assertTrue(0 < seen["left"] <= TIMEOUT * 1000, seen["left"])

    def test_an_error_is_the_functions_own_and_the_process_goes_on(self):
        before = self.call({})
        failed = self.call({"fails": True})
        after = self.call({})

        self.assertEqual((failed["errorMessage"], failed["errorType"]), ("asked to", self.error_type))
        self.assertEqual(before["process"], after["process"])


class Awslambdaric(Client, unittest.TestCase):
    name, error_type = "awslambdaric", "IndexError"

    @classmethod
    def function(cls):
        # As docs/functions.md names it.
        command = [sys.executable, "-m", "awslambdaric", "app.handler"]
        shutil.copy(CLIENTS / "awslambdaric" / "app.py", cls.folder)
        return {"command": command}


class TypeScript(Client):
    """A project with its own tool, in a copy: what the gateway builds stays out of the tree."""

    error_type = "RangeError"

    @classmethod
    def function(cls):
        project = cls.folder / "project"
        shutil.copytree(CLIENTS / cls.name, project, symlinks=True)
        return {"runtime": "nodejs20.x", "handler": "app.handler", "codeUri": str(project)}

    def test_what_it_imports_is_compiled_too(self):
        self.assertEqual(self.call({"word": "all"})["greeting"], "glad, all")


class Esbuild(TypeScript, unittest.TestCase):
    name = "esbuild"

    def test_the_bundle_is_in_the_gateways_own_folder(self):
        self.call({})

        built = list(self.folder.glob(".tollgate/built/*/app.*js"))
        self.assertEqual(len(built), 1, list(self.folder.rglob("*.js")))
        self.assertIn("asked to", built[0].read_text())


class Tsx(TypeScript, unittest.TestCase):
    name = "tsx"

    def test_nothing_is_built(self):
        self.call({})

        self.assertEqual(list(self.folder.glob(".tollgate/built/*")), [])


class StandIn(Client):
    """A client that cannot be had here: how its program is started."""

    error_type = "StandIn"
    tool: str
    files: list = []

    @classmethod
    def prepare(cls):
        cls.code, cls.tools = cls.folder / "code", cls.folder / "tools"
        for file in cls.files:
            path = cls.code / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(cls.text)
        program = cls.folder / cls.tool
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!{sys.executable} -I\n{(CLIENTS / 'standin.py').read_text()}")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        cls.program = program
        cls.variables = {"PATH": f"{cls.tools}{os.pathsep}{os.environ['PATH']}", "JAVA_HOME": ""}

    text = ""

    @classmethod
    def function(cls):
        return {"runtime": cls.runtime, "handler": cls.handler, "codeUri": str(cls.code)}

    def check_context(self, seen):
        left = seen["deadline"] - time.time() * 1000
        self.assertTrue(-TIMEOUT * 1000 < left <= TIMEOUT * 1000, left)
        environment = seen["environment"]
        self.assertEqual(environment["_HANDLER"], self.handler)
        self.assertEqual(environment["LAMBDA_TASK_ROOT"], str(self.code))
        self.assertEqual(environment["AWS_LAMBDA_FUNCTION_NAME"], self.name)
        self.assertEqual(environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "256")
        self.assertEqual(environment["AWS_EXECUTION_ENV"], f"AWS_Lambda_{self.runtime}")
        # The clients load code from where they stand.
        self.assertEqual(seen["folder"], str(self.code))

    def test_the_program_is_started_as_the_client_documents(self):
        program, *arguments = self.call({})["arguments"]

        self.assertEqual(program, str(self.program))
        self.assertEqual(arguments, self.arguments())


class Ruby(StandIn, unittest.TestCase):
    """README of the client, "Configure a Lambda function": `aws_lambda_ric HANDLER`."""

    name, runtime, handler = "ruby", "ruby3.3", "app.App::Handler.process"
    tool, files = "tools/aws_lambda_ric", ["app.rb"]

    def arguments(self):
        return [self.handler]

    def test_gems_of_the_user_are_found_beside_those_of_the_code(self):
        # RubyGems: an empty place at the end of GEM_PATH stands for its own places.
        path = self.call({})["environment"]["GEM_PATH"]

        self.assertEqual(path, f"{self.code}/vendor/bundle/ruby/3.3.0:")


class RubyWithBundler(StandIn, unittest.TestCase):
    """The same through the project's bundle."""

    name, runtime, handler = "bundled", "ruby3.3", "app.handler"
    tool, files = "tools/bundle", ["app.rb", "Gemfile", "Gemfile.lock"]
    text = "GEM\n  specs:\n    aws_lambda_ric (3.1.3)\n"

    def arguments(self):
        return ["exec", "aws_lambda_ric", self.handler]


class Java(StandIn, unittest.TestCase):
    """README of the client: `java -cp ./* com.amazonaws...AWSLambda HANDLER`, on the code's class path."""

    name, runtime, handler = "java", "java21", "example.App::sayHello"
    tool = "tools/java"
    files = ["example/App.class", "lib/aws-lambda-java-runtime-interface-client-2.9.0.jar"]

    def arguments(self):
        return [
            "-XX:+TieredCompilation",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-cp",
            f"{self.code}:{self.code}/lib/*",
            "com.amazonaws.services.lambda.runtime.api.client.AWSLambda",
            self.handler,
        ]


class DotnetMethod(StandIn, unittest.TestCase):
    """The client's entry point for class libraries, as Lambda's image starts it."""

    name, runtime, handler = "dotnet", "dotnet8", "App::App.Function::Handle"
    tool = "tools/dotnet"
    files = ["App.dll", "App.deps.json", "App.runtimeconfig.json", "Amazon.Lambda.RuntimeSupport.dll"]

    def arguments(self):
        return [
            "exec",
            "--depsfile",
            f"{self.code}/App.deps.json",
            "--runtimeconfig",
            f"{self.code}/App.runtimeconfig.json",
            f"{self.code}/Amazon.Lambda.RuntimeSupport.dll",
            self.handler,
        ]


class DotnetAssembly(StandIn, unittest.TestCase):
    """An assembly with top-level statements, which starts the client by itself."""

    name, runtime, handler = "assembly", "dotnet8", "App"
    tool, files = "tools/dotnet", ["App.dll"]

    def arguments(self):
        return [f"{self.code}/App.dll"]


class Provided(StandIn, unittest.TestCase):
    """Go, Rust and others: the executable `bootstrap` of the code."""

    name, runtime, handler = "provided", "provided.al2023", "whatever"
    tool = "code/bootstrap"

    def arguments(self):
        return []


if __name__ == "__main__":
    unittest.main()
