"""Metrics as those read them who have to: Prometheus' own parser, and a Prometheus."""

import json
import pathlib
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import headrace
import pytest
import yaml
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

here = pathlib.Path(__file__).parent
deploy = here.parents[1] / "deploy"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def read(gateway, accept):
    request = urllib.request.Request(
        f"http://{gateway.admin}/metrics", headers={"Accept": accept} if accept else {}
    )
    with urllib.request.urlopen(request, timeout=headrace.PATIENCE_S) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def samples(families):
    found = {}
    for family in families:
        for sample in family.samples:
            labels = {k: float(v) if k == "le" else v for k, v in sample.labels.items()}
            found[(sample.name, tuple(sorted(labels.items())))] = sample
    return found


@pytest.fixture
def gateway(tmp_path, engine):
    """It has served a request of the trace above, and one that is not traced."""
    # No collector is there: exemplars need none.
    tracing = {"endpoint": "http://127.0.0.1:1", "sample": 0}
    with headrace.serve(
        tmp_path,
        {"a10": engine},
        model={"policy": "slo-headroom", "slo": {"e2e": "30s"}},
        tracing=tracing,
    ) as gateway:
        client = gateway.client()
        for headers in [{"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, {}]:
            options = headrace.tokens(5)
            options["extra_headers"] |= headers
            list(
                client.chat.completions.create(
                    messages=headrace.QUESTION, stream=True, **options
                )
            )
        headrace.eventually(lambda: gateway.metric("headrace_e2e_seconds_count") == 2)
        yield gateway


def test_openmetrics_is_read_by_the_reference_parser(gateway):
    kind, text = read(gateway, "application/openmetrics-text; version=1.0.0")
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    open_samples = samples(openmetrics_parser.text_string_to_metric_families(text))
    kind, text = read(gateway, "")
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    plain = samples(parser.text_string_to_metric_families(text))
    assert set(open_samples) == set(plain)
    moving = {"headrace_decision_seconds", "headrace_profile_age_seconds", "headrace_trace"}
    for key, sample in plain.items():
        if not any(key[0].startswith(name) for name in moving):
            assert open_samples[key].value == pytest.approx(sample.value, nan_ok=True), key

    for name in ["ttft", "tpat", "e2e", "queue"]:
        exemplars = [
            (sample.exemplar, dict(labels)["le"])
            for (sample_name, labels), sample in open_samples.items()
            if sample_name == f"headrace_{name}_seconds_bucket" and sample.exemplar
        ]
        ((exemplar, bound),) = exemplars
        assert exemplar.labels == {"trace_id": TRACE}
        assert exemplar.value <= bound
        assert abs(float(exemplar.timestamp) - time.time()) < 60


def test_a_series_appears_when_it_first_counts(tmp_path, engine):
    with headrace.serve(tmp_path, {"a10": engine}) as gateway:
        _, text = read(gateway, "")
        zeros = re.findall(r"^(headrace_\w+)(?:{.*})? 0$", text, re.MULTILINE)
        counters = {zero for zero in zeros if zero.endswith("_total")}
        assert counters == {
            "headrace_slo_attained_total",
            "headrace_slo_missed_total",
            "headrace_access_log_dropped_total",
        }
        assert "headrace_ttft_seconds" not in text


class Prometheus(headrace.Process):
    def __init__(self, folder, target):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        config = {
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
            "rule_files": [str(deploy / "prometheus" / "headrace-rules.yaml")],
            "scrape_configs": [
                {"job_name": "headrace", "static_configs": [{"targets": [target]}]}
            ],
        }
        file = folder / "prometheus.yaml"
        file.write_text(json.dumps(config))
        super().__init__(
            [
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={self.address}",
                "--enable-feature=exemplar-storage",
            ],
            folder / "prometheus.log",
            program="prometheus",
        )
        self.wait_for("(Server is ready to receive web requests)")

    def ask(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        try:
            return json.loads(headrace.get(self.address, f"/api/v1/{path}?{query}"))["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error


needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="there is no Prometheus; install it with: tools/install-deps test",
)


def dashboard_queries():
    board = json.loads((deploy / "grafana" / "headrace.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"].replace("$model", ".*").replace("$__rate_interval", "1m")
            yield panel["title"], query


@needs_prometheus
def test_prometheus_takes_the_exemplars_and_knows_what_the_dashboard_asks(tmp_path, gateway):
    prometheus = Prometheus(tmp_path, gateway.admin)
    try:
        now = time.time()
        asked = {"start": now - 3600, "end": now + 3600}

        def exemplars():
            return prometheus.ask(
                "query_exemplars", query="headrace_ttft_seconds_bucket", **asked
            )

        headrace.eventually(exemplars)
        assert exemplars()[0]["exemplars"][0]["labels"] == {"trace_id": TRACE}
        (target,) = prometheus.ask("targets")["activeTargets"]
        assert target["health"] == "up"
        # Every query is understood, and those about what has happened have an answer.
        answered = set()
        for title, query in dashboard_queries():
            if prometheus.ask("query", query=query)["result"]:
                answered.add(title)
        assert {"In flight", "Circuit states", "Load by endpoint", "Configuration"} <= answered
        groups = prometheus.ask("rules")["groups"]
        faults = [rule.get("lastError") for group in groups for rule in group["rules"]]
        assert not any(faults), faults
    finally:
        prometheus.stop()


@needs_prometheus
def test_alert_rules_do_as_they_say():
    rules = deploy / "prometheus" / "headrace-rules.yaml"
    for command in [["check", "rules", rules], ["test", "rules", here / "rules.test.yaml"]]:
        done = subprocess.run(["promtool", *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case():
    groups = yaml.safe_load((deploy / "prometheus" / "headrace-rules.yaml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    tests = yaml.safe_load((here / "rules.test.yaml").read_text())["tests"]
    fired = {
        case["alertname"]
        for test in tests
        for case in test.get("alert_rule_test", [])
        if case["exp_alerts"]
    }
    assert alerts == fired
