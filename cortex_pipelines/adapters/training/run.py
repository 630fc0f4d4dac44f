"""One run of training, whichever trainer makes its steps: rows, learning rate and due work of each."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import cos, inf, pi
from typing import TYPE_CHECKING, Any

from cortex_pipelines.adapters.data.packing import PackedRow, TokenisedExample, pack, packed_row
from cortex_pipelines.adapters.training.checkpoint import Checkpoints, load_weights, trainable
from cortex_pipelines.adapters.training.distributed import SINGLE_PROCESS, ProcessGroup
from cortex_pipelines.adapters.training.history import (
    Progress,
    TrainingResult,
    Validation,
    ValidationCallback,
    require_finite,
)
from cortex_pipelines.adapters.training.loss import validation_loss
from cortex_pipelines.adapters.training.monitor import TrainingMonitor

if TYPE_CHECKING:
    from cortex_pipelines.adapters.data.corpus import Corpus
    from cortex_pipelines.adapters.settings import AdapterSettings

Batch = list[PackedRow]
"""The rows of one forward pass."""


def is_due(settings: "AdapterSettings", strategy: str, step: int, epoch: int, last: int) -> bool:
    """Whether periodic work is due after ``step`` steps; always after the last."""
    return step % (epoch if strategy == "epoch" else settings.evaluation_steps) == 0 or step == last


def save_is_due(settings: "AdapterSettings", step: int, epoch: int, last: int, improved: bool) -> bool:
    return improved if settings.save_strategy == "best" else is_due(settings, settings.save_strategy, step, epoch, last)


def plan_steps(rows: Sequence[PackedRow], settings: "AdapterSettings") -> list[list[Batch]]:
    """The batches of each optimiser step of all epochs, shuffled per epoch."""
    import torch

    steps: list[list[Batch]] = []
    for epoch in range(settings.epochs):
        random = torch.Generator().manual_seed(settings.seed + epoch)
        order = torch.randperm(len(rows), generator=random).tolist()
        batches = [
            [rows[index] for index in order[start : start + settings.batch_size]]
            for start in range(0, len(order), settings.batch_size)
        ]
        size = settings.gradient_accumulation
        steps += [batches[start : start + size] for start in range(0, len(batches), size)]
    return steps


def build_rows(examples: Sequence[TokenisedExample], settings: "AdapterSettings", packed: bool) -> list[PackedRow]:
    if packed:
        return pack(examples, settings.max_length)
    return [packed_row([example]) for example in examples]


def learning_rate_at(step: int, steps: int, settings: "AdapterSettings") -> float:
    """Linear warm-up to the peak, then down to zero or level; steps count from 0."""
    # a run shorter than its warm-up still reaches the peak once
    warmup = min(settings.warmup_steps, steps - 1)
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    factor = {"cosine": (1 + cos(pi * progress)) / 2, "linear": 1 - progress, "constant": 1.0}
    return settings.learning_rate * factor[settings.lr_scheduler]


_LOG = logging.getLogger("cortex_pipelines")


@dataclass(frozen=True)
class TrainingRun:
    """``until``: share of the planned steps after which the training ends."""

    corpus: "Corpus"
    settings: "AdapterSettings"
    checkpoints: Checkpoints | None = None
    report: ValidationCallback | None = None
    monitor: TrainingMonitor = field(default_factory=TrainingMonitor)
    group: ProcessGroup = SINGLE_PROCESS
    until: float = 1.0
    started: float = field(default_factory=time.monotonic)

    def last_step(self, planned: int) -> int:
        return max(1, round(self.until * planned))

    def validate(self, model: Any, rows: Any, step: int, progress: Progress) -> None:
        """Measure the validation loss, keep the weights if they are the best so far, and report it.

        Step 0 is the base, measured without the adapter and not reported; without rows the latest weights are the best.
        """
        loss = None
        if rows and step:
            loss = validation_loss(model, rows, self.group)
        elif rows:
            with model.disable_adapter():
                loss = validation_loss(model, rows, self.group)
        if loss is not None:
            require_finite("validation loss", loss, step, self.settings.learning_rate, self.settings)
            _LOG.info("Step %d: validation loss %.4f nats a token", step, loss)
            best = min((validation.loss for validation in progress.validations if validation.step), default=inf)
            progress.validations.append(Validation(step, loss))
        if step and (loss is None or loss < best):
            progress.best_step = step
            progress.weights = {name: weight.detach().clone() for name, weight in trainable(model).items()}
        if step and progress.validations:
            self.monitor.record_validation(progress.validations[-1])
            if self.report and self.group.is_first:
                self.report(sum(step_record.tokens for step_record in progress.steps), progress.validations[-1].loss)

    def result(self, model: Any, progress: Progress, packed: bool, planned: int, partial: str | None) -> TrainingResult:
        rows, general = build_rows(self.corpus.general, self.settings, packed), None
        if rows or self.corpus.test:
            load_weights(model, progress.weights)
        if rows:
            with model.disable_adapter():
                base = validation_loss(model, rows, self.group)
            general = base, validation_loss(model, rows, self.group)
        test = [packed_row([example]) for example in self.corpus.test]
        return TrainingResult(
            weights=progress.weights,
            best_step=progress.best_step,
            packed=packed,
            steps=tuple(progress.steps),
            validations=tuple(progress.validations),
            planned=self.last_step(planned),
            partial=partial,
            general=general,
            test=tuple(validation_loss(model, [row], self.group) * row.supervised for row in test),
            seconds=time.monotonic() - self.started,
        )
