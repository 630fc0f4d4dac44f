"""Training loop: packed rows, completion-only loss, best weights by validation loss."""

import hashlib
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cortex_pipelines.adapters.data.corpus import Corpus
from cortex_pipelines.adapters.data.packing import PackedRow
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.training.batches import Batch, StepSchedule, planned, rows_of
from cortex_pipelines.adapters.training.checkpoint import Checkpoints
from cortex_pipelines.adapters.training.distributed import ALONE, ProcessGroup
from cortex_pipelines.adapters.training.early_stopping import (
    TrainingDivergedError,
    out_of_patience,
    require_finite,
    require_no_divergence,
    words_of_partial,
)
from cortex_pipelines.adapters.training.history import LossPoint, Progress, Report, TrainingResult
from cortex_pipelines.adapters.training.loss import packing_is_separate, supervised_losses
from cortex_pipelines.adapters.training.lr_schedule import learning_rate_at
from cortex_pipelines.adapters.training.monitor import TrainingMonitor
from cortex_pipelines.adapters.training.state import restore, snapshot, trainable
from cortex_pipelines.adapters.training.validation import general_losses, validate
from cortex_pipelines.progress import track

if TYPE_CHECKING:
    import torch

_LOG = logging.getLogger("cortex_pipelines")
_ADAM_BETAS = (0.9, 0.999)


def train(
    model: Any,
    corpus: Corpus,
    settings: AdapterSettings,
    checkpoints: Checkpoints | None = None,
    report: Report | None = None,
    live: TrainingMonitor | None = None,
    group: ProcessGroup = ALONE,
) -> TrainingResult:
    """Train the adapter on a model; reproducible inside ``pinned_torch``.

    An interrupted training resumes from its last checkpoint. All processes of a group call this
    with the same arguments and take the same decisions, as these depend on sums over the group.

    Args:
        model: Base with a fresh adapter, or with its parent's.
        corpus: Training and validation examples.
        settings: How to train.
        checkpoints: Where checkpoints are saved; None for nowhere.
        report: Called with each validation by the first process; an exception ends the training.
        live: Shows speed and memory meanwhile.
        group: The processes that share the work.

    Raises:
        TrainingDivergedError: a loss or a gradient is not finite, or the loss diverges, and no
            partial adapter is wanted or there is none yet.
    """
    from cortex_pipelines.adapters.kernels.apply import efficient  # which needs torch

    model.eval()  # dropout of a parent adapter would look like a difference
    separate = packing_is_separate(model)
    packed = settings.packing and separate
    if settings.packing and not packed:
        _LOG.info("This architecture mixes packed examples; each row holds a single example")
    if settings.activation_checkpointing:
        # the reentrant kind finds no gradient where the base is frozen
        model.activation_checkpointing_enable({"use_reentrant": False})
    plan = planned(rows_of(corpus.train, settings, packed), settings)
    validation = rows_of(corpus.validation, settings, packed)
    learner = _learner(model, settings, group)
    progress, started, partial = Progress(), time.monotonic(), None
    with efficient(model, settings, separate):
        try:
            _run(
                learner, plan, validation, progress, checkpoints, report, live or TrainingMonitor()
            )
        except TrainingDivergedError as error:
            partial = words_of_partial(error, progress, settings)
        general = general_losses(model, rows_of(corpus.general, settings, packed), progress, group)
    return TrainingResult.of(
        progress,
        packed=packed,
        planned=len(plan.steps),
        seconds=time.monotonic() - started,
        partial=partial,
        general=general,
    )


@dataclass(frozen=True)
class _Learner:
    """Model, optimiser and data of one process."""

    model: Any
    optimiser: "torch.optim.Optimizer"
    scaler: "torch.amp.GradScaler"
    settings: AdapterSettings
    group: ProcessGroup


def _learner(model: Any, settings: AdapterSettings, group: ProcessGroup) -> _Learner:
    import torch

    optimiser = torch.optim.AdamW(
        trainable(model).values(),
        lr=settings.learning_rate,
        betas=_ADAM_BETAS,
        weight_decay=0.0,
    )
    scaler = torch.amp.GradScaler(model.device.type, enabled=settings.precision == "fp16")
    scaler.scale(torch.zeros((), device=model.device))  # created on first use
    return _Learner(model, optimiser, scaler, settings, group)


