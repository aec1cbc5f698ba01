"""Gateways that share one Redis, as real processes under load: what passes together, what
happens while Redis is away or hangs, and that a killed gateway takes no count with it.

The clients measure the run themselves. What may pass is computed from their own times,
so nothing here depends on how fast or how busy the machine is:

- no more than the burst and what the rate gives from the first request sent to the last
  answer received can pass;
- a bucket that refuses somebody is empty at that moment, so at least the burst and what the
  rate gives from the first answer received to the last refused request sent did pass.
"""

import http.client
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest

from gateway import Gateway

KEY = "alice-0123456789abcdefghij"
RATE, BURST, SECONDS = 100, 20, 10
OPENAPI = textwrap.dedent(
    """
    openapi: 3.0.1
    info: {title: shared, version: '1'}
    components: {securitySchemes: {api_key: {type: apiKey, name: x-api-key, in: header}}}
    paths:
      /limited:
        get:
          security: [{api_key: []}]
          responses: &ok {'200': {description: OK}}
          x-amazon-apigateway-integration: &mock
            type: mock
            requestTemplates: {application/json: '{"statusCode": 200}'}
            responses: {default: {statusCode: '200'}}
      /open:
        get: {responses: *ok, x-amazon-apigateway-integration: *mock}
    """
)


def config(store, plan):
    return textwrap.dedent(
        f"""
        throttle: {{rateLimit: 100000, burstLimit: 100000}}
        apiKeys: [{{id: k1, name: alice, value: {KEY}}}]
        usagePlans: [{{id: p1, name: gold, apiKeys: [alice], {plan}}}]
        store: {store}
        """
    )


class Redis:
    """A real server on a port of its own, that may be stopped and started."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.process = None

    def start(self):
        arguments = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]
        self.process = subprocess.Popen(
            [*arguments, "--appendfsync", "always"], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        for line in self.process.stdout:
            if "Ready to accept" in line:
                break
        else:
            raise RuntimeError("redis-server does not start")
        # Whatever else it says is read, so that it never waits for a reader.
        self.reader = threading.Thread(target=self.process.stdout.read, daemon=True)
        self.reader.start()

    def signal(self, number):
        if self.process:
            self.process.send_signal(number)

    def stop(self):
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        self.process = None

    def command(self, *words):
        """One command, answered with one line or one bulk string."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as s, s.makefile("rwb") as stream:
            stream.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
            stream.flush()
            line = stream.readline().decode().strip()
            return stream.readline().decode().strip() if line[0] == "$" and line != "$-1" else line


class Client(threading.Thread):
    """Sends one request after another over one connection until it is told to stop."""

    def __init__(self, port, path, stop):
        super().__init__()
        self.port, self.path, self.stop = port, path, stop
        # (sent, answered, status) of each request.
        self.answers = []
        self.failure = None

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            while not self.stop.is_set():
                sent = time.monotonic()
                connection.request("GET", self.path, headers={"x-api-key": KEY})
                answer = connection.getresponse()
                answer.read()
                self.answers.append((sent, time.monotonic(), answer.status))
        except (OSError, http.client.HTTPException) as error:
            self.failure = error
        finally:
            connection.close()


class Load:
    """Clients for each of several gateways, for as long as the `with` block lasts."""

    def __init__(self, gateways, path="/limited", each=2):
        self.stop = threading.Event()
        self.clients = [Client(gateway.port, path, self.stop) for gateway in gateways for _ in range(each)]

    def __enter__(self):
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for client in self.clients:
            client.join()

    def answers(self):
        return sorted(answer for client in self.clients for answer in list(client.answers))

    def statuses(self):
        return {status for _, _, status in self.answers()}

    def more(self, count, clients=None):
        """Waits until that many more requests were answered by each client, or by each of those."""
        clients = clients or self.clients
        wanted = [len(client.answers) + count for client in clients]
        while any(len(client.answers) < enough for client, enough in zip(clients, wanted)):
            for client in clients:
                if client.failure:
                    raise client.failure
            time.sleep(0.002)


