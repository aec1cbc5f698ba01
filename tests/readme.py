#!/usr/bin/env python3
"""The README's examples do what the README prints.

    tests/readme.py            run every example and compare
    tests/readme.py --write    run every example and put what it printed into the README

An example is a fenced block of the kind `console`: lines that begin with `$ `
are commands (`\\` at the end continues them), the lines below are what they
print. `...` alone on a line stands for any lines. What a block needs is said in a
comment above it, and stays until the next such comment:

    <!-- gateway: openapi/petstore-rest.yaml -->    a gateway on port 3000
    <!-- backend -->                                fixtures/backend.py as well
    <!-- not run -->                                only to read (this one block)

The gateway runs on a free port; `3000` in the text is exchanged both ways, `3001` in
commands for the control plane's, and
`cargo run --release --` and `tollgate` are the release build. A command that
itself serves is ended once it takes connections: what it printed is its output.
"""

import argparse
import contextlib
import difflib
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

from gateway import ROOT, Backend, Gateway, clean_environment, program

README = ROOT / "README.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
DIRECTIVE = re.compile(r"<!-- (gateway: (?P<gateway>\S.*?)|(?P<backend>backend)|(?P<skip>not run)) -->")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the real output into the README")
    write = parser.parse_args().write

    text = README.read_text(encoding="utf-8")
    pieces, position, wrong, ran = [], 0, 0, 0
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as scratch:
        scene = Scene(stack, scratch)
        for block in BLOCK.finditer(text):
            skip = scene.prepare(text[position : block.start()])
            pieces.append(text[position : block.start(1)])
            body = block.group(1)
            if skip:
                pieces.append(body)
            else:
                printed = []
                for command, expected in examples(body):
                    ran += 1
                    output = scene.run(command)
                    if not matches(expected, output):
                        wrong += 1
                        if not write:
                            show(command, expected, output)
                        expected = output
                    printed.append(command_lines(command) + expected)
                pieces.append("".join(printed))
            position = block.end(1)
        pieces.append(text[position:])
    if write:
        README.write_text("".join(pieces), encoding="utf-8")
        print(f"README: {ran} examples, {wrong} rewritten")
        return 0
    print(f"README: {ran} examples, {wrong} wrong")
    return 1 if wrong or not ran else 0


class Scene:
    """The gateway and the backend that the blocks ask for, one after another."""

    def __init__(self, stack, scratch):
        self.stack = stack
        self.scratch = pathlib.Path(scratch)
        self.gateway = None
        self.backend = None
        # `tollgate` on the path is the build that is tried.
        (self.scratch / "tollgate").symlink_to(program())

    def prepare(self, prose):
        """Follows the directives of the text before a block; whether the block is only to read."""
        skip = False
        for found in DIRECTIVE.finditer(prose):
            if found["skip"]:
                skip = True
            elif found["backend"] and not self.backend:
                self.backend = self.stack.enter_context(Backend())
            elif found["gateway"]:
                arguments = found["gateway"].split()
                if self.backend:
                    arguments += ["--stage-variable", f"backend=127.0.0.1:{self.backend.port}"]
                if self.gateway:
                    self.gateway.__exit__()
                self.gateway = self.stack.enter_context(Gateway(*arguments))
        return skip

    def run(self, command):
        command = command.replace("cargo run --release --", "tollgate")
        if self.gateway:
            admin = re.search(r'"admin":"http://[^"]*:(\d+)"', self.gateway.log())
            command = re.sub(r"\b3000\b", str(self.gateway.port), command)
            command = re.sub(r"\b3001\b", admin[1] if admin else "3001", command)
        port = self.gateway.port if self.gateway else 3000
        serves = command.startswith("tollgate serve ")
        if serves:
            port = free_port()
            command = f"exec {command} --port {port}"
        path = f"{self.scratch}{os.pathsep}{os.environ['PATH']}"
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=ROOT,
            env=clean_environment(PATH=path, COLUMNS="100"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if serves:
            wait_for(port, process)
            process.terminate()
        output, _ = process.communicate(timeout=60)
        output = output.replace("\r\n", "\n").replace(str(port), "3000").rstrip("\n")
        # The control plane takes the next port, or a free one where that is taken.
        output = re.sub(r"(--endpoint-url http://127\.0\.0\.1:)\d+", r"\g<1>3001", output)
        return output + "\n" if output else ""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process):
    """Until something listens on the port, or the process has ended."""
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            # The table is printed once the port is taken: let it come.
            time.sleep(0.3)
            return
        time.sleep(0.02)


def examples(body):
    """(command, expected output) of a block, in order."""
    found, lines = [], iter(body.splitlines(keepends=True))
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\\n"):
                command += next(lines)
            found.append([command.rstrip("\n"), ""])
        elif found:
            found[-1][1] += line
    return found


def command_lines(command):
    return f"$ {command}\n"


def matches(expected, output):
    """Line by line; `...` alone stands for any lines."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(line) for line in expected.splitlines(keepends=True)
    )
    return re.fullmatch(pattern, output) is not None


def show(command, expected, output):
    print(f"$ {command}")
    for line in difflib.unified_diff(
        expected.splitlines(), output.splitlines(), "in the README", "printed", lineterm="", n=99
    ):
        print(f"    {line}")


if __name__ == "__main__":
    sys.exit(main())
