"""Load, CPU time, memory and idle connections of a running process."""

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclasses.dataclass
class Load:
    """What one round of load gave."""

    requests: int
    seconds: float
    cpu: float
    p50: float
    p99: float
    p999: float

    @property
    def per_second(self):
        return self.requests / self.seconds

    @property
    def per_cpu_second(self):
        return self.requests / self.cpu if self.cpu else 0.0


class Process:
    """A gateway or a backend, on one processor, ended with all that it started."""

    def __init__(self, command, cpu, folder, environment=None):
        self.log = pathlib.Path(folder, f"{pathlib.Path(str(command[0])).name}.log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(cpu), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env={**os.environ, "AWS_EC2_METADATA_DISABLED": "true", **(environment or {})},
                start_new_session=True,
            )

    def wait_until_answers(self, port, path, headers=(), patience=60):
        """Waits for a 200, and gives the seconds it took from now."""
        begin = time.perf_counter()
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("GET", path, headers=dict(headers))
                answer = connection.getresponse()
                body = answer.read()
                connection.close()
                if answer.status == 200:
                    return time.perf_counter() - begin
                if time.perf_counter() - begin > 5:
                    sys.exit(f"{self.log.stem} answers {path} with {answer.status} {body[:300]!r}\n{self.tail()}")
            if self.process.poll() is not None or time.perf_counter() - begin > patience:
                sys.exit(f"{self.log.stem} did not come up for {path}:\n{self.tail()}")
            time.sleep(0.0005)

    def tail(self):
        return self.log.read_text(errors="replace")[-3000:]

    def processes(self):
        """The process and all below it."""
        children = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    stat = (entry / "stat").read_text().rpartition(")")[2].split()
                    children.setdefault(int(stat[1]), []).append(int(entry.name))
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += children.get(pid, [])
        return found

    def cpu(self):
        """Seconds of processor time so far."""
        ticks = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(stat[11]) + int(stat[12])
        return ticks / TICK

    def rss(self):
        """Bytes of memory; what forked processes share counts once."""
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
        return total

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def load(process, port, path, headers, seconds, cpu, connections=64):
    """One round of requests on kept connections."""
    command = ["taskset", "-c", str(cpu), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / "load.lua")]
    for name, value in headers:
        command += ["-H", f"{name}: {value}"]
    before = process.cpu()
    ran = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True)
    spent = process.cpu() - before
    line = next((line for line in ran.stdout.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        sys.exit(f"wrk failed:\n{ran.stdout}{ran.stderr}")
    counted = json.loads(line.removeprefix("RESULT "))
    if counted["failed"]:
        sys.exit(f"{counted['failed']} requests of {path} failed:\n{ran.stdout}\n{process.tail()}")
    return Load(counted["requests"], counted["seconds"], spent, counted["p50"], counted["p99"], counted["p999"])


def bytes_per_idle_connection(process, port, path, headers, count):
    """How much memory a connection takes that has sent one request and waits."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers) + "\r\n"
    before = process.rss()
    held = []
    try:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
            connection.sendall(request.encode())
            if not connection.recv(65536).startswith(b"HTTP/1.1 200"):
                sys.exit("an idle connection got no 200")
            held.append(connection)
        return (process.rss() - before) / count
    finally:
        for connection in held:
            connection.close()


def raise_file_limit(wanted=65536):
    """Lets this process, and what it starts, hold many connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, most)))
    except ValueError:
        # Not root: as far as it goes.
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
