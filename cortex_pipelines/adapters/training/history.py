"""History of a training run: steps, validations, weights."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cortex_pipelines.adapters.data.corpus import Corpus, token_count

if TYPE_CHECKING:
    import torch


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

    ``validations`` has the base's first; ``partial`` is the reason why the training could not finish.
    """

    weights: dict[str, "torch.Tensor"]
    best_step: int
    packed: bool
    steps: tuple[LossPoint, ...]
    validations: tuple[Validation, ...]
    seconds: float
    partial: str | None = None
    stopped_early: bool = False
    general: tuple[float, float] | None = None

    @classmethod
    def from_progress(
        cls,
        progress: Progress,
        *,
        packed: bool,
        planned: int,
        seconds: float,
        partial: str | None,
        general: tuple[float, float] | None,
    ) -> "TrainingResult":
        return cls(
            weights=progress.weights,
            best_step=progress.best_step,
            packed=packed,
            steps=tuple(progress.steps),
            validations=tuple(progress.validations),
            seconds=seconds,
            partial=partial,
            stopped_early=partial is None and len(progress.steps) < planned,
            general=general,
        )

    def curve(self) -> dict[str, Any]:
        return {
            "steps": [asdict(step) for step in self.steps],
            "validation": [asdict(validation) for validation in self.validations],
        }


ValidationCallback = Callable[[int, float], None]
"""Takes the training tokens seen and the validation loss at each measurement; may raise to stop."""


def run_metrics(result: TrainingResult, corpus: Corpus) -> dict[str, float]:
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
    return metrics | _forgetting(result)


def _forgetting(result: TrainingResult) -> dict[str, float]:
    """Measured on prompts with completions, so it includes the learnt format; the evaluation uses plain passages."""
    if result.general is None:
        return {}
    base, after = result.general
    return {"general_loss_base": base, "general_loss_after": after}
