"""AIBrix's own profile generator and GPU optimizer, from their package: what they write we read, and
the other way round."""

import json
import pathlib
import subprocess
import sys
import time

import pytest
import redis as redis_client
from aibrix.gpu_optimizer.load_monitor.load_reader import GatewayLoadReader
from aibrix.gpu_optimizer.load_monitor.profile_reader import RedisProfileReader
from aibrix.gpu_optimizer.optimizer import Optimizer

import headrace
from headrace import MODEL

GENERATOR = "aibrix.gpu_optimizer.optimizer.profiling.gen_profile"
GRID = "--inputs 64,512 --outputs 16,64 --lowest-rate 0.5 --highest-rate 60 --rate-step 1.5"


@pytest.fixture
def redis(tmp_path):
    server = headrace.Redis(tmp_path)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """Of an emulated A10, every rate of every cell."""
    file = tmp_path_factory.mktemp("benchmark") / "a10.jsonl"
    headrace.run(
        *f"profile measure --gpu a10 --model {MODEL} {GRID} --samples 200 --full-grid".split(),
        *"--tpat 50ms --percentile 99 -o".split(),
        file,
    )
    return file


def aibrix_generate(benchmark, *slo, target):
    subprocess.run(
        [sys.executable, "-m", GENERATOR, "a10", "--benchmark", benchmark, *slo, "-o", target],
        check=True,
        capture_output=True,
    )


@pytest.mark.parametrize(
    "slo",
    [
        ["--tpat", "0.05", "--percentile", "99"],
        ["--e2e", "4", "--percentile", "90"],
        ["--ttft", "0.5", "--tpot", "0.06"],
        ["--tput", "2", "--e2e", "6", "--percentile", "50"],
    ],
)
def test_both_generators_make_the_same_profile(benchmark, tmp_path, slo):
    aibrix_generate(benchmark, *slo, target=tmp_path / "theirs.json")
    headrace.run(
        *["profile", "generate", "--benchmark", benchmark, "--deployment", "a10", *slo],
        *["-o", tmp_path / "ours.json"],
    )
    theirs = json.loads((tmp_path / "theirs.json").read_text())
    ours = json.loads((tmp_path / "ours.json").read_text())
    assert any(tput > 0 for row in theirs["tputs"] for tput in row)
    assert {key: ours[key] for key in theirs if key != "created"} == {
        key: theirs[key] for key in theirs if key != "created"
    }


def test_their_generator_writes_to_redis_what_the_gateway_routes_by(
    benchmark, redis, start_engine, serve
):
    aibrix_generate(
        benchmark, "--tpat", "0.05", "--percentile", "99", target=f"{redis.url}?model={MODEL}"
    )
    gateway = serve(start_engine(), redis=redis.url, profiles={"source": "redis"})
    answer = gateway.client().completions.with_raw_response.create(
        model=MODEL, prompt="Hello", max_tokens=16
    )
    assert answer.headers["routing-strategy"] == "slo"
    (deployment,) = gateway.status()["deployments"]
    assert deployment["profile"]["state"] == "in force"
    assert deployment["profile"]["origin"] == f"aibrix:profile_{MODEL}_a10 in {redis.url}"


def test_their_optimizer_plans_with_what_we_pushed(redis):
    shipped = pathlib.Path(__file__).parents[3] / "profiles"
    headrace.run("profile", "push", shipped, "--to", f"{redis.url}?model={MODEL}")
    client = redis_client.Redis.from_url(redis.url)
    profiles = RedisProfileReader(client, MODEL).read()
    assert {profile.gpu for profile in profiles} >= {"llama2-7b-a10", "llama2-7b-l20"}

    class Chat:
        signature = (4, 4)
        rate = 20.0

        def get_signature(self, indexes, error_suppressor=None):
            return self.signature

    optimizer = Optimizer(1.0, profiles)
    assert optimizer.set_workload_distribution([Chat()], Chat.rate)
    plan = optimizer.run()
    capacity = sum(
        profile.tputs[4][4] * plan.get(profile.gpu, 0) for profile in profiles
    )
    assert capacity >= Chat.rate


def test_their_load_reader_reads_our_request_trace(redis, start_engine, serve):
    gateway = serve(start_engine(), redis=redis.url, request_trace=True)
    client = redis_client.Redis.from_url(redis.url)

    def sizes():
        # A reader's first read takes all that there is; five requests may span two intervals.
        records, _ = GatewayLoadReader(client, MODEL).read(time.time())
        return [(r.input_tokens, r.output_tokens) for r in records for _ in range(r.freq)]

    for _ in range(5):
        gateway.client().completions.create(
            model=MODEL,
            prompt=[1] * 1024,
            max_tokens=64,
            extra_headers={"x-headrace-output-tokens": "64"},
        )
    headrace.eventually(lambda: len(sizes()) == 5)
    assert sizes() == [(10.0, 6.0)] * 5
    (key, *_) = client.keys(f"aibrix:{MODEL}_request_trace_*")
    assert 500 < client.ttl(key) <= 600
