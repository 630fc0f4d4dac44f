"""What structured pruning costs and saves: ``python -m benchmarks.pruned BASE COMPLETIONS``.

BASE is a folder of weights, COMPLETIONS the folder of a completion data set in a finished project. Without training
afterwards, as `cortex export --drop-layers --drop-heads` does it; two threads, fp32.
"""

import sys
import time
from pathlib import Path

import torch

from cortex_pipelines.adapters.model.base_model import BaseModel, load_causal_model, load_tokenizer
from cortex_pipelines.release.exports.pruning import Pruning, bits_per_byte, completions, prune

_DROPPED = ((0, 0), (1, 0), (2, 0), (4, 0), (0, 1))
_EXAMPLES, _WRITTEN = 32, 40


def main(folder: str, data: str) -> None:
    """Print layers and groups of heads left out, MiB of weights, bits per byte of test answers, tokens written."""
    base = BaseModel(Path(folder), "base", "0" * 64)
    tokenizer = load_tokenizer(base)
    train, test = (completions(Path(data), tokenizer, split, _EXAMPLES) for split in ("train", "test"))
    for layers, groups in _DROPPED:
        model = load_causal_model(base, "fp32")
        if layers or groups:
            prune(model, Pruning(layers, groups, train, ()))
        size = sum(part.numel() * part.element_size() for part in model.parameters()) / 2**20
        bits = bits_per_byte(model, test)
        ids = torch.tensor([test[0].ids])
        start = time.perf_counter()
        options = {"min_new_tokens": _WRITTEN, "max_new_tokens": _WRITTEN, "do_sample": False}
        model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **options)
        rate = _WRITTEN / (time.perf_counter() - start)
        print(f"{layers} layers, {groups} groups: {size:,.0f} MiB, {bits:.3f} bits, {rate:.1f} tokens/s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
