"""How Envoy and the picker trust each other."""

import subprocess

import openai
import pytest

import proxy
from headrace import MODEL, eventually
from test_answers import QUESTION


def chat(site):
    with site.client() as client:
        return client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=2)


def make_certificate(folder, name):
    """A certificate for picker.example that is its own CA."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        + ["-nodes", "-days", "2", "-subj", "/CN=picker", "-keyout", key, "-out", certificate]
        + ["-addext", "subjectAltName=DNS:picker.example"],
        check=True,
        capture_output=True,
    )
    return str(certificate), str(key)


def trusting(certificate):
    def edit(config):
        tls = proxy.cluster(config, "headrace")["transport_socket"]["typed_config"]
        tls["common_tls_context"]["validation_context"] = {
            "trusted_ca": {"filename": certificate},
            "match_typed_subject_alt_names": [
                {"san_type": "DNS", "matcher": {"exact": "picker.example"}}
            ],
        }

    return edit


def without_tls(config):
    del proxy.cluster(config, "headrace")["transport_socket"]


def test_certificate_of_ones_own(start, tmp_path):
    certificate, key = make_certificate(tmp_path, "picker")
    site = start(edit=trusting(certificate), picker={"certificate": certificate, "key": key})
    assert chat(site).usage.completion_tokens == 2


def test_certificate_that_envoy_does_not_trust(start, tmp_path):
    certificate, _ = make_certificate(tmp_path, "another")
    site = start(edit=trusting(certificate))
    with pytest.raises(openai.InternalServerError):
        chat(site)
    eventually(lambda: site.envoy.stat("cluster.headrace.ssl.fail_verify_error") > 0)


def test_plain_http2(start):
    site = start(edit=without_tls, picker={"tls": False})
    assert chat(site).usage.completion_tokens == 2
