"""Servers that ``benchmarks.serving`` compares, each a process of its own.

``python -m benchmarks.served NAME FOLDER PORT``: ``openvino``, ``torch`` and ``llama`` are the gateway with that
engine, ``llama.cpp`` is its own server with the same base and adapter, ``plain`` is what one would
write in an hour with FastAPI and transformers.
"""

import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.workspace import CHECKOUT
from cortex_pipelines.adapters.model.base_model import BaseModel, resolve_base
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import load_parameters
from cortex_pipelines.project_names import BASE
from cortex_pipelines.prompts.retrieved_examples import SimilarExamples
from cortex_pipelines.release.open_model import pinned_base
from cortex_pipelines.routing.router_from_logs import open_model
from cortex_pipelines.serving.catalogue import Catalogue, CatalogueSource, Release, ServedModel
from cortex_pipelines.serving.engines.engine import AdapterFiles
from cortex_pipelines.serving.engines.llama_files import LlamaFiles
from cortex_pipelines.serving.http.server import run
from cortex_pipelines.serving.open_gateway import gateway_over
from cortex_pipelines.serving.routing import LoadedRouter, RouterBatcher
from cortex_pipelines.serving.settings import EngineName

ADAPTERS = tuple(f"team{number}" for number in range(10))
WINDOW, THREADS, CACHED = 1024, 2, 64 * 2**20


def base_here() -> BaseModel:
    """The default base."""
    return resolve_base(pinned_base(open_project(CHECKOUT)), CHECKOUT)


def write_adapters(folder: Path, base: BaseModel, names: Sequence[str] = ADAPTERS) -> None:
    """Adapters of random matrices: what they say is of no use, what they cost is the same."""
    import torch

    from cortex_pipelines.adapters.model.base_model import load_causal_model
    from cortex_pipelines.adapters.model.lora import save_adapter, with_new_adapter

    model = with_new_adapter(load_causal_model(base, "fp32"), load_parameters(CHECKOUT).adapters)
    for seed, name in enumerate(names):
        generator = torch.Generator().manual_seed(seed)
        state = {key: value for key, value in model.state_dict().items() if "lora_" in key}
        for value in state.values():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.02)
        (folder / name).mkdir(parents=True)
        save_adapter(model, state, base, folder / name)


def gateway(engine: EngineName, folder: Path, port: int) -> None:
    """Ours, over adapters and a router in a folder."""
    base = base_here()
    models = {BASE: ServedModel(BASE, Release("base", base.digest))}
    for name in ADAPTERS:
        files = AdapterFiles(name, partial(Path, folder / "adapters" / name))
        adapter = partial(lambda suggestions, _task: suggestions, files)
        models[name] = ServedModel(name, Release("adapter", base.digest, name), adapter)
    catalogue = Catalogue(models, ADAPTERS[0], base.name, {"version": "router", "way": "model"})
    params = load_parameters(CHECKOUT)
    limits = {"adapters": len(ADAPTERS), "window": WINDOW, "threads": THREADS, "waiting": 256}
    params = params.model_copy(update={"serving": params.serving.model_copy(update=limits)})
    desk = RouterBatcher(lambda: LoadedRouter(open_model(folder / "router")), lambda: 0, CACHED)
    source = CatalogueSource(lambda: catalogue, lambda: 0)
    gateway = gateway_over(folder / engine, params, base, engine, source, _no_examples, desk)
    run(gateway, "127.0.0.1", port)


def llama_cpp(folder: Path, port: int) -> None:
    """llama.cpp's server at its defaults, with the files that the gateway converted."""
    import xllamacpp

    files = LlamaFiles(base_here(), "q8", folder / "llama" / ".cortex" / "cache" / "llama")
    params = xllamacpp.CommonParams()
    params.model.path = str(files.base().path)
    adapter = files.adapter(folder / "adapters" / ADAPTERS[0]).path
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
    params.hostnames, params.port = ["127.0.0.1"], port
    params.n_ctx, params.n_parallel, params.n_gpu_layers = WINDOW, 1, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = THREADS
    params.ui = params.fit_params = False
    params.verbosity = -1
    server = xllamacpp.Server(params)
    threading.Event().wait()
    del server


def plain(folder: Path, port: int) -> None:
    """A route around ``generate``, one request at a time."""
    import torch
    import uvicorn
    from fastapi import FastAPI
    from peft import PeftModel

    from cortex_pipelines.adapters.model.base_model import load_causal_model, load_tokenizer

    base, app, lock = base_here(), FastAPI(), threading.Lock()
    torch.set_num_threads(THREADS)
    tokenizer = load_tokenizer(base)
    model = PeftModel.from_pretrained(load_causal_model(base, "fp32"), folder / "adapters" / ADAPTERS[0]).eval()

    @app.post("/v1/completions")
    def complete(body: dict[str, Any]) -> dict[str, Any]:
        ids = tokenizer(body["prompt"], return_tensors="pt")
        with lock, torch.inference_mode():
            tokens = model.generate(**ids, max_new_tokens=body["max_tokens"], do_sample=False)
        answer_tokens = tokens[0, ids["input_ids"].shape[1] :]
        choice = {"text": tokenizer.decode(answer_tokens, skip_special_tokens=True)}
        return {"choices": [choice], "usage": {"completion_tokens": len(answer_tokens)}}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def _no_examples(_folder: Path) -> SimilarExamples:
    raise LookupError("nothing is shown before a prompt")


def main(name: str, folder: str, port: str) -> None:
    """Serve until the process is ended."""
    if name == "llama.cpp":
        llama_cpp(Path(folder), int(port))
    elif name == "plain":
        plain(Path(folder), int(port))
    elif name in ("openvino", "torch", "llama"):
        gateway(name, Path(folder), int(port))  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
