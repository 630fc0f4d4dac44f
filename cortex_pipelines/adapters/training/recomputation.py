"""Activation checkpointing, on a GPU of no more blocks than its memory demands.

A recomputed block costs half as much again as one whose activations are kept (Korthikanti et al. 2022). Which ones are
kept changes no result, as the same operations give the same values.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cortex_pipelines.adapters.training.loss import supervised_losses

if TYPE_CHECKING:
    from cortex_pipelines.adapters.training.run import Batch

_LOG = logging.getLogger("cortex_pipelines")
_USABLE = 0.92  # of the free memory; the rest is for fragments, and for rows whose loss has more targets
_SAMPLE = 2  # blocks that are kept to measure one


class RecomputedBlock:
    """A block's ``forward``, which keeps its input alone for the backward pass unless ``keeps``."""

    def __init__(self, forward: Any) -> None:
        self.forward, self.keeps = forward, False

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        from torch.utils.checkpoint import checkpoint

        if self.keeps:
            return self.forward(*inputs, **options)
        # the reentrant kind finds no gradient where the base is frozen
        return checkpoint(self.forward, *inputs, use_reentrant=False, **options)


def recompute_activations(model: Any, batches: Sequence["Batch"]) -> int:
    """Recompute the activations of the model's blocks; returns of how many.

    Of all on a CPU; on a GPU, of as many as the largest of the batches needs there.
    """
    from cortex_pipelines.adapters import kernels  # which needs torch

    blocks = kernels.repeated_blocks(model)
    for block in blocks:
        block.forward = RecomputedBlock(block.forward)
    if not kernels.on_gpu(model):
        return len(blocks)
    largest = max(batches, key=lambda batch: sum(len(row.ids) for row in batch))
    wrappers = [block.forward for block in blocks]
    stored_blocks = _fitting(model, wrappers, largest)
    for wrapper in wrappers[
        len(wrappers) - stored_blocks :
    ]:  # the last, whose activations the backward pass needs first
        wrapper.keeps = True
    _LOG.info("Activations of %d of %d blocks are recomputed", len(blocks) - stored_blocks, len(blocks))
    return len(blocks) - stored_blocks


def _fitting(model: Any, blocks: Sequence[RecomputedBlock], batch: "Batch") -> int:
    """Number of blocks whose activations fit the GPU, measured by steps that keep none and a few."""
    import torch

    def activation_bytes() -> float:
        """Bytes between the forward and the backward pass."""
        loss = supervised_losses(model, batch).sum()
        memory = torch.cuda.memory_allocated()
        loss.backward()  # type: ignore[no-untyped-call]
        model.zero_grad(set_to_none=True)
        return memory

    model.train()
    activation_bytes()  # compiles, and measures some kernels
    torch.cuda.reset_peak_memory_stats()
    recomputed_bytes = activation_bytes()
    peak = torch.cuda.max_memory_allocated()
    for block in blocks[-_SAMPLE:]:
        block.keeps = True
    of_block = (activation_bytes() - recomputed_bytes) / _SAMPLE
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    room = _USABLE * (free + torch.cuda.memory_allocated()) - peak
    for block in blocks[-_SAMPLE:]:
        block.keeps = False
    return max(0, min(len(blocks), int(room / max(of_block, 1))))
