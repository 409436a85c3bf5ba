"""Requests that end with trailers, and bodies that Envoy does not hold."""

import json
import socket

import pytest

import headrace
import proxy
from headrace import MODEL, QUESTION


def send(site, *parts):
    """The answer to what a client sends, byte by byte."""
    host, port = site.envoy.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=headrace.PATIENCE_S) as client:
        for part in parts:
            client.sendall(part)
        answer = b""
        while data := client.recv(1 << 16):
            answer += data
    return answer.decode()


def head(*more):
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: llm", "connection: close",
             "content-type: application/json", *more, "", ""]  # fmt: skip
    return "\r\n".join(lines).encode()


def take_trailers(config):
    manager = proxy.manager(config)
    manager["http_protocol_options"] = {"enable_trailers": True}
    # With one, Envoy 1.40 sends a body that ends with trailers twice (docs/envoy.md).
    manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"].pop("retry_policy", None)
    mode = proxy.filters(config)["envoy.filters.http.ext_proc"]["processing_mode"]
    mode["request_trailer_mode"] = "SEND"


@pytest.mark.parametrize("mode", ["full-duplex", "buffered"])  # `streamed` cannot: docs/envoy.md.
def test_request_with_trailers(start, mode):
    site = start(mode, edit=take_trailers)
    body = json.dumps({"model": MODEL, "messages": QUESTION}).encode()
    answer = send(
        site,
        head("transfer-encoding: chunked", "x-headrace-output-tokens: 3"),
        b"%x\r\n%s\r\n" % (len(body), body),
        b"0\r\nx-checksum: 1\r\n\r\n",
    )
    assert answer.startswith("HTTP/1.1 200"), answer
    assert '"completion_tokens":3' in answer
    headrace.eventually(site.idle)


def test_body_that_envoy_does_not_hold(start):
    def hold_little(config):
        config["static_resources"]["listeners"][0]["per_connection_buffer_limit_bytes"] = 4096

    site = start("buffered", edit=hold_little)
    answer = send(site, head("content-length: 100000"), b" " * 100_000)
    assert answer.startswith("HTTP/1.1 413"), answer
    headrace.eventually(site.idle)
    assert "sends no bodies" not in (site.folder / "serve.log").read_text()
