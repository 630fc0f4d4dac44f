"""Validation losses of a training, and which weights are the best so far."""

import logging
import math
from collections.abc import Sequence
from typing import Any

from cortex_pipelines.adapters.data.packing import PackedRow
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.training.distributed import SINGLE_PROCESS, ProcessGroup
from cortex_pipelines.adapters.training.early_stopping import require_finite
from cortex_pipelines.adapters.training.history import Progress, Validation
from cortex_pipelines.adapters.training.loss import supervised_losses
from cortex_pipelines.adapters.training.state import load_weights, trainable

_LOG = logging.getLogger("cortex_pipelines")


def validate(
    model: Any,
    rows: Sequence[PackedRow],
    step: int,
    progress: Progress,
    settings: AdapterSettings,
    group: ProcessGroup = SINGLE_PROCESS,
) -> None:
    """Measure the validation loss, and keep the weights if they are the best so far.

    Step 0 is the base, measured without the adapter, whose weights are not kept; without rows the latest weights are
    the best.
    """
    loss = None
    if rows and step:
        loss = validation_loss(model, rows, group)
    elif rows:
        with model.disable_adapter():
            loss = validation_loss(model, rows, group)
    if loss is not None:
        require_finite("validation loss", loss, step, settings.learning_rate, settings)
        _LOG.info("Step %d: validation loss %.4f nats a token", step, loss)
        best = min((validation.loss for validation in progress.validations if validation.step), default=math.inf)
        progress.validations.append(Validation(step, loss))
    if step and (loss is None or loss < best):
        progress.best_step = step
        progress.weights = {name: weight.detach().clone() for name, weight in trainable(model).items()}


def general_losses(
    model: Any, rows: Sequence[PackedRow], progress: Progress, group: ProcessGroup = SINGLE_PROCESS
) -> tuple[float, float] | None:
    """Loss on general code of the base and of the best weights; None without such code."""
    if not rows:
        return None
    load_weights(model, progress.weights)
    with model.disable_adapter():
        base = validation_loss(model, rows, group)
    return base, validation_loss(model, rows, group)


def validation_loss(model: Any, rows: Sequence[PackedRow], group: ProcessGroup = SINGLE_PROCESS) -> float:
    import torch

    model.eval()
    with torch.no_grad():
        losses = [supervised_losses(model, [row]).double().sum() for row in group.shard(rows)]
    zero = torch.zeros(1, dtype=torch.float64, device=model.device)
    total = group.sum(torch.stack(losses).sum() if losses else zero.sum())
    return float(total) / sum(row.supervised for row in rows)
