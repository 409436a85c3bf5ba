"""Real Envoy processes, as deploy/envoy configures them, before real `headrace` ones.

The environment variables HEADRACE and ENVOY name the programs.
"""

import contextlib
import json
import os
import pathlib
import socket
import sys

import yaml
from openai import AsyncOpenAI, OpenAI  # noqa: F401

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/clients/python"))

import headrace  # noqa: E402

PROGRAM = os.environ["ENVOY"]
MODES = ["full-duplex", "buffered", "streamed"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def manager(config):
    (listener,) = config["static_resources"]["listeners"]
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def filters(config):
    """The HTTP filters of a configuration, by name."""
    return {one["name"]: one["typed_config"] for one in manager(config)["http_filters"]}


def add_first(config, name, typed_config):
    """Puts an HTTP filter before all others."""
    manager(config)["http_filters"].insert(0, {"name": name, "typed_config": typed_config})


def add_last(config, name, typed_config):
    """Puts an HTTP filter behind all others but the router."""
    manager(config)["http_filters"].insert(-1, {"name": name, "typed_config": typed_config})


def cluster(config, name):
    (found,) = [one for one in config["static_resources"]["clusters"] if one["name"] == name]
    return found


def endpoint(address):
    host, port = address.rsplit(":", 1)
    return {"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(port)}}}}


class Envoy(headrace.Process):
    """`mode`: a configuration of deploy/envoy; only addresses are changed in it, and what `edit`
    changes."""

    def __init__(self, folder, mode, picker, engines, edit=None):
        config = yaml.safe_load((ROOT / f"deploy/envoy/{mode}.yaml").read_text())
        (listener,) = config["static_resources"]["listeners"]
        for place in [config["admin"], listener]:
            place["address"]["socket_address"]["port_value"] = 0
        addresses = {"headrace": [f"127.0.0.1:{picker}"], "engines": engines}
        for name, its in addresses.items():
            if (assignment := cluster(config, name).get("load_assignment")) is not None:
                assignment["endpoints"] = [{"lb_endpoints": [endpoint(one) for one in its]}]
        if edit is not None:
            edit(config)
        file = folder / "envoy.json"
        file.write_text(json.dumps(config))
        admin = folder / "envoy.admin"
        admin.unlink(missing_ok=True)
        options = ["-c", file, "--admin-address-path", admin, "--disable-hot-restart"]
        super().__init__(
            [*options, "--concurrency", "2"], folder / "envoy.log", program=PROGRAM
        )
        self.wait_for("(all dependencies initialized. starting workers)")
        self.admin = admin.read_text()
        listeners = json.loads(headrace.get(self.admin, "/listeners?format=json"))
        (at,) = [one["local_address"]["socket_address"] for one in listeners["listener_statuses"]]
        self.address = f"{at['address']}:{at['port_value']}"

    def client(self, kind=OpenAI, **options):
        options = {"max_retries": 0, "timeout": headrace.PATIENCE_S, **options}
        return kind(base_url=f"http://{self.address}/v1", api_key="none", **options)

    def stat(self, name):
        """The value of one of its counters or gauges."""
        stats = json.loads(headrace.get(self.admin, f"/stats?format=json&filter=^{name}$"))
        return sum(one["value"] for one in stats["stats"])


class Site:
    """Engines, Headrace as their picker, and Envoy before them."""

    def __init__(self, folder, mode, engines, edit=None, picker=None, **config):
        self.folder = folder
        self.engines = engines
        self.port, self.health = free_port(), free_port()
        self.config = {
            "extproc": {
                "listen": f"127.0.0.1:{self.port}",
                "health": f"127.0.0.1:{self.health}",
                "fallbacks": 2 if mode == "full-duplex" else 0,
                **(picker or {}),
            },
            # Not so often that a busy machine fails it.
            "health": {"interval": "500ms", "timeout": "500ms"},
            **config,
        }
        self.stack = contextlib.ExitStack()
        self.picker = None
        self.start_picker()
        try:
            addresses = [engine.address for engine in engines.values()]
            self.envoy = Envoy(folder, mode, self.port, addresses, edit)
        except BaseException:
            self.stack.close()
            raise

    def start_picker(self):
        self.picker = self.stack.enter_context(
            headrace.serve(self.folder, self.engines, **self.config)
        )

    def client(self, **options):
        return self.envoy.client(**options)

    def idle(self):
        return self.picker.idle() and not any(one.running() for one in self.engines.values())

    def stop(self):
        self.envoy.stop()
        self.stack.close()
