"""Envoy offers some endpoints only."""

import openai
import pytest

import proxy
from headrace import MODEL
from test_answers import QUESTION

SUBSET = "x-test-subset"
FILTER = "envoy.extensions.filters.http.header_to_metadata"


def offer_what_the_test_says(config):
    """A request header of the test becomes the metadata in which Envoy's subset arrives."""
    add = {
        "header": SUBSET,
        "on_header_present": {
            "metadata_namespace": "envoy.lb.subset_hint",
            "key": "x-gateway-destination-endpoint-subset",
            "type": "STRING",
        },
        "remove": True,
    }
    proxy.add_first(
        config,
        "test.subset",
        {
            "@type": f"type.googleapis.com/{FILTER}.v3.Config",
            "request_rules": [add],
        },
    )


@pytest.fixture
def site(start, mode):
    return start(mode, engines=3, edit=offer_what_the_test_says)


def served(site, offered):
    with site.client() as client:
        raw = client.chat.completions.with_raw_response.create(
            model=MODEL, messages=QUESTION, max_tokens=1, extra_headers={SUBSET: offered}
        )
    return raw.headers["target-pod"]


def test_subset(site):
    first, second, third = [engine.address for engine in site.engines.values()]
    assert [served(site, third) for _ in range(4)] == [third] * 4
    two = f"{first}, {second}"
    assert {served(site, two) for _ in range(8)} <= {first, second}
    with pytest.raises(openai.InternalServerError) as caught:
        served(site, "10.0.0.9:8000")
    assert caught.value.status_code == 503
    assert caught.value.code == "no_endpoint"
    assert "the proxy offers" in caught.value.message
