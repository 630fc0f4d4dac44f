"""Training loop: packed rows, best weights by validation loss."""

import hashlib
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cortex_pipelines.adapters.training.checkpoint import load_weights, progress_state, restore_progress, trainable
from cortex_pipelines.adapters.training.distributed import ProcessGroup
from cortex_pipelines.adapters.training.history import (
    LossPoint,
    Progress,
    TrainingDivergedError,
    TrainingResult,
    out_of_patience,
    partial_reason,
    require_finite,
    require_no_divergence,
)
from cortex_pipelines.adapters.training.loss import packing_is_separate, supervised_losses
from cortex_pipelines.adapters.training.recomputation import recompute_activations
from cortex_pipelines.adapters.training.run import (
    Batch,
    TrainingRun,
    build_rows,
    is_due,
    learning_rate_at,
    plan_steps,
    save_is_due,
)
from cortex_pipelines.progress import track

if TYPE_CHECKING:
    import torch

    from cortex_pipelines.adapters.settings import AdapterSettings

_LOG = logging.getLogger("cortex_pipelines")
_ADAM_BETAS = (0.9, 0.999)


def train(model: Any, run: TrainingRun) -> TrainingResult:
    """Train the adapter on a model; reproducible inside ``pinned_torch``.

    An interrupted training resumes from its last checkpoint. All processes of a group call this with the same
    arguments and take the same decisions, as these depend on sums over the group. Raises ``TrainingDivergedError``
    unless a partial adapter can be kept.
    """
    from cortex_pipelines.adapters.kernels import use_fast_kernels  # which needs torch

    settings = run.settings
    model.eval()  # dropout of a parent adapter would look like a difference
    separate = packing_is_separate(model)
    packed = settings.packing and separate
    if settings.packing and not packed:
        _LOG.info("This architecture mixes packed examples; each row holds a single example")
    steps = plan_steps(build_rows(run.corpus.train, settings, packed), settings)
    progress, partial = Progress(), None
    with use_fast_kernels(model, settings, separate):
        if settings.activation_checkpointing:
            recompute_activations(model, [batch for batches in steps for batch in batches])
        try:
            _run_steps(model, run, steps, packed, progress)
        except TrainingDivergedError as error:
            partial = partial_reason(error, progress, settings)
        return run.result(model, progress, packed, len(steps), partial)


@dataclass(frozen=True)
class _Worker:
    model: Any
    optimiser: "torch.optim.Optimizer"
    scaler: "torch.amp.GradScaler"
    settings: "AdapterSettings"
    group: ProcessGroup


def _run_steps(model: Any, run: TrainingRun, steps: list[list[Batch]], packed: bool, progress: Progress) -> None:
    import torch

    settings, first = run.settings, run.group.is_first
    optimiser = torch.optim.AdamW(
        trainable(model).values(), lr=settings.learning_rate, betas=_ADAM_BETAS, weight_decay=0.0
    )
    scaler = torch.amp.GradScaler(model.device.type, enabled=settings.precision == "fp16")
    scaler.scale(torch.zeros((), device=model.device))  # created on first use
    worker = _Worker(model, optimiser, scaler, settings, run.group)
    validation = build_rows(run.corpus.validation, settings, packed)
    checkpoint = run.checkpoints.load() if run.checkpoints else None
    if checkpoint:
        load_weights(model, checkpoint["weights"])
        optimiser.load_state_dict(checkpoint["optimiser"])
        scaler.load_state_dict(checkpoint["scaler"])
        restore_progress(progress, checkpoint)
    elif validation:
        run.validate(model, validation, 0, progress)
    completed, epoch, last = len(progress.steps), len(steps) // settings.epochs, run.last_step(len(steps))
    planned = steps[:last]
    for number, batches in enumerate(track(planned, "Training the adapter", run.monitor.summary) if first else planned):
        if number < completed:
            continue
        if out_of_patience(progress, settings):
            _LOG.info("Stopped early: no improvement in %s validations", settings.patience)
            break
        run.monitor.wait()
        progress.steps.append(_step(worker, batches, number + 1, learning_rate_at(number, len(steps), settings)))
        run.monitor.record_step(progress.steps[-1])
        require_no_divergence(progress, settings)
        validated = is_due(settings, settings.evaluation_strategy, number + 1, epoch, last)
        if validated:
            run.validate(model, validation, number + 1, progress)
        improved = validated and progress.best_step == number + 1
        if run.checkpoints and first and save_is_due(settings, number + 1, epoch, last, improved):
            state = {"weights": dict(trainable(model)), "optimiser": optimiser.state_dict()}
            run.checkpoints.save(state | {"scaler": scaler.state_dict()} | progress_state(progress))


def _step(worker: _Worker, batches: list[Batch], number: int, rate: float) -> LossPoint:
    """One optimiser step over its batches.

    On a float16 overflow the loss scale is halved and the step repeated: no step is skipped, so
    that tokens and learning rates stay as planned.
    """
    import torch

    settings, scaler, optimiser = worker.settings, worker.scaler, worker.optimiser
    weights = list(trainable(worker.model).values())
    # every supervised token of the step has the same weight, in any batch and process: a mean of means would favour the
    # tokens of sparse rows
    targets = sum(row.supervised for batch in batches for row in batch)
    while True:
        optimiser.zero_grad(set_to_none=True)
        worker.model.train()
        parts = []
        for batch_index, batch in worker.group.shard(list(enumerate(batches))):
            # the same dropout in whichever process computes the batch
            digest = hashlib.sha256(f"{settings.seed} {number} {batch_index}".encode()).digest()
            torch.manual_seed(int.from_bytes(digest[:8]))
            batch_loss = supervised_losses(worker.model, batch).sum() / targets
            parts.append(batch_loss.detach())
            scaler.scale(batch_loss).backward()  # type: ignore[no-untyped-call]
        loss = worker.group.sum_gradients(weights, sum(map(float, parts), 0.0))
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
    return LossPoint(number, loss, norm, rate, sum(len(row.ids) for batch in batches for row in batch))
