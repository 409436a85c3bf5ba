import os
import pathlib
import sys

import pytest

here = pathlib.Path(__file__).parent
sys.path.insert(0, str(here.parent / "clients" / "python"))

import headrace  # noqa: E402


@pytest.fixture
def engine(tmp_path):
    engine = headrace.Engine(tmp_path)
    yield engine
    engine.stop()


@pytest.fixture
def collector(tmp_path):
    """A real OpenTelemetry Collector; `spans()` is what it has written so far."""
    program = here.parents[1] / "build" / "collector" / "collector"
    if not program.exists() and not os.environ.get("HEADRACE_REQUIRE_COLLECTOR"):
        pytest.skip("there is no OpenTelemetry Collector; tests/collector/setup builds it")
    collector = Collector(program, tmp_path)
    yield collector
    collector.stop()


class Collector(headrace.Process):
    def __init__(self, program, folder):
        import socket

        self.file = folder / "spans.json"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.url = f"http://{address}"
        config = f"""
receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: '{address}' }} }} }} }}
exporters: {{ file: {{ path: '{self.file}', flush_interval: 10ms }} }}
service:
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines: {{ traces: {{ receivers: [otlp], exporters: [file] }} }}
"""
        super().__init__(["--config", "yaml:" + config], folder / "collector.log", program)
        self.wait_for("(Everything is ready)")

    def spans(self):
        """Each with its attributes as a dictionary, and its resource's."""
        import json

        found = []
        for line in self.file.read_text().splitlines() if self.file.exists() else []:
            for resource in json.loads(line)["resourceSpans"]:
                of_resource = attributes(resource["resource"])
                for scope in resource["scopeSpans"]:
                    for span in scope["spans"]:
                        of_span = attributes(span)
                        found.append({**span, "attributes": of_span, "resource": of_resource})
        return found


def attributes(holder):
    return {one["key"]: next(iter(one["value"].values())) for one in holder.get("attributes", [])}
