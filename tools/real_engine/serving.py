"""Engines on loopback, each on one core: a vLLM that serves one of the models that setup makes, and
a llama.cpp."""
import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build/real-engine"
MODEL = "tiny"
CONTEXT = 2048
KV_GIB = 2
# What the emulated engine has, too: see docs/emulated-engine.md.
LIMITS = ["--max-model-len", str(CONTEXT), "--max-num-seqs", "256",
          "--max-num-batched-tokens", "2048", "--no-enable-prefix-caching"]
# So that a request for a tool is understood.
TOOLS = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
START_SECONDS = 180


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url, process, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"nothing answers at {url} after {seconds} s")


def stop(process):
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# What others do on this machine at the time is not to be measured: the two functions below also ask for
# priority, and go on without where only root may have it.


def compute_on(core):
    """This process and its children, which may compute all the time, run on `core`."""
    os.setsid()
    os.sched_setaffinity(0, {core})
    with contextlib.suppress(OSError):
        os.nice(-20)
        # Linux shares out a core by session first; nice counts only within one.
        pathlib.Path("/proc/self/autogroup").write_text("-20", encoding="utf-8")


def wake_up_on(core, thread=0):
    """A thread (0: this one) that has little to compute runs on `core`, as soon as it is woken up. The
    kernel stops such threads after 95 % of a second."""
    os.sched_setaffinity(thread, {core})
    with contextlib.suppress(OSError):
        os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(1))


@contextlib.contextmanager
def on_core(core):
    """This process, and those that it starts meanwhile."""
    wake_up_on(core)
    yield
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.sched_setaffinity(0, range(os.cpu_count()))


@contextlib.contextmanager
def engine(layers, core, server_core):
    """Yields host:port. The model computes on `core` alone. Its HTTP server, a process of its own, moves
    to `server_core`."""
    port = free_port()
    environment = dict(os.environ, VLLM_CPU_KVCACHE_SPACE=str(KV_GIB), OMP_NUM_THREADS="1",
                       VLLM_CPU_OMP_THREADS_BIND="nobind", HF_HUB_OFFLINE="1",
                       VLLM_NO_USAGE_STATS="1")

    with open(BUILD / f"layers-{layers}.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [BUILD / "venv/bin/python", "-m", "vllm.entrypoints.openai.api_server", "--model",
             BUILD / f"models/layers-{layers}", "--served-model-name", MODEL, "--enforce-eager",
             *LIMITS, *TOOLS, "--host", "127.0.0.1", "--port", str(port)],
            env=environment, preexec_fn=lambda: compute_on(core), stdout=log,
            stderr=subprocess.STDOUT)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, START_SECONDS)
        for thread in os.listdir(f"/proc/{process.pid}/task"):
            wake_up_on(server_core, int(thread))
        yield f"127.0.0.1:{port}"
    except RuntimeError as error:
        sys.exit(f"{error}; see {log.name}")
    finally:
        stop(process)


@contextlib.contextmanager
def llama(core):
    """Yields host:port."""
    port = free_port()
    with open(BUILD / "llama.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [BUILD / "venv/bin/python", pathlib.Path(__file__).with_name("llama_server.py"),
             BUILD / "gguf", str(port)],
            preexec_fn=lambda: compute_on(core), stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, START_SECONDS)
        yield f"127.0.0.1:{port}"
    except RuntimeError as error:
        sys.exit(f"{error}; see {log.name}")
    finally:
        stop(process)
