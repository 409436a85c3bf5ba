"""Clients that leave, engines and pickers that are lost: every request ends once, nothing stays."""

import json
import signal
import socket
import threading

import openai
import pytest

import proxy
from headrace import MODEL, eventually, run
from test_answers import QUESTION, tokens, words


def chat(client, **options):
    return client.chat.completions.create(**{"model": MODEL, "messages": QUESTION, **options})


def long_stream(client):
    """Takes the engine until it is closed, or a minute has passed."""
    return chat(client, stream=True, **tokens(2000))


def outcomes(site, outcome):
    return site.picker.metric("headrace_requests_total", outcome=outcome)


def endpoints(site):
    """What the picker knows of each, by address."""
    deployments = site.picker.status()["deployments"]
    return {one["address"]: one for deployment in deployments for one in deployment["endpoints"]}


# So that an engine that is away counts as up.
SELDOM = {"interval": "60s", "timeout": "100ms"}


# --- Clients


def test_stream_that_is_closed_midway(start, mode):
    site = start(mode, speed=1)
    (engine,) = site.engines.values()
    with site.client() as client:
        stream = long_stream(client)
        next(iter(stream))
        assert (engine.running(), site.picker.running()) == (1, 1)
        stream.close()
        eventually(lambda: engine.running() == 0 and site.picker.idle())
        eventually(lambda: outcomes(site, "cancelled") == 1)


def test_client_that_loses_patience_while_its_request_waits(start, mode):
    site = start(mode, speed=1, fits=1)
    with site.client() as client, long_stream(client):
        with site.client(timeout=2) as hasty, pytest.raises(openai.APITimeoutError):
            chat(hasty)
        eventually(lambda: site.picker.waiting() == 0)
        assert site.picker.running() == 1
    eventually(lambda: site.idle() and outcomes(site, "cancelled") == 2)


def test_request_waits_in_its_stream(start, mode):
    site = start(mode, speed=1, fits=1)
    answers = []
    with site.client() as client:
        with long_stream(client) as running:
            waiting = threading.Thread(target=lambda: answers.append(chat(client, **tokens(2))))
            waiting.start()
            eventually(lambda: site.picker.waiting() == 1)
            running.close()
        waiting.join()
    assert words(answers[0].choices[0].message.content) == 2
    eventually(site.idle)


# --- Engines


def test_engine_that_is_lost_midway(start, mode):
    site = start(mode, engines=2, speed=1)
    with site.client() as client:
        stream = long_stream(client)
        next(iter(stream))
        (lost,) = [one for one in site.engines.values() if one.running()]
        lost.stop(signal.SIGKILL)
        with pytest.raises(Exception):
            list(stream)
        eventually(site.picker.idle)
        eventually(lambda: not endpoints(site)[lost.address]["up"])
        for _ in range(4):
            assert chat(client, **tokens(2)).usage.completion_tokens == 2


def test_no_engine_is_left(start, mode):
    site = start(mode)
    (engine,) = site.engines.values()
    engine.stop()

    def refused():
        with site.client() as client, pytest.raises(openai.APIStatusError) as caught:
            chat(client, max_tokens=2)
        return caught.value.code == "no_endpoint"

    eventually(refused)
    with site.client() as client, pytest.raises(openai.APIStatusError) as caught:
        chat(client, max_tokens=2)
    assert caught.value.status_code == 503
    assert int(caught.value.response.headers["retry-after"]) >= 1


def test_envoy_tries_another_engine(start):
    site = start("full-duplex", engines=2, health=SELDOM)
    gone, stays = site.engines.values()
    gone.stop(signal.SIGKILL)
    with site.client() as client:
        for _ in range(6):
            raw = client.chat.completions.with_raw_response.create(
                messages=QUESTION, **tokens(2)
            )
            assert raw.headers["target-pod"] == stays.address, "who served it"
    assert site.envoy.stat("cluster.engines.upstream_rq_retry") >= 1
    eventually(site.picker.idle)
    assert endpoints(site)[gone.address]["ejection"]["failures_in_a_row"] >= 1
    assert endpoints(site)[stays.address]["ejection"]["failures_in_a_row"] == 0
    assert site.picker.metric("headrace_retries_total") >= 1
    # What Envoy did by itself is explained, and found by the id that the client got.
    said = json.loads(run("explain", "--json", "--admin", site.picker.admin))["requests"]
    assert raw.headers["x-request-id"] in [one["request_id"] for one in said]
    moved = [one for one in said if one.get("failed_tries")]
    assert moved and all("The proxy chose where it went next." in one["why"] for one in moved)


