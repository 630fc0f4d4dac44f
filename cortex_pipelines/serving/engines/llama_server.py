"""One llama.cpp server as a process: ``python llama_server.py OPTIONS``.

The options are a JSON object: ``base`` and ``adapter`` (GGUF files; the latter may be null),
``socket`` (path to listen on), ``window`` (tokens of a request), ``slots`` (requests that are answered at once),
``threads``, and whether attention is ``exact``. It writes a line when it is
ready, and exits at the end of its standard input. It runs in a separate process because llama.cpp
installs signal handlers, and because its memory is freed with the process.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any


def start(options: Mapping[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = options["base"]
    if options["adapter"] is not None:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(options["adapter"], 1.0)]
    params.hostnames = [options["socket"]]
    params.n_ctx, params.n_parallel = options["window"] * options["slots"], options["slots"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options["threads"]
    params.n_threads_http = options["slots"] + 2
    params.n_gpu_layers = 0
    params.fit_params = False
    # flash attention reads twice as fast, and rounds to 16 bits: thousandths of a nat where there could be millionths
    attention, types = xllamacpp.llama_flash_attn_type, xllamacpp.ggml_type
    exact = options["exact"]
    params.flash_attn_type = (
        attention.LLAMA_FLASH_ATTN_TYPE_DISABLED if exact else attention.LLAMA_FLASH_ATTN_TYPE_ENABLED
    )
    params.cache_type_k = params.cache_type_v = types.GGML_TYPE_F32 if exact else types.GGML_TYPE_F16
    params.cache_ram_mib = 0  # prompts are cached in the slots, which have one adapter
    params.no_extra_bufts = True  # they would copy the weights that all processes share
    params.ui = params.endpoint_slots = params.warmup = False
    params.verbosity = -1
    return xllamacpp.Server(params)


def main() -> None:
    server = start(json.loads(sys.argv[1]))
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)  # the server's threads never end


if __name__ == "__main__":
    main()
