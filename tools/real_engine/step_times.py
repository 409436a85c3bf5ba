"""Measures how long the steps of an OpenAI-compatible engine take, from outside, by what is in them.

Three kinds of measurement, each with prompts of random tokens:
  prefill  one request alone, one token of answer: its time to the first token
  decode   B requests of one length decode together: the time between two of their tokens
  both     a prompt arrives while B requests decode: the longest gap that these see
"""
import asyncio
import dataclasses
import json
import random
import statistics
import time

import aiohttp

from serving import MODEL

PREFILL = (1, 4, 16, 32, 64, 128, 256, 512, 1024, 1900)
DECODE = ([(batch, 16) for batch in (1, 2, 4, 8, 16, 32, 64)]
          + [(batch, 256) for batch in (1, 4, 16, 32)]
          + [(batch, 1000) for batch in (1, 4, 16)]
          + [(batch, 1900) for batch in (1, 4)])
BOTH = [(1, 64), (8, 500), (16, 64)]
BOTH_PROMPTS = (128, 384, 1024)
PREFILL_REPEATS = 5
DECODE_STEPS = 40


@dataclasses.dataclass
class Observation:
    kind: str
    decoding: int      # Sequences that decode in the step,
    held: float        # the tokens that they hold together,
    prefilled: int     # and prompt tokens taken in, from an empty context.
    seconds: float


class Client:
    def __init__(self, session, address, seed):
        self.session = session
        self.url = f"http://{address}/v1/completions"
        self.random = random.Random(seed)

    async def request(self, prompt, output, started=None):
        """The time of sending, and (time, tokens so far) of each piece of the answer."""
        body = {"model": MODEL, "prompt": [self.random.randrange(300, 4000) for _ in range(prompt)],
                "max_tokens": output, "ignore_eos": True, "stream": True,
                "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
        sent = time.perf_counter()
        pieces = []
        async with self.session.post(self.url, json=body) as response:
            response.raise_for_status()
            async for line in response.content:
                now = time.perf_counter()
                if not line.startswith(b"data: {"):
                    continue
                tokens = json.loads(line[6:])["usage"]["completion_tokens"]
                if tokens and (not pieces or tokens > pieces[-1][1]):
                    pieces.append((now, tokens))
                    if started:
                        started.set()
        if pieces[-1][1] != output:
            raise RuntimeError(f"{pieces[-1][1]} tokens came instead of {output}")
        return sent, pieces

    async def prefill(self, prompt):
        times = []
        for _ in range(PREFILL_REPEATS):
            sent, pieces = await self.request(prompt, 1)
            times.append(pieces[0][0] - sent)
        return Observation("prefill", 0, 0, prompt, statistics.median(times))

    async def decode(self, batch, prompt):
        # While the last prompts are prefilled, the first ones are already answered.
        output = min(DECODE_STEPS + batch * prompt // 1000 + batch // 8, 2048 - prompt)
        streams = [pieces for _, pieces in await asyncio.gather(
            *(self.request(prompt, output) for _ in range(batch)))]
        begin = max(pieces[0][0] for pieces in streams)
        end = min(pieces[-1][0] for pieces in streams)
        seconds, held = [], 0
        for pieces in streams:
            inside = [piece for piece in pieces if begin <= piece[0] <= end]
            (first, from_token), (last, to_token) = inside[0], inside[-1]
            seconds.append((last - first) / (to_token - from_token))
            held += prompt + (from_token + to_token) / 2
        return Observation("decode", batch, held, 0, statistics.median(seconds))

    async def both(self, batch, context):
        started = [asyncio.Event() for _ in range(batch)]
        output = 200
        decoding = [asyncio.create_task(self.request(context, output, event)) for event in started]
        await asyncio.gather(*(event.wait() for event in started))
        arrivals = []
        for prompt in BOTH_PROMPTS:
            await asyncio.sleep(0.15)
            sent, pieces = await self.request(prompt, 1)
            arrivals.append((prompt, sent, pieces[0][0]))
        streams = [pieces for _, pieces in await asyncio.gather(*decoding)]
        observations = []
        for prompt, sent, answered in arrivals:
            gaps, held = [], 0
            for pieces in streams:
                gap, tokens, after = max(
                    (after[0] - before[0], after[1] - before[1], after[1])
                    for before, after in zip(pieces, pieces[1:])
                    if after[0] > sent and before[0] < answered)
                # A piece can bring the tokens of several steps: all but one of them only decoded.
                usual = statistics.median((after[0] - before[0]) / (after[1] - before[1])
                                          for before, after in zip(pieces, pieces[1:]))
                gaps.append(gap - (tokens - 1) * usual)
                held += context + after
            observations.append(Observation("both", batch, held, prompt, statistics.median(gaps)))
        return observations


async def measure(address, seed):
    """Every observation once: some minutes."""
    timeout = aiohttp.ClientTimeout(total=300)
    # Connections are not kept: the server closes idle ones, perhaps just when one is used again.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        client = Client(session, address, seed)
        for _ in range(3):
            await client.request(200, 8)  # A cold start is not what is measured.
        observations = [await client.prefill(prompt) for prompt in PREFILL]
        observations += [await client.decode(*point) for point in DECODE]
        for point in BOTH:
            observations += await client.both(*point)
    return observations
