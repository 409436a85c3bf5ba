import contextlib
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import proxy  # noqa: E402
import headrace  # noqa: E402


@pytest.fixture(scope="session", params=proxy.MODES)
def shared(request, tmp_path_factory):
    """Two fast engines of different GPU types behind Envoy, in every body mode, shared by all tests
    that ask for it.

    When they are done, nothing of them may be left.
    """
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as stack:
        engines = {}
        for gpu in ["a10", "l20"]:
            engines[gpu] = headrace.Engine(folder, gpu)
            stack.callback(engines[gpu].stop)
        site = proxy.Site(folder, request.param, engines)
        stack.callback(site.stop)
        yield site
        headrace.eventually(site.idle)


@pytest.fixture(params=proxy.MODES)
def mode(request):
    return request.param


@pytest.fixture
def start(tmp_path):
    """Starts engines, a picker and Envoy, which end with the test."""
    with contextlib.ExitStack() as stack:

        def start_site(mode="full-duplex", engines=1, speed=200.0, **options):
            running = {}
            for name in [f"gpu{i}" for i in range(engines)]:
                running[name] = headrace.Engine(tmp_path, speed=speed)
                stack.callback(running[name].stop)
            site = proxy.Site(tmp_path, mode, running, **options)
            stack.callback(site.stop)
            return site

        yield start_site
