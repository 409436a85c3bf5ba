"""What goes wrong becomes the exception that the official client has for it."""

import signal
import threading
import time

import openai
import pytest

from headrace import MODEL, eventually
from test_answers import QUESTION, tokens


@pytest.fixture
def client(gateway):
    with gateway.client() as client:
        yield client


def chat(client, **options):
    return client.chat.completions.create(**{"model": MODEL, "messages": QUESTION, **options})


def long_stream(client):
    """Takes the engine until it is closed, or a minute has passed."""
    return chat(client, stream=True, **tokens(2000))


# --- Requests that are wrong


@pytest.mark.parametrize(
    "options, param",
    [
        ({"model": 5}, "model"),
        ({"extra_headers": {"routing-strategy": "fastest"}}, "routing-strategy"),
        ({"extra_headers": {"x-slo-ttft-ms": "soon"}}, "x-slo-ttft-ms"),
        ({"max_tokens": 100_000}, "messages"),  # This one is the engine's.
    ],
)
def test_bad_request(client, options, param):
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, **options)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.param == param


def test_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as caught:
        chat(client, model="gpt-9")
    assert caught.value.code == "model_not_found"
    assert "gpt-9" in caught.value.message


def test_call_that_is_not_served(client):
    with pytest.raises(openai.NotFoundError):
        client.moderations.create(input="lake")


def test_request_that_is_too_large(start_engine, serve):
    with serve(start_engine(), limits={"body": "64KiB"}).client() as client:
        with pytest.raises(openai.APIStatusError) as caught:
            chat(client, messages=[{"role": "user", "content": "lake " * 400_000}])
        assert caught.value.status_code == 413
        assert caught.value.code == "request_too_large"
        # The client goes on with another connection.
        assert chat(client, max_tokens=2).usage.completion_tokens == 2


# --- Requests that are refused


def test_slo_that_no_gpu_can_meet_is_refused_without_a_retry(start_engine, serve):
    gateway = serve(start_engine())
    with gateway.client(max_retries=3) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            chat(client, extra_headers={"x-slo-e2e-ms": "1"})
        assert caught.value.code == "slo_unattainable"
        assert " ms of 1 ms" in caught.value.message
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert gateway.metric("headrace_refused_total") == 1
        # The same request with a looser one is served.
        assert chat(client, extra_headers={"x-slo-e2e-ms": "5000"}, max_tokens=2)


def test_slo_that_waiting_makes_unattainable(start_engine, serve):
    gateway = serve(start_engine(speed=1), fits=1)
    with gateway.client() as client, long_stream(client):
        with pytest.raises(openai.RateLimitError) as caught:
            chat(client, extra_headers={"x-slo-e2e-ms": "1200"})
        assert caught.value.code == "slo_deadline"


def test_full_queue_and_a_retry_when_the_gateway_says(start_engine, serve):
    gateway = serve(start_engine(speed=2), fits=1, model={"queue": {"max_length": 1}})
    with gateway.client() as client, gateway.client(max_retries=2) as patient:
        running = long_stream(client)
        waiting = threading.Thread(target=chat, args=[client], kwargs=tokens(2))
        waiting.start()
        eventually(lambda: gateway.waiting() == 1)
        with pytest.raises(openai.RateLimitError) as caught:
            chat(client)
        assert caught.value.code == "queue_full"
        pause = int(caught.value.response.headers["retry-after"])
        assert pause >= 1

        begin = time.monotonic()
        answers = []
        retrying = threading.Thread(target=lambda: answers.append(chat(patient, **tokens(3))))
        retrying.start()
        eventually(lambda: gateway.metric("headrace_refused_total", reason="queue_full") == 2)
        running.close()
        retrying.join()
        waiting.join()
        assert answers[0].usage.completion_tokens == 3
        # Left to itself, the client tries again after half a second.
        assert time.monotonic() - begin >= pause


def test_no_endpoint_and_retries_until_there_is_one(start_engine, serve):
    engine = start_engine()
    gateway = serve(engine)
    engine.stop()
    eventually(lambda: not gateway.status()["deployments"][0]["endpoints"][0]["up"])
    with gateway.client() as client, gateway.client(max_retries=5) as patient:
        with pytest.raises(openai.InternalServerError) as caught:
            chat(client)
        assert caught.value.status_code == 503
        assert caught.value.code == "no_endpoint"

        answers = []
        retrying = threading.Thread(target=lambda: answers.append(chat(patient, **tokens(3))))
        retrying.start()
        eventually(lambda: gateway.metric("headrace_refused_total", reason="no_endpoint") >= 2)
        start_engine(address=engine.address)
        retrying.join()
        assert answers[0].usage.completion_tokens == 3


# --- Engines that fail


def test_engine_that_dies_before_its_answer(start_engine, serve):
    engine = start_engine(speed=1)
    gateway = serve(engine)
    caught = []

    def ask():
        with gateway.client() as client, pytest.raises(openai.InternalServerError) as error:
            chat(client, **tokens(2000))
        caught.append(error.value)

    asking = threading.Thread(target=ask)
    asking.start()
    eventually(lambda: engine.running() == 1)
    engine.stop(signal.SIGKILL)
    asking.join()
    assert caught[0].status_code == 502
    assert caught[0].code == "bad_gateway"
    assert engine.address in caught[0].message
    eventually(gateway.idle)


def test_engine_that_dies_in_mid_stream(start_engine, serve):
    engine = start_engine(speed=1)
    gateway = serve(engine)
    with gateway.client() as client, pytest.raises(openai.APIError) as caught:
        for _ in long_stream(client):
            engine.stop(signal.SIGKILL)
    assert engine.address in caught.value.message
    eventually(gateway.idle)


def test_gateways_own_time_limit(start_engine, serve):
    engine = start_engine(speed=1)
    gateway = serve(engine, timeouts={"request": "300ms"})
    with gateway.client() as client:
        with pytest.raises(openai.InternalServerError) as caught:
            chat(client, **tokens(2000))
        assert caught.value.status_code == 504
        with pytest.raises(openai.APIError):
            list(long_stream(client))
    eventually(lambda: gateway.idle() and engine.running() == 0)