class SharedLimits(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "openapi.yaml").write_text(OPENAPI)
        self.redis = Redis(self.folder)
        self.redis.start()
        self.addCleanup(self.redis.stop)

    def gateways(self, count, plan, **store):
        said = ", ".join(f"{name}: {value}" for name, value in store.items())
        store = f"{{url: 'redis://127.0.0.1:{self.redis.port}', {said}}}"
        (self.folder / "tollgate.yaml").write_text(config(store, plan))
        gateways = []
        for _ in range(count):
            gateway = Gateway("openapi.yaml", "--config", "tollgate.yaml", "--admin-port", "0", cwd=self.folder)
            gateway.__enter__()
            self.addCleanup(gateway.__exit__)
            gateways.append(gateway)
        return gateways

    def share_one_bucket(self, count):
        gateways = self.gateways(count, f"throttle: {{rateLimit: {RATE}, burstLimit: {BURST}}}", deadline=10)
        with Load(gateways) as load:
            # The length of the run, not a wait for something.
            load.stop.wait(SECONDS)
        for client in load.clients:
            self.assertIsNone(client.failure)
        answers = load.answers()
        refused = [answer for answer in answers if answer[2] == 429]
        passed = sum(status == 200 for _, _, status in answers)
        self.assertEqual(len(refused) + passed, len(answers))
        first_sent, last_answered = answers[0][0], max(answered for _, answered, _ in answers)
        first_answered = min(answered for _, answered, _ in answers)
        last_refused = max(sent for sent, _, _ in refused)
        most = BURST + RATE * (last_answered - first_sent)
        # One token may be under way in the bucket.
        least = BURST + RATE * (last_refused - first_answered) - 1
        expected = BURST + RATE * (last_answered - first_sent)
        print(
            f"{count} gateways, {len(answers)} requests in {last_answered - first_sent:.2f} s: {passed} passed, "
            f"between {least:.1f} and {most:.1f} may ({100 * (passed / expected - 1):+.2f} % of limit and burst)",
            file=sys.stderr,
        )
        self.assertLessEqual(passed, most)
        pause = self.longest_pause(refused)
        if pause < BURST / RATE:
            self.assertGreaterEqual(passed, least)
        else:
            # On a machine that stood still for longer than the bucket takes to fill, it overflowed.
            print(f"nobody was refused for {pause:.2f} s: what must pass at least is not known", file=sys.stderr)

    @staticmethod
    def longest_pause(refused):
        times = [sent for sent, _, _ in refused]
        return max(b - a for a, b in zip(times, times[1:]))

    def test_two_gateways_share_one_bucket(self):
        self.share_one_bucket(2)

    def test_four_gateways_share_one_bucket(self):
        self.share_one_bucket(4)

    def test_four_gateways_share_one_quota(self):
        gateways = self.gateways(4, "quota: {limit: 500, period: MONTH}", deadline=10)
        with Load(gateways) as load:
            load.more(200)
        self.assertEqual(sum(status == 200 for _, _, status in load.answers()), 500)

    def while_redis_is_away(self, gateways, expected, away, back):
        """Statuses that were answered while it was away, and after it came back."""
        with Load(gateways) as load:
            load.more(50)
            self.assertEqual(load.statuses(), {200})
            away()
            # Requests that were under way may still have had its answer.
            load.more(2)
            before = {client: len(client.answers) for client in load.clients}
            load.more(50)
            meanwhile = {status for client in load.clients for _, _, status in client.answers[before[client] :][:50]}
            self.assertEqual(meanwhile, expected)
            back()
            while {client.answers[-1][2] for client in load.clients} != {200}:
                load.more(1)
            load.more(50)
        for client in load.clients:
            self.assertIsNone(client.failure)
        return load

    def used(self):
        """What Redis has counted in this month."""
        key = "{tollgate}:q:p1:k1:" + time.strftime("%Y-%m-01", time.gmtime())
        count = self.redis.command("HGET", key, "used")
        return int(count) if count.isdigit() else 0

    def all_counted(self, load):
        """What was counted elsewhere meanwhile is added once Redis is back."""
        passed = sum(status == 200 for _, _, status in load.answers())
        deadline = time.monotonic() + 30
        while self.used() < passed and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertGreaterEqual(self.used(), passed)

    def until_told(self, gateway, words):
        """A gateway asks the store again for a request, and its log is written beside the request."""
        deadline = time.monotonic() + 30
        while words not in gateway.log():
            self.assertLess(time.monotonic(), deadline, f"{words!r} is not said")
            self.assertEqual(gateway.get("/limited", ("x-api-key", KEY)).status, 200)
            time.sleep(0.01)

    def test_while_redis_is_stopped_each_gateway_counts_for_itself_if_open(self):
        gateways = self.gateways(2, "quota: {limit: 1000000, period: MONTH}", whenDown="open")
        load = self.while_redis_is_away(gateways, {200}, self.redis.stop, self.redis.start)
        self.all_counted(load)
        for gateway in gateways:
            self.assertIn("limits are this gateway's own meanwhile", gateway.log())
            self.until_told(gateway, "the store answers again")

    def test_while_redis_is_stopped_nobody_passes_if_closed(self):
        gateways = self.gateways(2, "quota: {limit: 1000000, period: MONTH}", whenDown="closed")
        load = self.while_redis_is_away(gateways, {503}, self.redis.stop, self.redis.start)
        self.all_counted(load)
        self.assertIn("refused meanwhile", gateways[0].log())

    def test_a_redis_that_hangs_holds_nobody_up(self):
        gateways = self.gateways(2, "quota: {limit: 1000000, period: MONTH}", whenDown="open", deadline=0.05)
        hang, go_on = (lambda number=number: self.redis.signal(number) for number in (signal.SIGSTOP, signal.SIGCONT))
        self.addCleanup(go_on)
        load = self.while_redis_is_away(gateways, {200}, hang, go_on)
        self.all_counted(load)

    def test_a_killed_gateway_takes_no_count_with_it(self):
        killed, other = self.gateways(2, "quota: {limit: 1000000, period: MONTH}", deadline=10)
        with Load([killed, other]) as load:
            load.more(100)
            killed.process.kill()
            killed.process.wait()
            load.more(50, load.clients[2:])
        self.all_counted(load)
        killed.__exit__()

        again = self.gateways(1, "quota: {limit: 1000000, period: MONTH}", deadline=10)[0]
        passed = sum(status == 200 for _, _, status in load.answers())
        key = re.search(r'"admin":"http://127\.0\.0\.1:(\d+)"', again.log()).group(1)
        today = time.strftime("%Y-%m-%d", time.gmtime())
        connection = http.client.HTTPConnection("127.0.0.1", int(key), timeout=30)
        connection.request("GET", f"/usageplans/p1/usage?startDate={today}&endDate={today}")
        answer = connection.getresponse().read().decode()
        connection.close()
        used = int(re.search(r'"k1":\[\[(\d+),', answer).group(1))
        self.assertGreaterEqual(used, passed)


if __name__ == "__main__":
    if not shutil.which("redis-server"):
        sys.exit("redis-server is missing: apt-get install redis-server")
    unittest.main()
