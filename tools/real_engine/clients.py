"""What OpenAI's own clients get from an engine, and from a gateway before it: the same."""
import dataclasses
import json
import pathlib
import re
import subprocess
import time
import urllib.request

import openai
import pydantic

ROOT = pathlib.Path(__file__).resolve().parents[2]
# An engine may answer differently the next time: vLLM puts two tokens into one event now and then.
TRIES = 3
TOOLS = [{"type": "function", "function": {
    "name": "get_level", "description": "The water level of a lake.",
    "parameters": {"type": "object", "properties": {"lake": {"type": "string", "maxLength": 8}},
                   "required": ["lake"]}}}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "level", "strict": True, "schema": {
    "type": "object", "properties": {"metres": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["metres"], "additionalProperties": False}}}
MESSAGES = [{"role": "system", "content": "Answer in one word."},
            {"role": "user", "content": "How deep is the lake? Wie tief ist der See? 湖の深さは?"}]


@dataclasses.dataclass
class Target:
    client: openai.OpenAI
    model: str
    more: dict  # What every request says beside the case.

    def chat(self, **given):
        return self.client.chat.completions.create(
            **{"model": self.model, "messages": MESSAGES, "max_tokens": 12, "temperature": 0,
               "extra_body": self.more, **given})

    def complete(self, **given):
        return self.client.completions.create(
            **{"model": self.model, "prompt": "The lake is", "max_tokens": 12, "temperature": 0,
               "extra_body": self.more, **given})


# --- What is asked

CASES = {
    "chat": lambda to: to.chat(),
    "chat, max_completion_tokens": lambda to: to.chat(max_tokens=openai.omit,
                                                      max_completion_tokens=5),
    "chat, one token": lambda to: to.chat(max_tokens=1),
    "chat, stop": lambda to: to.chat(stop=["e", "a", "o", "i"], max_tokens=40),
    "chat, n": lambda to: to.chat(n=2, temperature=1, seed=7),
    "chat, logprobs": lambda to: to.chat(logprobs=True, top_logprobs=2, max_tokens=3),
    "chat, parts of text": lambda to: to.chat(messages=[
        {"role": "user", "content": [{"type": "text", "text": "How deep"},
                                     {"type": "text", "text": " is it?"}]}]),
    "chat, a turn of the assistant": lambda to: to.chat(messages=[
        *MESSAGES, {"role": "assistant", "content": "Ninety."}, {"role": "user", "content": "No!"}]),
    "chat, JSON by a schema": lambda to: to.chat(response_format=SCHEMA, max_tokens=40),
    "chat, a tool": lambda to: to.chat(tools=TOOLS, max_tokens=60, tool_choice={
        "type": "function", "function": {"name": "get_level"}}),
    "chat, a tool required": lambda to: to.chat(tools=TOOLS, max_tokens=60, tool_choice="required"),
    "chat, what a tool said": lambda to: to.chat(tools=TOOLS, messages=[
        *MESSAGES,
        {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": {
            "name": "get_level", "arguments": "{\"lake\": \"x\"}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12 m"}]),
    "chat streamed": lambda to: list(to.chat(stream=True)),
    "chat streamed, usage": lambda to: list(to.chat(stream=True,
                                                    stream_options={"include_usage": True})),
    "chat streamed, no usage": lambda to: list(to.chat(stream=True,
                                                       stream_options={"include_usage": False})),
    "chat streamed, stop": lambda to: list(to.chat(stream=True, stop=["e", "a", "o", "i"])),
    "chat streamed, n": lambda to: list(to.chat(stream=True, n=2, temperature=1, seed=7)),
    "chat streamed, a tool": lambda to: list(to.chat(
        stream=True, tools=TOOLS, max_tokens=60,
        tool_choice={"type": "function", "function": {"name": "get_level"}})),
    "completion": lambda to: to.complete(),
    "completion, stop": lambda to: to.complete(stop=["e", "a", "o", "i"], max_tokens=40),
    "completion, n": lambda to: to.complete(n=2, temperature=1, seed=7),
    "completion, several prompts": lambda to: to.complete(prompt=["The lake is", "The dam is"]),
    "completion, token ids": lambda to: to.complete(prompt=[101, 102, 103, 104]),
    "completion, echo": lambda to: to.complete(echo=True),
    "completion streamed": lambda to: list(to.complete(stream=True)),
    "completion streamed, usage": lambda to: list(to.complete(
        stream=True, stream_options={"include_usage": True})),
    "response": lambda to: to.client.responses.create(
        model=to.model, input="How deep is the lake?", max_output_tokens=16, temperature=0,
        extra_body=to.more),
    "response streamed": lambda to: list(to.client.responses.create(
        model=to.model, input="How deep is the lake?", max_output_tokens=16, temperature=0,
        stream=True, extra_body=to.more)),
    "embedding": lambda to: to.client.embeddings.create(model=to.model, input="The lake"),
    "error: temperature": lambda to: to.chat(temperature=-5),
    "error: max_tokens": lambda to: to.chat(max_tokens=0),
    "error: messages": lambda to: to.chat(messages=[{"role": "nobody", "content": 5}]),
    "error: no messages": lambda to: to.chat(messages=[]),
    "error: a prompt too long": lambda to: to.chat(messages=[
        {"role": "user", "content": "The lake is deep and cold. " * 2000}]),
    "error: streamed, a prompt too long": lambda to: list(to.chat(stream=True, messages=[
        {"role": "user", "content": "The lake is deep and cold. " * 2000}])),
    "error: tool_choice": lambda to: to.chat(tool_choice={"type": "function",
                                                          "function": {"name": "none"}}),
}


