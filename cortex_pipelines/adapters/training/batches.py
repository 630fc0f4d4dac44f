"""Plan the rows of each optimiser step and the work due after it."""

from collections.abc import Sequence
from dataclasses import dataclass

from cortex_pipelines.adapters.data.packing import PackedRow, TokenisedExample, pack, packed_row
from cortex_pipelines.adapters.settings import AdapterSettings

Batch = list[PackedRow]
"""The rows of one forward pass."""


@dataclass(frozen=True)
class StepSchedule:
    """All optimiser steps of a training run, in order.

    Args:
        steps: Batches of each step.
        epoch_steps: Steps of one epoch.
        settings: When something is measured or kept.
    """

    steps: list[list[Batch]]
    epoch_steps: int
    settings: AdapterSettings

    def due(self, strategy: str, done: int) -> bool:
        """Whether periodic work is due after ``done`` steps; always true after the last."""
        return due(self.settings, strategy, done, self.epoch_steps, len(self.steps))


def due(settings: AdapterSettings, strategy: str, done: int, epoch: int, last: int) -> bool:
    """Whether periodic work is due.

    Args:
        settings: How often, where the strategy does not go by epochs.
        strategy: ``epoch``, or another.
        done: Optimiser steps done.
        epoch: Steps of an epoch.
        last: Steps in all; after them it is always due.
    """
    return done % (epoch if strategy == "epoch" else settings.evaluation_steps) == 0 or done == last


def planned(rows: Sequence[PackedRow], settings: AdapterSettings) -> StepSchedule:
    """Group rows into batches and optimiser steps for all epochs, shuffled per epoch."""
    import torch

    steps: list[list[Batch]] = []
    for epoch in range(settings.epochs):
        random = torch.Generator().manual_seed(settings.seed + epoch)
        order = torch.randperm(len(rows), generator=random).tolist()
        batches = [
            [rows[place] for place in order[start : start + settings.batch_size]]
            for start in range(0, len(order), settings.batch_size)
        ]
        size = settings.gradient_accumulation
        steps += [batches[start : start + size] for start in range(0, len(batches), size)]
    return StepSchedule(steps, len(steps) // settings.epochs, settings)


def rows_of(
    examples: Sequence[TokenisedExample], settings: AdapterSettings, packed: bool
) -> list[PackedRow]:
    """Examples as rows, packed where packing is on."""
    if packed:
        return pack(examples, settings.max_length)
    return [packed_row([example]) for example in examples]
