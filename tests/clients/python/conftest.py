import contextlib

import pytest

import headrace


@pytest.fixture(scope="session")
def gateway(tmp_path_factory):
    """A gateway before two fast engines of different GPU types, shared by all tests that ask for it.

    When they are done, nothing of them may be left in it.
    """
    folder = tmp_path_factory.mktemp("shared")
    with contextlib.ExitStack() as stack:
        engines = {}
        for gpu in ["a10", "l20"]:
            engines[gpu] = headrace.Engine(folder, gpu)
            stack.callback(engines[gpu].stop)
        gateway = stack.enter_context(headrace.serve(folder, engines))
        yield gateway
        headrace.eventually(gateway.idle)
        headrace.eventually(lambda: not any(engine.running() for engine in engines.values()))


@pytest.fixture
def start_engine(tmp_path):
    """Starts engines that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(**options):
            engine = headrace.Engine(tmp_path, **options)
            stack.callback(engine.stop)
            return engine

        yield start


@pytest.fixture
def serve(tmp_path, start_engine):
    """Starts gateways, each before one engine, that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(engine, **options):
            return stack.enter_context(headrace.serve(tmp_path, {"a10": engine}, **options))

        yield start
