"""What engines behind Envoy are told of a request's trace: what the picker has written there."""

import contextlib
import http.server
import json
import re
import threading

import pytest

import headrace
import proxy
from headrace import MODEL, QUESTION, eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
ANSWER = {
    "choices": [{"index": 0, "message": {"content": "Deep."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 1},
}


class Recorder:
    """A server that keeps the headers and bodies of what is posted to it: an engine, a collector."""

    def __init__(self):
        self.posts = []
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.answer({} if self.path == "/health" else None)

            def do_POST(self):
                body = b"".join(self.pieces())
                recorder.posts.append((self.headers, json.loads(body)))
                self.answer(ANSWER if "chat" in self.path else {})

            def pieces(self):
                if (length := self.headers["content-length"]) is not None:
                    yield self.rfile.read(int(length))
                    return
                while size := int(self.rfile.readline(), 16):  # Chunked.
                    yield self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()

            def answer(self, content):
                body = json.dumps(content).encode()
                self.send_response(404 if content is None else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = "127.0.0.1:" + str(self.server.server_port)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def running(self):
        return 0

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def spans(self):
        return [
            span
            for _, batch in self.posts
            for resource in batch["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


@pytest.fixture
def site(tmp_path, mode):
    with contextlib.ExitStack() as stack:
        engine, collector = Recorder(), Recorder()
        stack.callback(engine.stop)
        stack.callback(collector.stop)
        tracing = {"endpoint": f"http://{collector.address}", "sample": 1}
        site = proxy.Site(tmp_path, mode, {"a10": engine}, tracing=tracing)
        stack.callback(site.stop)
        site.engine, site.collector = engine, collector
        yield site


def ask(site, headers):
    """What the engine got of the trace, each header as a list of its values."""
    with site.client() as client:
        client.chat.completions.create(model=MODEL, messages=QUESTION, extra_headers=headers)
    told, _ = site.engine.posts[-1]
    return [told.get_all(name, []) for name in ("traceparent", "tracestate")]


def test_the_engine_is_told_of_its_own_span(site):
    headers = {"traceparent": PARENT, "tracestate": "a=1", "x-request-id": "mine"}
    (parent,), state = ask(site, headers)
    assert state == ["a=1"]
    eventually(lambda: len(site.collector.spans()) == 3)
    spans = {span["name"]: span for span in site.collector.spans()}
    own, attempt = spans["POST /v1/chat/completions"], spans[f"chat {MODEL}"]
    assert parent == f"00-{TRACE}-{attempt['spanId']}-01"
    assert attempt["parentSpanId"] == own["spanId"]
    assert own["parentSpanId"] == "00f067aa0ba902b7"
    schemes = [one for one in own["attributes"] if one["key"] == "url.scheme"]
    assert [one["value"]["stringValue"] for one in schemes] == ["http"]
    assert json.loads(headrace.get(site.picker.admin, "/explain/mine"))["trace_id"] == TRACE


def test_what_breaks_the_rules_or_is_not_there_begins_a_trace(site):
    for headers in [{}, {"traceparent": "00-broken", "tracestate": "a=1"}]:
        (parent,), state = ask(site, headers)
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[13]", parent), parent
        assert TRACE not in parent and state == []


def test_one_that_is_not_sampled_stays_so(site):
    (parent,), _ = ask(site, {"traceparent": PARENT[:-1] + "0"})
    assert parent.startswith(f"00-{TRACE}-") and parent.endswith("-00")
    assert "00f067aa0ba902b7" not in parent
