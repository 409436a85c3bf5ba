"""Anthropic's client gets what it gets from vLLM: messages, streams, counts and its own errors."""

import anthropic
import pytest

from headrace import MODEL, QUESTION, eventually


@pytest.fixture
def client(gateway):
    address = str(gateway.client().base_url).removesuffix("/v1/")
    with anthropic.Anthropic(base_url=address, api_key="sk-test", max_retries=0) as client:
        yield client


def ask(client, **options):
    return client.messages.create(
        **{"model": MODEL, "max_tokens": 16, "messages": QUESTION, **options}
    )


def test_message(client):
    message = ask(client, system="Be brief.")
    assert message.role == "assistant"
    assert message.stop_reason in ("end_turn", "max_tokens")
    assert message.content[0].text
    assert message.usage.input_tokens > 0
    assert 0 < message.usage.output_tokens <= 16


def test_stream(client):
    with client.messages.stream(model=MODEL, max_tokens=16, messages=QUESTION) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert message.content[0].text == text
    assert message.usage.output_tokens > 0


def test_usage_is_learned_from(gateway, client):
    before = gateway.metric("headrace_output_length_ratio_count")
    ask(client)
    eventually(lambda: gateway.metric("headrace_output_length_ratio_count") > before)


def test_count_tokens(client):
    assert client.messages.count_tokens(model=MODEL, messages=QUESTION).input_tokens > 0


def test_errors(client):
    with pytest.raises(anthropic.NotFoundError) as unknown:
        ask(client, model="gpt-9")
    assert unknown.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError):
        ask(client, extra_headers={"routing-strategy": "fastest"})
