"""Traces, as a real OpenTelemetry Collector takes them."""

import headrace

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SERVER, CLIENT, INTERNAL, ERROR = 2, 3, 1, 2


def by_name(spans):
    return {span["name"]: span for span in spans}


def test_a_request_is_a_trace(tmp_path, engine, collector):
    tracing = {"endpoint": collector.url, "sample": 0, "service_name": "lake"}
    with headrace.serve(
        tmp_path, {"a10": engine}, model={"policy": "slo-headroom"}, tracing=tracing
    ) as gateway:
        headers = {"traceparent": PARENT, "tracestate": "a=1"}
        headers |= headrace.tokens(5)["extra_headers"]
        stream = gateway.client().chat.completions.create(
            model=headrace.MODEL,
            messages=headrace.QUESTION,
            stream=True,
            extra_headers=headers,
        )
        assert list(stream)
        # One that is not sampled leaves nothing.
        gateway.client().chat.completions.create(messages=headrace.QUESTION, **headrace.tokens(1))
        headrace.eventually(lambda: len(collector.spans()) >= 3)
        headrace.eventually(lambda: gateway.metric("headrace_trace_spans_total", result="sent") == 3)
    spans = collector.spans()
    assert len(spans) == 3
    assert {span["traceId"] for span in spans} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert all(span["resource"]["service.name"] == "lake" for span in spans)
    own = by_name(spans)["POST /v1/chat/completions"]
    wait = by_name(spans)["queue"]
    attempt = by_name(spans)[f"chat {headrace.MODEL}"]
    assert (own["kind"], wait["kind"], attempt["kind"]) == (SERVER, INTERNAL, CLIENT)
    assert own["parentSpanId"] == "00f067aa0ba902b7"
    assert own["traceState"] == "a=1"
    assert wait["parentSpanId"] == attempt["parentSpanId"] == own["spanId"]
    assert attempt["attributes"]["gen_ai.operation.name"] == "chat"
    assert attempt["attributes"]["gen_ai.request.model"] == headrace.MODEL
    assert attempt["attributes"]["gen_ai.usage.output_tokens"] == "5"
    assert own["attributes"]["headrace.policy"] == "slo-headroom"
    assert own["attributes"]["headrace.endpoint"] == engine.address
    assert own["attributes"]["headrace.predicted.ttft_seconds"] > 0
    (first_token,) = attempt["events"]
    assert first_token["name"] == "first token"
    times = [
        own["startTimeUnixNano"],
        wait["startTimeUnixNano"],
        wait["endTimeUnixNano"],
        attempt["startTimeUnixNano"],
        first_token["timeUnixNano"],
        attempt["endTimeUnixNano"],
        own["endTimeUnixNano"],
    ]
    assert times == sorted(times, key=int)


def test_a_failed_try_is_a_span_of_its_own(tmp_path, engine, collector):
    class Dead:
        address = "127.0.0.1:1"

    with headrace.serve(
        tmp_path,
        {"dead": Dead(), "a10": engine},
        model={"policy": "least-request"},
        health={"interval": "1h"},
        tracing={"endpoint": collector.url, "sample": 1},
    ) as gateway:
        for _ in range(2):  # Equal endpoints take turns.
            gateway.client().chat.completions.create(
                messages=headrace.QUESTION, **headrace.tokens(1)
            )
        headrace.eventually(lambda: len(collector.spans()) >= 8)
    failed = [span for span in collector.spans() if span["status"].get("code") == ERROR]
    (attempt,) = failed
    assert attempt["attributes"]["error.type"] == "connect"
    assert attempt["attributes"]["server.port"] == "1"
    siblings = [s for s in collector.spans() if s.get("parentSpanId") == attempt["parentSpanId"]]
    assert [s["name"] for s in siblings] == ["queue", f"chat {headrace.MODEL}"] * 2


def test_a_collector_that_is_away_costs_requests_nothing(tmp_path, engine):
    tracing = {"endpoint": "http://127.0.0.1:1", "sample": 1}
    with headrace.serve(tmp_path, {"a10": engine}, tracing=tracing) as gateway:
        client = gateway.client()
        for _ in range(50):
            client.chat.completions.create(messages=headrace.QUESTION, **headrace.tokens(1))
        headrace.eventually(lambda: "takes no spans" in gateway.log.read_text())
