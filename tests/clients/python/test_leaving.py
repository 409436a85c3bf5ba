"""Clients that go away: the engine's work and the place in the queue end at once."""

import asyncio

import openai
import pytest

from headrace import eventually
from test_answers import QUESTION, tokens, words
from test_errors import chat, long_stream


@pytest.fixture
def slow(start_engine, serve):
    """An engine as fast as life that takes one request at a time, and its gateway."""
    engine = start_engine(speed=1)
    return engine, serve(engine, fits=1)


def cancelled(gateway):
    return gateway.metric("headrace_requests_total", outcome="cancelled")


def test_stream_that_is_closed_midway(slow):
    engine, gateway = slow
    with gateway.client() as client:
        stream = long_stream(client)
        next(iter(stream))
        assert (engine.running(), gateway.running()) == (1, 1)
        stream.close()
        eventually(lambda: engine.running() == 0 and gateway.idle())
        eventually(lambda: cancelled(gateway) == 1)


def test_client_that_loses_patience_while_its_request_runs(slow):
    engine, gateway = slow
    with gateway.client(timeout=2) as client:
        with pytest.raises(openai.APITimeoutError):
            chat(client, **tokens(2000))
    eventually(lambda: engine.running() == 0 and gateway.idle())
    eventually(lambda: cancelled(gateway) == 1)


def test_client_that_loses_patience_while_its_request_waits(slow):
    engine, gateway = slow
    with gateway.client() as client, long_stream(client):
        with gateway.client(timeout=2) as hasty, pytest.raises(openai.APITimeoutError):
            chat(hasty)
        eventually(lambda: gateway.waiting() == 0)
        assert (engine.running(), gateway.running()) == (1, 1)
    eventually(lambda: engine.running() == 0 and gateway.idle())
    eventually(lambda: cancelled(gateway) == 2)


def test_tasks_that_are_cancelled(slow):
    """One streams, one waits for its answer's first byte, the others wait in the queue."""
    engine, gateway = slow

    async def run():
        async with gateway.async_client() as client:
            stream = await long_stream(client)
            async for _ in stream:
                break
            tasks = [asyncio.create_task(chat(client, stream=i % 2 == 0)) for i in range(6)]
            while gateway.waiting() < 6:
                await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            assert all(
                isinstance(result, asyncio.CancelledError)
                for result in await asyncio.gather(*tasks, return_exceptions=True)
            )
            eventually(lambda: gateway.waiting() == 0)
            assert engine.running() == 1
            await stream.close()

            task = asyncio.create_task(chat(client, **tokens(2000)))
            while engine.running() == 0 or gateway.running() == 0:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # While the event loop and its client are still there.
            eventually(lambda: engine.running() == 0 and gateway.idle())

    asyncio.run(run())
    eventually(lambda: cancelled(gateway) == 8)


def test_place_of_one_that_leaves_goes_to_the_next(slow):
    _, gateway = slow
    with gateway.client() as client:
        stream = long_stream(client)
        next(iter(stream))

        async def run():
            async with gateway.async_client() as other:
                task = asyncio.create_task(chat(other, **tokens(4)))
                while gateway.waiting() == 0:
                    await asyncio.sleep(0.01)
                stream.close()
                return await task

        assert words(asyncio.run(run()).choices[0].message.content) == 4


def test_half_of_many_leave(start_engine, serve):
    engine = start_engine(speed=20)
    gateway = serve(engine, fits=20)

    async def ask(client, i):
        stream = await client.chat.completions.create(
            messages=QUESTION, stream=True, **tokens(40 if i % 2 else 2000)
        )
        text = ""
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
            if i % 2 == 0:
                await stream.close()
                return None
        return words(text)

    async def run():
        async with gateway.async_client(timeout=60) as client:
            return await asyncio.gather(*[ask(client, i) for i in range(100)])

    assert asyncio.run(run()) == [40 if i % 2 else None for i in range(100)]
    eventually(lambda: engine.running() == 0 and gateway.idle())
    eventually(lambda: cancelled(gateway) == 50)
    assert gateway.metric("headrace_requests_total", outcome="completed") == 50
