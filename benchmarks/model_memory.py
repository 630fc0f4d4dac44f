"""Memory of a base, estimated from its shape and measured: ``python -m benchmarks.model_memory FOLDER``.

FOLDER is a base with a ``config.json`` (`.cortex/cache/models/…` for the shipped one); random weights do as well. Each
measurement is a process of its own; half of a row's tokens are supervised, and the adapter's rank is 8.
"""

import gc
import json
import resource
import subprocess
import sys
from contextlib import closing
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

import psutil

from benchmarks.served import write_adapters
from benchmarks.workspace import CHECKOUT
from cortex_pipelines.adapters import autotune
from cortex_pipelines.adapters.model.base_model import BaseModel, load_causal_model
from cortex_pipelines.config import load_parameters
from cortex_pipelines.freed_memory import give_back
from cortex_pipelines.models import memory
from cortex_pipelines.models.base_check import read_base
from cortex_pipelines.models.known import SLOTS
from cortex_pipelines.models.machine import this_machine
from cortex_pipelines.serving.engines.engine import AdapterFiles, Job, Sampling, open_engine

MIB = 2**20
ENGINES = ("llama", "openvino")
"""That serve a base in 8 bits, here with an adapter; torch serves it in its own types."""
WAYS = (
    *(
        ("train", width, 512, again)
        for width, again in (("fp32", False), ("fp32", True), ("bf16", False), ("int8", False), ("nf4", False))
    ),
    ("train", "fp32", 1024, False),
    *(("serve", width, 2048, False) for width in ("fp32", "bf16", *ENGINES)),
)


def main(folder: str) -> None:
    """Print MiB estimated and measured, and their ratio."""
    base = read_base(Path(folder))
    for way, width, length, again in WAYS:
        if way == "train":
            size = memory.training(
                base.shape, width, tokens=length, rank=8, supervised=0.5, recomputed=again, stored=base.stored
            )
        elif width == "llama":
            size = memory.serving_llama(base.shape, context=length, slots=SLOTS)
        elif width == "openvino":
            size = memory.serving_openvino(base.shape, context=length, slots=SLOTS, tiled=this_machine().amx)
        else:
            size = memory.serving(base.shape, width, context=length)
        with TemporaryDirectory() as scratch:
            arguments = json.dumps([way, width, length, again, scratch])
            command = [sys.executable, "-m", "benchmarks.model_memory", folder, arguments]
            for _ in range(1 + (width in ENGINES)):  # the first makes what the engine reads
                process = subprocess.run(command, capture_output=True, text=True, check=True)
        measured = float(process.stdout.split()[-1])
        words = f"{way} {width} {length}{' recomputed' if again else ''}"
        print(f"{words:<28} {size / MIB:>7.0f} {measured:>7.0f} {size / MIB / measured:>6.2f}", flush=True)


def measure(folder: str, way: str, width: str, length: int, again: bool, scratch: str) -> float:
    """Peak of training, or what is held once answers have filled the context of each slot, in MiB."""
    base, parameters = BaseModel(Path(folder), "base", "0" * 64), load_parameters(CHECKOUT)
    if way == "train":
        quantised = width in ("int8", "nf4")
        if quantised:
            autotune.load_causal_model = lambda base, precision: load_causal_model(base, precision, width)
        settings = parameters.adapters.model_copy(update={"activation_checkpointing": again})
        autotune._tokens_per_second(base, settings, "bf16" if quantised else width, length)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    quick, adapter = width in ENGINES, Path(scratch, "random")
    if quick and not adapter.is_dir():
        write_adapters(adapter.parent, base, [adapter.name])
    changes = {"engine": width, "precision": "q8"} if quick else {"engine": "torch", "precision": width}
    settings = parameters.serving.model_copy(update=changes | {"window": length, "slots": SLOTS})
    with closing(open_engine(base, settings, Path(scratch))) as engine:
        loaded = [None, engine.load(AdapterFiles(adapter.name, lambda: adapter))] if quick else [None]
        for model, slot in product(loaded, range(SLOTS if quick else 1)):
            events = SimpleQueue()
            prompt = engine.prompt(f"def f{slot}(x):\n    return x + {slot}\n" * 1000, 20)
            engine.submit(Job(model, prompt, Sampling(16)), events.put)
            while events.get() is not None:
                pass
        return _held() / MIB


def _held() -> float:
    """Bytes of this process and its children, without pages of OpenVINO's files, which the system may take back."""
    gc.collect()
    give_back()
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    files = sum(each.rss for process in processes for each in process.memory_maps() if each.path.endswith(".bin"))
    return float(sum(process.memory_full_info().pss for process in processes) - files)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(sys.argv[1])
    else:
        print(measure(sys.argv[1], *json.loads(sys.argv[2])))
