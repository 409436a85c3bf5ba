"""One trace through both shells, HTTP and Envoy, gives the same decisions."""

import contextlib
import random

import openai
import pytest

import headrace
import proxy
from headrace import MODEL, eventually
from test_answers import QUESTION

POLICIES = ["slo", "slo-least-load", "slo-pack-load", "least-load", "least-request", "round-robin",
            "random", "power-of-two"]


def trace():
    """What clients do, in this order: (`open`, headers, prompt), (`ask`, …), (`close`, which)."""
    rng = random.Random(7)
    opened = 0
    for _ in range(120):
        headers = {"routing-strategy": rng.choice(POLICIES)}
        if rng.random() < 0.3:
            headers["x-slo-e2e-ms"] = rng.choice(["1", "20000", "90000"])
        prompt = "lake " * rng.choice([1, 30, 300, 2000])
        kind = rng.random()
        if kind < 0.35 and opened > 4:
            opened -= 1
            yield "close", rng.randrange(opened + 1), None
        elif kind < 0.7 and opened < 14:
            opened += 1
            yield "open", {**headers, "x-headrace-output-tokens": "2000"}, prompt
        else:
            yield "ask", {**headers, "x-headrace-output-tokens": str(rng.randrange(1, 4))}, prompt


def replay(client, shell, places):
    """What came of each request: its endpoint and policy, or why it was refused."""
    decisions, streams = [], []
    with contextlib.ExitStack() as stack:
        for step, (action, what, prompt) in enumerate(trace()):
            if action == "close":
                if what < len(streams):
                    running = shell.running()
                    streams.pop(what).close()
                    eventually(lambda: shell.running() == running - 1)
                continue
            try:
                raw = client.chat.completions.with_raw_response.create(
                    model=MODEL,
                    messages=[{"role": "user", "content": prompt}],
                    stream=action == "open",
                    extra_headers=what,
                )
            except openai.APIStatusError as error:
                decisions.append((step, error.status_code, error.code))
                continue
            headers = raw.headers
            decisions.append(
                (step, places.index(headers["target-pod"]), headers["routing-strategy"])
            )
            answer = raw.parse()
            if action == "open":
                next(iter(answer))
                streams.append(stack.enter_context(answer))
    eventually(shell.idle)
    return decisions


@pytest.fixture
def engines(tmp_path):
    with contextlib.ExitStack() as stack:
        started = {}
        for gpu in ["a10", "l20", "l4"]:
            started[gpu] = headrace.Engine(tmp_path, gpu, speed=4)
            stack.callback(started[gpu].stop)
        yield started


# A probe that times out on a busy machine would be one more event of one run only.
SELDOM = {"interval": "60s", "timeout": "10s"}


def test_both_shells_decide_alike(tmp_path, engines, mode):
    places = [engine.address for engine in engines.values()]
    http = tmp_path / "http"
    http.mkdir()
    with headrace.serve(http, engines, fits=6, health=SELDOM) as gateway:
        with gateway.client() as client:
            by_http = replay(client, gateway, places)
    site = proxy.Site(tmp_path, mode, engines, fits=6, health=SELDOM)
    try:
        with site.client() as client:
            by_envoy = replay(client, site.picker, places)
    finally:
        site.stop()
    assert by_envoy == by_http
    assert len({place for _, place, _ in by_http}) >= 4, "all engines, and refusals"
