"""Memory of a base, estimated from its shape and measured: ``python -m benchmarks.model_memory FOLDER``.

FOLDER is a base with a ``config.json`` (`.cortex/cache/models/…` for the shipped one); random weights do as well. Each
measurement is a process of its own; half of a row's tokens are supervised, and the adapter's rank is 8.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path
from queue import SimpleQueue

from benchmarks.workspace import CHECKOUT
from cortex_pipelines.adapters import autotune
from cortex_pipelines.adapters.model.base_model import BaseModel, load_causal_model
from cortex_pipelines.config import load_parameters
from cortex_pipelines.models import memory
from cortex_pipelines.models.base_check import read_base
from cortex_pipelines.serving.engines.engine import Job, Sampling, open_engine

MIB = 2**20
WAYS = (
    *(
        ("train", width, 512, again)
        for width, again in (("fp32", False), ("fp32", True), ("bf16", False), ("int8", False), ("nf4", False))
    ),
    ("train", "fp32", 1024, False),
    *(("serve", width, 2048, False) for width in ("fp32", "bf16")),
)


def main(folder: str) -> None:
    """Print MiB estimated and measured, and their ratio."""
    base = read_base(Path(folder))
    for way, width, length, again in WAYS:
        if way == "train":
            size = memory.training(
                base.shape, width, tokens=length, rank=8, supervised=0.5, recomputed=again, stored=base.stored
            )
        else:
            size = memory.serving(base.shape, width, context=length)
        command = [sys.executable, "-m", "benchmarks.model_memory", folder, json.dumps([way, width, length, again])]
        process = subprocess.run(command, capture_output=True, text=True, check=True)
        measured = float(process.stdout.split()[-1])
        words = f"{way} {width} {length}{' recomputed' if again else ''}"
        print(f"{words:<28} {size / MIB:>7.0f} {measured:>7.0f} {size / MIB / measured:>6.2f}", flush=True)


def measure(folder: str, way: str, width: str, length: int, again: bool) -> float:
    """Peak of training, or what is held after a prompt that fills the context and 16 tokens, in MiB."""
    base, parameters = BaseModel(Path(folder), "base", "0" * 64), load_parameters(CHECKOUT)
    if way == "train":
        quantised = width in ("int8", "nf4")
        if quantised:
            autotune.load_causal_model = lambda base, precision: load_causal_model(base, precision, width)
        settings = parameters.adapters.model_copy(update={"activation_checkpointing": again})
        autotune._tokens_per_second(base, settings, "bf16" if quantised else width, length)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    settings = parameters.serving.model_copy(update={"engine": "torch", "precision": width, "window": length})
    engine = open_engine(base, settings, Path())
    events = SimpleQueue()
    engine.submit(Job(None, engine.prompt("def f(x):\n    return x + 1\n" * 1000, 20), Sampling(16)), events.put)
    while events.get() is not None:
        pass
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / MIB
    engine.close()
    return resident


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(sys.argv[1])
    else:
        print(measure(sys.argv[1], *json.loads(sys.argv[2])))
