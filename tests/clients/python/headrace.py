"""Real `headrace serve` and `headrace engine` processes, for the tests of the OpenAI clients.

The environment variable HEADRACE names the program.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.request

from openai import AsyncOpenAI, OpenAI

PROGRAM = os.environ["HEADRACE"]
MODEL = "llama2-7b"
PATIENCE_S = 20
QUESTION = [{"role": "user", "content": "How deep is the lake?"}]


def tokens(count):
    """Options for a call whose answer ends by itself after so many tokens (one word each)."""
    return {"model": MODEL, "extra_headers": {"x-headrace-output-tokens": str(count)}}


def words(text):
    return len(text.split())


def eventually(holds):
    """Waits until `holds()` is true: for what other processes bring about."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


def get(address, path):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE_S) as answer:
        return answer.read().decode()


def metric(text, name, **labels):
    """The sum of the series of that name that have these labels, in a Prometheus exposition."""
    total = 0.0
    for line in text.splitlines():
        if line.startswith("#") or not re.match(re.escape(name) + r"[{ ]", line):
            continue
        if all(f'{key}="{value}"' in line for key, value in labels.items()):
            total += float(line.rsplit(" ", 1)[1])
    return total


def run(*arguments):
    """Runs a subcommand to its end; what it printed, when it has succeeded."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Process:
    """A running program; what it says goes to a file, where its addresses are read from."""

    def __init__(self, arguments, log: pathlib.Path, program=PROGRAM):
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [program, *map(str, arguments)], stdout=output, stderr=subprocess.STDOUT
            )

    def wait_for(self, pattern):
        found = None

        def said():
            nonlocal found
            text = self.log.read_text()
            found = re.search(pattern, text)
            assert self.process.poll() is None, f"it ended: {text}"
            return found

        try:
            eventually(said)
        except BaseException:
            self.stop(signal.SIGKILL)
            raise
        return found.groups()

    def stop(self, with_signal=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class Engine(Process):
    def __init__(self, folder, gpu="a10", speed=200.0, address="127.0.0.1:0"):
        options = ["--listen", address, "--gpu", gpu, "--model", MODEL, "--speed", speed]
        super().__init__(["engine", *options], folder / f"engine-{time.monotonic_ns()}.log")
        self.gpu = gpu
        (self.address,) = self.wait_for(r"at http://(\S+)")

    def running(self):
        return metric(get(self.address, "/metrics"), "vllm:num_requests_running")


class Gateway(Process):
    def __init__(self, folder, config):
        file = folder / "headrace.yaml"
        file.write_text(json.dumps(config))  # JSON is YAML.
        super().__init__(["serve", "--config", file], folder / "serve.log")
        self.address, self.admin = self.wait_for(r"serving.*address=(\S+) admin=(\S+)")

    def client(self, kind=OpenAI, **options):
        options = {"max_retries": 0, "timeout": PATIENCE_S, **options}
        return kind(base_url=f"http://{self.address}/v1", api_key="none", **options)

    def async_client(self, **options):
        return self.client(AsyncOpenAI, **options)

    def metric(self, name, **labels):
        return metric(get(self.admin, "/metrics"), name, **labels)

    def status(self):
        """The only model's part of /status."""
        (model,) = json.loads(get(self.admin, "/status"))["models"]
        return model

    def running(self):
        return self.status()["in_flight"]

    def waiting(self):
        return self.status()["queue"]["length"]

    def idle(self):
        status = self.status()
        endpoints = [e for deployment in status["deployments"] for e in deployment["endpoints"]]
        return (
            status["in_flight"] == status["queue"]["length"] == status["queue"]["bytes"] == 0
            and all(endpoint["in_flight"] == endpoint["load"] == 0 for endpoint in endpoints)
        )


class Redis(Process):
    """Debian's redis-server, without persistence."""

    def __init__(self, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        options = ["--port", self.port, "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        super().__init__(options, folder / "redis.log", program="redis-server")
        self.wait_for("(Ready to accept connections)")
        self.url = f"redis://127.0.0.1:{self.port}/0"


def profile(name, tput):
    """A GPU profile of one cell: E2E takes a second, so `tput` requests fit at a time."""
    return {
        "gpu": name,
        "cost": 1,
        "tputs": [[tput]],
        "indexes": [[64], [64]],
        "created": 1,
        "e2e": [[1]],
        "slos": {"e2e": 100},
    }


@contextlib.contextmanager
def serve(folder, engines, fits=10, model=None, **config):
    """A gateway before `engines` ({deployment: engine}); each takes `fits` requests at a time."""
    deployments = []
    for name, engine in engines.items():
        (folder / f"{name}.json").write_text(json.dumps(profile(name, fits)))
        deployments.append({"name": name, "endpoints": [engine.address]})
    gateway = Gateway(
        folder,
        {
            "listen": "127.0.0.1:0",
            "admin": "127.0.0.1:0",
            "threads": 2,
            "profiles": {"directory": str(folder)},
            "health": {"interval": "100ms", "timeout": "100ms"},
            "models": [
                {"name": MODEL, "policy": "slo", "deployments": deployments, **(model or {})}
            ],
            **config,
        },
    )
    try:
        yield gateway
    finally:
        gateway.stop()