# --- What came back

# Of each answer its own, and what only one side says.
OWN = {"id", "created", "created_at", "completed_at", "system_fingerprint", "timings", "item_id",
       "metadata", "tool_call_id"}


def essence(value):
    if isinstance(value, pydantic.BaseModel):
        value = value.model_dump(exclude_unset=True)
    if isinstance(value, dict):
        return {name: essence(one) for name, one in value.items() if name not in OWN}
    if isinstance(value, (list, tuple)):
        return [essence(one) for one in value]
    return value


def ask(case, target):
    """What a client sees, as JSON."""
    try:
        return json.dumps(essence(case(target)), sort_keys=True, ensure_ascii=False)
    except openai.APIStatusError as error:
        body = error.body if isinstance(error.body, dict) else {"message": error.body}
        # Ids of the request, which engines put into some messages.
        message = re.sub(r"[0-9a-f-]{16,}", "…", str(body.get("message")))
        return f"{type(error).__name__} {error.status_code}: {message}"
    except openai.APIError as error:
        return f"{type(error).__name__}: {error}"


def answers(asked, cases):
    """Of each of these cases; of all, if there are none."""
    seen = {name: ask(case, asked) for name, case in CASES.items() if not cases or name in cases}
    if cases and not any(name.startswith("Node: ") for name in cases):
        return seen
    lines = subprocess.run(  # The client for Node asks less.
        ["node", pathlib.Path(__file__).with_suffix(".mjs"), ROOT / "build/clients/node",
         str(asked.client.base_url), asked.model, json.dumps(asked.more)],
        check=True, capture_output=True, text=True, timeout=600).stdout.splitlines()
    return seen | {f"Node: {one['name']}": one["seen"] for one in map(json.loads, lines)}


def compare(direct, through):
    """Prints what differs. Returns the cases, how many of them are errors, and how many differ."""
    seen, gateway, different = {}, {}, set()
    for _ in range(TRIES):
        seen |= answers(direct, different)
        gateway |= answers(through, different)
        different = {name for name in seen if seen[name] != gateway[name]}
        if not different:
            break
    for name in different:
        print(f"\n{name}:\n  direct   {seen[name]}\n  gateway  {gateway[name]}")
    errors = sum("Error " in answer.split(":")[0] for answer in seen.values())
    return len(seen), errors, len(different)


def target(address, model, more):
    return Target(openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0,
                                timeout=120), model, more)


# --- Requests that are given up


def running(engine, metric):
    with urllib.request.urlopen(f"http://{engine}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(metric))


def until(number, engine, metric):
    """Seconds until the engine runs so many requests."""
    start = time.monotonic()
    while time.monotonic() < start + 60:
        if running(engine, metric) == number:
            return time.monotonic() - start
        time.sleep(0.02)
    raise RuntimeError(f"{metric} of {engine} is not {number} after a minute")


def abort(engine, metric, asked):
    """Seconds until the engine no longer works on a request whose client has left: one that has
    read some of the stream, and one that waits for the whole answer."""
    long = {"max_tokens": 1000, "extra_body": {**asked.more, "ignore_eos": True}}
    stream = asked.chat(stream=True, **long)
    next(iter(stream))
    until(1, engine, metric)
    stream.close()
    streamed = until(0, engine, metric)
    try:
        asked.client.with_options(timeout=1.5).chat.completions.create(
            model=asked.model, messages=MESSAGES, temperature=0, **long)
        raise RuntimeError("1,000 tokens came within 1.5 s")
    except openai.APITimeoutError:
        pass
    return streamed, until(0, engine, metric)
