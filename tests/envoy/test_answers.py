"""What the official OpenAI client gets through Envoy, in every body mode."""

import gzip
import json
import urllib.error
import urllib.request

import openai
import pytest

import headrace
import proxy
from headrace import MODEL, QUESTION, tokens, words


@pytest.fixture
def client(shared):
    with shared.client() as client:
        yield client


def test_chat(shared, client):
    raw = client.chat.completions.with_raw_response.create(messages=QUESTION, **tokens(12))
    answer = raw.parse()
    (choice,) = answer.choices
    assert words(choice.message.content) == 12
    assert answer.usage.completion_tokens == 12
    assert raw.headers["routing-strategy"] == "slo"
    assert raw.headers["target-deployment"] in shared.engines
    assert raw.headers["target-pod"] == shared.engines[raw.headers["target-deployment"]].address
    assert raw.headers["request-id"]
    assert "x-gateway-destination-endpoint-served" not in raw.headers


def test_chat_streamed(client):
    text, reasons = "", []
    for chunk in client.chat.completions.create(messages=QUESTION, stream=True, **tokens(12)):
        assert chunk.usage is None, "the client did not ask for it"
        (choice,) = chunk.choices
        text += choice.delta.content or ""
        reasons.append(choice.finish_reason)
    assert words(text) == 12
    assert reasons[-1] == "stop" and not any(reasons[:-1])


def test_chat_streamed_with_usage(client):
    *chunks, last = client.chat.completions.create(
        messages=QUESTION, stream=True, stream_options={"include_usage": True}, **tokens(12)
    )
    assert last.choices == []
    assert last.usage.completion_tokens == 12


def test_a_long_stream_is_whole(client):
    chunks = client.chat.completions.create(messages=QUESTION, stream=True, **tokens(3000))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert words(text) == 3000


def test_usage_teaches(shared, client):
    """The engine's counts reach Headrace, streamed or whole."""

    def known():
        return shared.picker.metric("headrace_prompt_tokens_ratio_count")

    before = known()
    client.chat.completions.create(messages=QUESTION, **tokens(7))
    headrace.eventually(lambda: known() > before)
    before = known()
    list(client.chat.completions.create(messages=QUESTION, stream=True, **tokens(7)))
    headrace.eventually(lambda: known() > before)


@pytest.mark.parametrize("size", [100_000, 1_000_000, 4_000_000])
def test_prompts_of_any_size_arrive_whole(client, size):
    # Longer than the engine's context, which only the engine finds out: it says how long they are.
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=MODEL, input="lake " * (size // 5))
    assert f"you requested {size // 4} tokens" in caught.value.message


def test_models(client):
    assert MODEL in [model.id for model in client.models.list()]


def test_errors_are_the_clients_own(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-9", messages=QUESTION)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=5, messages=QUESTION)
    assert caught.value.param == "model"
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(
            model=MODEL, messages=QUESTION, extra_headers={"x-slo-e2e-ms": "1"}
        )
    assert caught.value.code == "slo_unattainable"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.response.headers["x-error-routing"] == "slo_unattainable"


def test_body_that_is_no_json(shared):
    request = urllib.request.Request(
        f"http://{shared.envoy.address}/v1/chat/completions",
        data=b"{no json",
        headers={"content-type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=headrace.PATIENCE_S)
    assert caught.value.code == 400
    assert json.loads(caught.value.read())["error"]["type"] == "invalid_request_error"


def test_packed_body(shared):
    body = json.dumps({"model": MODEL, "messages": QUESTION, "max_tokens": 3}).encode()
    request = urllib.request.Request(
        f"http://{shared.envoy.address}/v1/chat/completions",
        data=gzip.compress(body),
        headers={"content-type": "application/json", "content-encoding": "gzip"},
    )
    with urllib.request.urlopen(request, timeout=headrace.PATIENCE_S) as answer:
        assert json.loads(answer.read())["usage"]["completion_tokens"] == 3


def test_body_in_chunks_of_unknown_length(shared):
    body = json.dumps({"model": MODEL, "messages": QUESTION, "max_tokens": 3}).encode()
    request = urllib.request.Request(
        f"http://{shared.envoy.address}/v1/chat/completions",
        data=(body[i : i + 20] for i in range(0, len(body), 20)),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=headrace.PATIENCE_S) as answer:
        assert json.loads(answer.read())["usage"]["completion_tokens"] == 3


def test_client_does_not_choose_the_endpoint(shared, client):
    raw = client.chat.completions.with_raw_response.create(
        messages=QUESTION,
        model=MODEL,
        max_tokens=2,
        extra_headers={
            "x-gateway-destination-endpoint": "127.0.0.1:1",
            "x-gateway-destination-endpoint-served": "127.0.0.1:1",
        },
    )
    assert raw.headers["target-pod"] in [one.address for one in shared.engines.values()]


# --- Modes that Headrace has to correct, or to do without


def request_body(mode):
    def edit(config):
        filter_ = proxy.filters(config)["envoy.filters.http.ext_proc"]
        filter_["processing_mode"]["request_body_mode"] = mode
        filter_.pop("send_body_without_waiting_for_header_response", None)

    return edit


def response_body_none(config):
    filter_ = proxy.filters(config)["envoy.filters.http.ext_proc"]
    filter_["processing_mode"]["response_body_mode"] = "NONE"


@pytest.mark.parametrize("mode", ["NONE", "STREAMED"])
def test_bodies_that_would_come_too_late_are_asked_for(start, mode):
    site = start("buffered", engines=2, edit=request_body(mode))
    with site.client() as client:
        for size in [1, 100_000]:
            answer = client.embeddings.create(model=MODEL, input=["lake"] * size)
            assert answer.usage.prompt_tokens == size
    headrace.eventually(site.idle)


def test_answers_that_are_not_shown(start):
    site = start("buffered", engines=2, edit=response_body_none)
    with site.client() as client:
        for stream in [False, True]:
            answer = client.chat.completions.create(
                messages=QUESTION, stream=stream, **tokens(12)
            )
            if stream:
                assert words("".join(c.choices[0].delta.content or "" for c in answer)) == 12
            else:
                assert words(answer.choices[0].message.content) == 12
    headrace.eventually(site.idle)
    assert site.picker.metric("headrace_requests_total", outcome="completed") == 2
