"""Save and restore the state of a training run.

The order of rows and the dropout masks follow from the seed, so no generator state is saved.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cortex_pipelines.adapters.training.history import LossPoint, Progress, Validation

if TYPE_CHECKING:
    import torch

_LOG = logging.getLogger("cortex_pipelines")


def trainable(model: Any) -> dict[str, "torch.Tensor"]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def load_weights(model: Any, weights: Mapping[str, "torch.Tensor"]) -> None:
    import torch

    with torch.no_grad():
        for name, weight in trainable(model).items():
            weight.copy_(weights[name])


def snapshot(
    model: Any, optimiser: "torch.optim.Optimizer", scaler: "torch.amp.GradScaler", progress: Progress
) -> dict[str, Any]:
    """The training state as tensors and plain values."""
    return {
        "weights": dict(trainable(model)),
        "optimiser": optimiser.state_dict(),
        "scaler": scaler.state_dict(),
        **progress_state(progress),
    }


def restore(
    model: Any,
    optimiser: "torch.optim.Optimizer",
    scaler: "torch.amp.GradScaler",
    progress: Progress,
    saved: Mapping[str, Any],
) -> None:
    load_weights(model, saved["weights"])
    optimiser.load_state_dict(saved["optimiser"])
    scaler.load_state_dict(saved["scaler"])
    restore_progress(progress, saved)


def progress_state(progress: Progress) -> dict[str, Any]:
    return {
        "steps": [asdict(step) for step in progress.steps],
        "validations": [asdict(validation) for validation in progress.validations],
        "best": progress.weights,
        "best_step": progress.best_step,
    }


def restore_progress(progress: Progress, saved: Mapping[str, Any]) -> None:
    progress.steps = [LossPoint(**step) for step in saved["steps"]]
    progress.validations = [Validation(**validation) for validation in saved["validations"]]
    progress.weights = dict(saved["best"])
    progress.best_step = saved["best_step"]
    _LOG.info("Resuming an interrupted training after step %d", len(progress.steps))
