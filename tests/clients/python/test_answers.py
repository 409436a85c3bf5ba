"""Every call that Headrace serves, as the official client makes it."""

import asyncio

import pytest

from headrace import MODEL, QUESTION, eventually, tokens, words


@pytest.fixture
def client(gateway):
    with gateway.client() as client:
        yield client


def test_models(client):
    assert [model.id for model in client.models.list()] == [MODEL]


def test_chat(client):
    raw = client.chat.completions.with_raw_response.create(messages=QUESTION, **tokens(12))
    answer = raw.parse()
    assert answer.object == "chat.completion"
    (choice,) = answer.choices
    assert choice.message.role == "assistant"
    assert words(choice.message.content) == 12
    assert choice.finish_reason == "stop"
    assert answer.usage.completion_tokens == 12
    assert raw.headers["routing-strategy"] == "slo"
    assert raw.headers["target-deployment"] in ["a10", "l20"]
    assert raw.headers["request-id"]


def test_chat_is_cut_at_max_tokens(client):
    answer = client.chat.completions.create(messages=QUESTION, max_tokens=5, **tokens(100))
    assert answer.choices[0].finish_reason == "length"
    assert words(answer.choices[0].message.content) == 5


def test_chat_streamed(client):
    text, reasons = "", []
    for chunk in client.chat.completions.create(messages=QUESTION, stream=True, **tokens(12)):
        assert chunk.object == "chat.completion.chunk"
        assert chunk.usage is None, "the client did not ask for it"
        (choice,) = chunk.choices
        text += choice.delta.content or ""
        reasons.append(choice.finish_reason)
    assert words(text) == 12
    assert reasons[-1] == "stop" and not any(reasons[:-1])


def test_chat_streamed_with_usage(client):
    chunks = list(
        client.chat.completions.create(
            messages=QUESTION, stream=True, stream_options={"include_usage": True}, **tokens(12)
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 12
    assert not any(chunk.usage for chunk in chunks[:-1])


def test_chat_stream_that_the_client_puts_together(client):
    with client.chat.completions.stream(messages=QUESTION, **tokens(12)) as stream:
        answer = stream.get_final_completion()
    assert words(answer.choices[0].message.content) == 12


def test_chat_with_tools_and_parts(client):
    answer = client.chat.completions.create(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "How deep is the lake?"}]},
        ],
        tools=[
            {
                "type": "function",
                "function": {"name": "depth", "parameters": {"type": "object", "properties": {}}},
            }
        ],
        temperature=0.2,
        **tokens(3),
    )
    assert words(answer.choices[0].message.content) == 3


def test_long_prompt_arrives_as_it_is(client):
    # Two, three and four bytes of UTF-8 a character; the engine counts a token for each 4 bytes.
    text = "Größe 湖 🐟 \\ \" \n" * 500
    answer = client.chat.completions.create(
        messages=[{"role": "user", "content": text}], **tokens(2)
    )
    assert answer.usage.prompt_tokens == 4 + (len(text.encode()) + 3) // 4


def test_completion(client):
    answer = client.completions.create(prompt="The lake is", **tokens(7))
    assert answer.object == "text_completion"
    assert words(answer.choices[0].text) == 7
    assert answer.usage.completion_tokens == 7


@pytest.mark.parametrize("usage", [False, True])
def test_completion_streamed(client, usage):
    options = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(client.completions.create(prompt="The lake is", stream=True, **options, **tokens(7)))
    assert words("".join(chunk.choices[0].text for chunk in chunks if chunk.choices)) == 7
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [7] * usage


def test_embeddings(client):
    inputs = ["The lake is deep.", "The river is wide."]
    # The client asks for base64 unless told otherwise.
    packed = client.embeddings.create(model=MODEL, input=inputs)
    plain = client.embeddings.create(model=MODEL, input=inputs, encoding_format="float")
    assert [item.index for item in packed.data] == [0, 1]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-5)
    assert packed.data[0].embedding != packed.data[1].embedding
    assert packed.usage.prompt_tokens == 10


def test_response(client):
    answer = client.responses.create(input="How deep is the lake?", **tokens(9))
    assert answer.status == "completed"
    assert words(answer.output_text) == 9
    assert answer.usage.output_tokens == 9


def test_response_streamed(client):
    events = list(client.responses.create(input="How deep?", stream=True, **tokens(9)))
    assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert words(text) == 9
    assert events[-1].response.output_text == text
    assert events[-1].response.usage.output_tokens == 9


def test_response_stream_that_the_client_puts_together(client):
    options = tokens(9)
    with client.responses.stream(input="How deep?", **options) as stream:
        assert words(stream.get_final_response().output_text) == 9


@pytest.mark.parametrize("policy", ["least-request", "round-robin", "slo-pack-load", "random"])
def test_policy_of_the_request(client, policy):
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=QUESTION, max_tokens=2, extra_headers={"routing-strategy": policy}
    )
    assert raw.headers["routing-strategy"] == policy


def test_async_client(gateway):
    async def streamed(client):
        stream = await client.chat.completions.create(messages=QUESTION, stream=True, **tokens(6))
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def run():
        async with gateway.async_client() as client:
            whole, text, response, vectors, models = await asyncio.gather(
                client.chat.completions.create(messages=QUESTION, **tokens(5)),
                streamed(client),
                client.responses.create(input="How deep?", **tokens(4)),
                client.embeddings.create(model=MODEL, input="lake"),
                client.models.list(),
            )
            assert whole.usage.completion_tokens == 5
            assert words(text) == 6
            assert words(response.output_text) == 4
            assert len(vectors.data) == 1
            assert models.data[0].id == MODEL

    asyncio.run(run())


def test_many_streams_at_once(gateway):
    """More than the fleet takes at a time: the rest waits its turn, and nobody gets another's text."""
    before = gateway.metric("headrace_requests_total", outcome="completed")

    async def ask(client, count):
        stream = await client.chat.completions.create(
            messages=QUESTION, stream=True, stream_options={"include_usage": True}, **tokens(count)
        )
        text, usage = "", None
        async for chunk in stream:
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
            usage = chunk.usage or usage
        return words(text), usage.completion_tokens

    async def run():
        counts = [1 + i % 50 for i in range(200)]
        async with gateway.async_client(timeout=60) as client:
            answers = await asyncio.gather(*[ask(client, count) for count in counts])
        assert answers == [(count, count) for count in counts]

    asyncio.run(run())
    # Each is counted just after its last byte has left.
    eventually(lambda: gateway.metric("headrace_requests_total", outcome="completed") == before + 200)