def test_engine_that_envoy_cannot_reach(start, mode):
    """Envoy answers 503 in its place: the engine is not busy, it is away."""
    site = start(mode, health=SELDOM)
    (engine,) = site.engines.values()
    engine.stop(signal.SIGKILL)
    with site.client() as client, pytest.raises(openai.InternalServerError) as caught:
        chat(client, max_tokens=2)
    assert caught.value.status_code == 502
    assert f"Endpoint {engine.address}" in caught.value.message
    assert "Envoy could not connect" in caught.value.message
    eventually(lambda: outcomes(site, "failed") == 1 and site.picker.idle())
    assert not endpoints(site)[engine.address]["up"]


def test_answer_of_another_filter_is_no_fault_of_the_engine(start, mode):
    def abort(config):
        always = {"numerator": 100, "denominator": "HUNDRED"}
        proxy.add_last(
            config,
            "envoy.filters.http.fault",
            {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
                "abort": {"http_status": 503, "percentage": always},
            },
        )

    site = start(mode, edit=abort)
    (engine,) = site.engines.values()
    with site.client() as client, pytest.raises(openai.InternalServerError) as caught:
        chat(client, max_tokens=2)
    assert caught.value.status_code == 503
    assert "target-pod" not in caught.value.response.headers
    eventually(site.idle)
    assert endpoints(site)[engine.address]["ejection"]["failures_in_a_row"] == 0


# --- The picker


def fail_open(config):
    proxy.filters(config)["envoy.filters.http.ext_proc"]["failure_mode_allow"] = True


def test_picker_lost_fails_closed(start, mode):
    site = start(mode)
    site.picker.stop(signal.SIGKILL)
    with site.client() as client, pytest.raises(openai.InternalServerError):
        chat(client, max_tokens=2)


def test_picker_lost_fails_open(start):
    site = start("full-duplex", engines=2, edit=fail_open)
    site.picker.stop(signal.SIGKILL)
    # Until Envoy knows, a body may be on its way to the picker, and is lost with it.
    eventually(lambda: site.envoy.stat("cluster.headrace.membership_healthy") == 0)
    with site.client() as client:
        for _ in range(20):
            assert chat(client, max_tokens=2).usage.completion_tokens == 2
        raw = client.chat.completions.with_raw_response.create(
            model=MODEL, messages=QUESTION, max_tokens=2
        )
    assert "routing-strategy" not in raw.headers


def test_picker_that_is_lost_while_a_request_waits(start, mode):
    site = start(mode, speed=1, fits=1)
    with site.client() as client, long_stream(client):
        failures = []

        def wait():
            try:
                chat(client, max_tokens=2)
            except openai.APIStatusError as error:
                failures.append(error.status_code)

        waiting = threading.Thread(target=wait)
        waiting.start()
        eventually(lambda: site.picker.waiting() == 1)
        site.picker.stop(signal.SIGKILL)
        waiting.join()
    assert len(failures) == 1 and failures[0] in (500, 503, 504)


def test_picker_that_is_restarted(start, mode):
    site = start(mode)
    site.picker.stop()
    site.start_picker()

    def answered():
        try:
            with site.client() as client:
                return chat(client, max_tokens=2).usage.completion_tokens == 2
        except openai.InternalServerError:
            return False

    eventually(answered)
    with site.client() as client:
        for _ in range(20):
            assert answered()
    eventually(site.idle)


def test_picker_that_drains_lets_streams_end(start, mode):
    site = start(mode, speed=5)
    (engine,) = site.engines.values()
    with site.client() as client:
        stream = chat(client, stream=True, **tokens(60))
        next(iter(stream))
        ending = threading.Thread(target=site.picker.stop)
        ending.start()
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        ending.join()
    assert words(text) >= 59
