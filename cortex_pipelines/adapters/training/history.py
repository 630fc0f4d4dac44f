"""History of a training run, and when it stops early: no more improvement, or divergence."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from cortex_pipelines.adapters.data.packing import token_count

if TYPE_CHECKING:
    import torch

    from cortex_pipelines.adapters.data.corpus import Corpus
    from cortex_pipelines.adapters.settings import AdapterSettings


@dataclass(frozen=True)
class LossPoint:
    """One optimiser step: loss in nats per supervised token, gradient norm before clipping."""

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    tokens: int


@dataclass(frozen=True)
class Validation:
    """Validation loss after a number of steps; step 0 is the base."""

    step: int
    loss: float


@dataclass
class Progress:
    steps: list[LossPoint] = field(default_factory=list)
    validations: list[Validation] = field(default_factory=list)
    weights: dict[str, "torch.Tensor"] = field(default_factory=dict)
    best_step: int = 0


@dataclass(frozen=True)
class TrainingResult:
    """``weights`` are the best by validation loss; ``general`` the loss on general code of base and adapter.

    ``validations`` has the base's first; ``partial`` is the reason why the training could not finish; ``test`` has the
    nats of each test example's completion.
    """

    weights: dict[str, "torch.Tensor"]
    best_step: int
    packed: bool
    steps: tuple[LossPoint, ...]
    validations: tuple[Validation, ...]
    seconds: float
    planned: int
    partial: str | None = None
    general: tuple[float, float] | None = None
    test: tuple[float, ...] = ()

    @property
    def stopped_early(self) -> bool:
        return self.partial is None and len(self.steps) < self.planned


ValidationCallback = Callable[[int, float], None]
"""Takes the training tokens seen and the validation loss at each measurement; may raise to stop."""


def run_metrics(result: TrainingResult, corpus: "Corpus") -> dict[str, float]:
    """Metrics of a run; losses in nats per supervised token."""
    metrics: dict[str, float] = {
        "best_step": result.best_step,
        "partial": float(result.partial is not None),
        "replay_tokens": token_count(corpus.replayed),
        "steps": len(result.steps),
        "stopped_early": float(result.stopped_early),
        "train_examples": len(corpus.train),
        "train_tokens": sum(step.tokens for step in result.steps),
        "train_loss_first": result.steps[0].loss,
        "train_loss_last": result.steps[-1].loss,
        "trained_parameters": sum(tensor.numel() for tensor in result.weights.values()),
        "validation_examples": len(corpus.validation),
        "validation_tokens": token_count(corpus.validation),
    }
    if result.validations:
        metrics["validation_loss_base"] = result.validations[0].loss
        metrics["validation_loss_best"] = next(
            validation.loss for validation in result.validations if validation.step == result.best_step
        )
    if result.general is not None:
        # on prompts with completions, so it includes the learnt format; the evaluation uses plain passages
        metrics["general_loss_base"], metrics["general_loss_after"] = result.general
    return metrics


_LOG = logging.getLogger("cortex_pipelines")


class TrainingDivergedError(RuntimeError):
    """Loss or gradients are not finite, or the loss grows."""


def out_of_patience(progress: Progress, settings: "AdapterSettings") -> bool:
    if settings.patience is None or not progress.validations:
        return False
    since = [validation for validation in progress.validations if validation.step > progress.best_step]
    return progress.best_step > 0 and len(since) >= settings.patience


def require_finite(quantity: str, value: float, step: int, rate: float, settings: "AdapterSettings") -> None:
    if not math.isfinite(value) and step <= 1 and "loss" in quantity:  # nothing was learnt yet
        raise TrainingDivergedError(
            f"the base's {quantity} is {value} before anything is learnt: its weights hold NaN or infinite values, "
            f"or overflow in {settings.precision}; copy its files again, or set adapters.precision to fp32"
        )
    if not math.isfinite(value):
        problem = f"training stopped at step {step}: the {quantity} is {value} (learning rate {rate:g}, "
        raise TrainingDivergedError(problem + _remedies(settings))


def require_no_divergence(progress: Progress, settings: "AdapterSettings") -> None:
    if settings.divergence_factor is None or len(progress.steps) < settings.divergence_steps:
        return
    latest = progress.steps[-settings.divergence_steps :]
    # the base's validation loss is mostly of long answers; tokens of names and docstrings are two or three times as
    # hard for the base, which the model is still close to during the warm-up
    base = progress.validations[0].loss if progress.validations else progress.steps[0].loss
    warmup_steps = max(1, min(settings.warmup_steps, settings.divergence_steps))
    warmup_loss = median(step.loss for step in progress.steps[:warmup_steps])
    starting_loss = max(base, min(warmup_loss, settings.divergence_factor * base))
    level = median(step.loss for step in latest)
    if level > settings.divergence_factor * starting_loss:
        last = latest[-1]
        raise TrainingDivergedError(
            f"training stopped at step {last.step}: the loss diverges, {level:.3g} nats a token as median of the last "
            f"{settings.divergence_steps} steps, where the training began at {starting_loss:.3g} (gradient norm "
            f"{last.gradient_norm:.3g}, learning rate {last.learning_rate:g}, {_remedies(settings)}"
        )


def partial_reason(error: TrainingDivergedError, progress: Progress, settings: "AdapterSettings") -> str:
    """Reason why a training ended early; raises the error if partial adapters are disabled or no weights exist."""
    if not (settings.keep_partial and progress.weights):
        raise error
    _LOG.warning("%s; a partial adapter of step %d is kept", error, progress.best_step)
    return str(error)


def _remedies(settings: "AdapterSettings") -> str:
    return (
        f"precision {settings.precision}, max_grad_norm {settings.max_grad_norm:g}). In "
        "params.yaml under adapters: lower learning_rate or raise warmup_steps; with precision "
        "bf16 or fp16, try fp32; keep_partial: true keeps the best weights until then"
    )