def _run(
    learner: _Learner,
    plan: StepSchedule,
    validation: list[PackedRow],
    progress: Progress,
    checkpoints: Checkpoints | None,
    report: Report | None,
    live: TrainingMonitor,
) -> None:
    model, settings, first = learner.model, learner.settings, learner.group.is_first
    kept = checkpoints.load() if checkpoints else None
    if kept:
        restore(model, learner.optimiser, learner.scaler, progress, kept)
    elif validation:
        validate(model, validation, 0, progress, settings, learner.group)
    begun = len(progress.steps)
    doing = "Training the adapter"
    for number, batches in enumerate(track(plan.steps, doing, live.words) if first else plan.steps):
        if number < begun:
            continue
        if out_of_patience(progress, settings):
            _LOG.info("Stopped early: no improvement in %s validations", settings.patience)
            break
        live.wait()
        rate = learning_rate_at(number, len(plan.steps), settings)
        progress.steps.append(_step(learner, batches, number + 1, rate))
        live.stepped(progress.steps[-1])
        require_no_divergence(progress, settings)
        measured = plan.due(settings.evaluation_strategy, number + 1)
        if measured:
            validate(model, validation, number + 1, progress, settings, learner.group)
            if progress.validations:
                live.measured(progress.validations[-1])
                if report and first:
                    seen = sum(step.tokens for step in progress.steps)
                    report(seen, progress.validations[-1].loss)
        best = measured and progress.best_step == number + 1
        if (
            checkpoints
            and first
            and (
                best
                if settings.save_strategy == "best"
                else plan.due(settings.save_strategy, number + 1)
            )
        ):
            checkpoints.save(snapshot(model, learner.optimiser, learner.scaler, progress))


def _step(learner: _Learner, batches: list[Batch], number: int, rate: float) -> LossPoint:
    """One optimiser step over its batches.

    On a float16 overflow the loss scale is halved and the step repeated: no step is skipped, so
    that tokens and learning rates stay as planned.
    """
    import torch

    settings, scaler, optimiser = learner.settings, learner.scaler, learner.optimiser
    weights = list(trainable(learner.model).values())
    while True:
        optimiser.zero_grad(set_to_none=True)
        loss = _gradients(learner, batches, number, weights)
        require_finite("loss", loss, number, rate, settings)
        scaler.unscale_(optimiser)
        norm = float(torch.nn.utils.clip_grad_norm_(weights, settings.max_grad_norm))
        if math.isfinite(norm) or scaler.get_scale() <= 1:
            break
        scaler.update()
        _LOG.info("Step %d overflowed; the loss scale is now %g", number, scaler.get_scale())
    require_finite("gradient norm", norm, number, rate, settings)
    for parameters in optimiser.param_groups:
        parameters["lr"] = rate
    scaler.step(optimiser)
    scaler.update()
    return LossPoint(
        number, loss, norm, rate, sum(len(row.ids) for batch in batches for row in batch)
    )


def _gradients(
    learner: _Learner, batches: list[Batch], number: int, weights: "Sequence[torch.Tensor]"
) -> float:
    """Accumulate the gradients of a step over the group; returns the loss.

    Every supervised token of the step has the same weight, in any batch and process: a mean of
    means would favour the tokens of sparse rows.
    """
    import torch

    targets = sum(row.supervised for batch in batches for row in batch)
    learner.model.train()
    total = 0.0
    for place, batch in learner.group.share(list(enumerate(batches))):
        torch.manual_seed(_seed(learner.settings.seed, number, place))
        loss = supervised_losses(learner.model, batch).sum() / targets
        total += float(loss.detach())
        learner.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    return learner.group.sum_gradients(weights, total)


def _seed(seed: int, step: int, place: int) -> int:
    """Dropout seed of a batch, the same in whichever process computes it."""
    digest = hashlib.sha256(f"{seed} {step} {place}".encode()).digest()
    return int.from_bytes(digest[:8])
