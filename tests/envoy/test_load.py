"""Many requests at once, of every kind: each ends once, and the picker's account is right."""

import asyncio
import random

import openai

from headrace import MODEL, eventually
from test_answers import QUESTION
from proxy import AsyncOpenAI


def test_many_at_once_and_nothing_stays(shared):
    """Streams, whole answers and refusals; a third of the clients leave at some point."""
    rng = random.Random(3)
    before = shared.picker.metric("headrace_requests_total")
    ended = {"answered": 0, "left": 0, "refused": 0}

    async def one(client, number):
        headers = {"x-headrace-output-tokens": str(rng.randrange(1, 400))}
        if number % 10 == 9:
            headers["x-slo-e2e-ms"] = "1"
        patience = rng.random() * 0.3 if number % 3 == 0 else None
        prompt = "lake " * rng.choice([1, 100, 2000])

        async def ask():
            stream = number % 2 == 0
            answer = await client.chat.completions.create(
                model=MODEL,
                messages=[*QUESTION, {"role": "user", "content": prompt}],
                stream=stream,
                extra_headers=headers,
            )
            if stream:
                async for _ in answer:
                    pass

        try:
            await asyncio.wait_for(ask(), patience)
            ended["answered"] += 1
        except (asyncio.TimeoutError, openai.APITimeoutError):
            ended["left"] += 1
        except openai.RateLimitError:
            ended["refused"] += 1

    async def run():
        async with shared.client(kind=AsyncOpenAI) as client:
            await asyncio.gather(*(one(client, number) for number in range(300)))

    asyncio.run(run())
    assert sum(ended.values()) == 300
    assert ended["refused"] >= 15 and ended["answered"] >= 100
    eventually(shared.idle)
    status = shared.picker.status()
    failures = [
        endpoint["ejection"]["failures_in_a_row"]
        for deployment in status["deployments"]
        for endpoint in deployment["endpoints"]
    ]
    assert failures == [0, 0], "clients that leave are nobody's fault"
    counted = shared.picker.metric("headrace_requests_total") - before
    # Who leaves before the picker has the whole request was never there.
    assert 300 - ended["left"] <= counted <= 300
