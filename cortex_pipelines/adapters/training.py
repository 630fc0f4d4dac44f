"""A LoRA run: packed rows, loss on completions only, the best weights by validation loss."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cortex_pipelines.adapters.checkpoint import Checkpoints
from cortex_pipelines.adapters.corpus import Corpus, token_count
from cortex_pipelines.adapters.loss import packing_is_separate, supervised_losses
from cortex_pipelines.adapters.packing import PackedRow, TokenisedExample, pack, packed_row
from cortex_pipelines.adapters.schedule import learning_rate_at
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.progress import track

if TYPE_CHECKING:
    import torch

_LOG = logging.getLogger("cortex_pipelines")
_ADAM_BETAS = (0.9, 0.999)


class TrainingDivergedError(RuntimeError):
    """The loss or a gradient is no finite number, so going on would be pointless."""


@dataclass(frozen=True)
class Step:
    """One optimiser step: loss in nats a supervised token, norm before clipping."""

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    tokens: int


@dataclass(frozen=True)
class Validation:
    """Loss on the validation examples after so many steps; at 0 it is the base's."""

    step: int
    loss: float


@dataclass(frozen=True)
class Run:
    """What a run gave.

    Args:
        weights: Best adapter weights by validation loss, by parameter name.
        best_step: After how many steps they stood.
        packed: Whether examples shared rows.
        steps: Every optimiser step.
        validations: Every measurement, the base's first; empty without validation examples.
        seconds: Time of the training loop; an observation, not a result.
    """

    weights: dict[str, "torch.Tensor"]
    best_step: int
    packed: bool
    steps: tuple[Step, ...]
    validations: tuple[Validation, ...]
    seconds: float

    def curve(self) -> dict[str, Any]:
        """Steps and validations as plain values."""
        return {
            "steps": [asdict(step) for step in self.steps],
            "validation": [asdict(validation) for validation in self.validations],
        }


@dataclass
class _Progress:
    steps: list[Step] = field(default_factory=list)
    validations: list[Validation] = field(default_factory=list)
    weights: dict[str, "torch.Tensor"] = field(default_factory=dict)
    best_step: int = 0


def train(
    model: Any, corpus: Corpus, settings: AdapterSettings, checkpoints: Checkpoints | None = None
) -> Run:
    """Train the adapter on a model; call it inside ``pinned_torch`` to get the same bytes again.

    A training that was killed goes on after its last measurement.

    Args:
        model: Base with a fresh adapter.
        corpus: Training and validation examples.
        settings: How to train.
        checkpoints: Where the state is kept meanwhile; None for nowhere.

    Raises:
        TrainingDivergedError: a loss or a gradient is not finite.
    """
    import torch

    packed = packing_is_separate(model)
    if not packed:
        _LOG.info("This architecture mixes packed examples; every row holds one")
    groups = _groups(_rows(corpus.train, settings, packed), settings)
    validation = _rows(corpus.validation, settings, packed)
    optimiser = torch.optim.AdamW(
        _trainable(model).values(), lr=settings.learning_rate, betas=_ADAM_BETAS, weight_decay=0.0
    )
    progress = _Progress()
    started = time.monotonic()
    kept = checkpoints.load() if checkpoints else None
    if kept:
        _go_on(model, optimiser, progress, kept)
    else:
        _validate(model, validation, 0, progress, settings)
    done = len(progress.steps)
    for number, group in enumerate(track(groups, "Training the adapter")):
        if number < done:
            continue
        rate = learning_rate_at(number, len(groups), settings)
        progress.steps.append(_step(model, optimiser, group, number + 1, rate, settings))
        if (number + 1) % settings.evaluation_steps == 0 or number + 1 == len(groups):
            _validate(model, validation, number + 1, progress, settings)
            if checkpoints:
                checkpoints.save(_state(model, optimiser, progress))
    if checkpoints:
        checkpoints.clear()
    return Run(
        weights=progress.weights,
        best_step=progress.best_step,
        packed=packed,
        steps=tuple(progress.steps),
        validations=tuple(progress.validations),
        seconds=time.monotonic() - started,
    )


def run_metrics(run: Run, corpus: Corpus) -> dict[str, float]:
    """The run in flat numbers; losses are nats a supervised token."""
    found: dict[str, float] = {
        "best_step": run.best_step,
        "steps": len(run.steps),
        "train_examples": len(corpus.train),
        "train_tokens": sum(step.tokens for step in run.steps),
        "train_loss_first": run.steps[0].loss,
        "train_loss_last": run.steps[-1].loss,
        "trained_parameters": sum(tensor.numel() for tensor in run.weights.values()),
        "validation_examples": len(corpus.validation),
        "validation_tokens": token_count(corpus.validation),
    }
    if run.validations:
        found["validation_loss_base"] = run.validations[0].loss
        found["validation_loss_best"] = next(
            one.loss for one in run.validations if one.step == run.best_step
        )
    return found


def _state(model: Any, optimiser: "torch.optim.Optimizer", progress: _Progress) -> dict[str, Any]:
    """All that the steps to come depend on; their order follows from the seed."""
    import torch

    return {
        "weights": dict(_trainable(model)),
        "optimiser": optimiser.state_dict(),
        "random": torch.get_rng_state(),
        "random_of_devices": torch.cuda.get_rng_state_all(),
        "steps": [asdict(step) for step in progress.steps],
        "validations": [asdict(one) for one in progress.validations],
        "best": progress.weights,
        "best_step": progress.best_step,
    }


def _go_on(
    model: Any,
    optimiser: "torch.optim.Optimizer",
    progress: _Progress,
    kept: Mapping[str, Any],
) -> None:
    """Put model, optimiser, generators and progress back to where they were."""
    import torch

    with torch.no_grad():
        for name, weight in _trainable(model).items():
            weight.copy_(kept["weights"][name])
    optimiser.load_state_dict(kept["optimiser"])
    torch.set_rng_state(kept["random"])
    if kept["random_of_devices"]:
        torch.cuda.set_rng_state_all(kept["random_of_devices"])
    progress.steps = [Step(**step) for step in kept["steps"]]
    progress.validations = [Validation(**one) for one in kept["validations"]]
    progress.weights = dict(kept["best"])
    progress.best_step = kept["best_step"]
    _LOG.info("Going on after step %d of a training that was interrupted", len(progress.steps))


def _rows(
    examples: Sequence[TokenisedExample], settings: AdapterSettings, packed: bool
) -> list[PackedRow]:
    if packed:
        return pack(examples, settings.max_length)
    return [packed_row([example]) for example in examples]


def _groups(rows: list[PackedRow], settings: AdapterSettings) -> list[list[list[PackedRow]]]:
    """Batches of rows, grouped into optimiser steps, for all epochs; each in another order."""
    import torch

    groups = []
    for epoch in range(settings.epochs):
        random = torch.Generator().manual_seed(settings.seed + epoch)
        order = torch.randperm(len(rows), generator=random).tolist()
        batches = [
            [rows[place] for place in order[start : start + settings.batch_size]]
            for start in range(0, len(order), settings.batch_size)
        ]
        size = settings.gradient_accumulation
        groups += [batches[start : start + size] for start in range(0, len(batches), size)]
    return groups


def _step(
    model: Any,
    optimiser: "torch.optim.Optimizer",
    group: list[list[PackedRow]],
    number: int,
    rate: float,
    settings: AdapterSettings,
) -> Step:
    """One optimiser step over a group of batches.

    Every supervised token of the group weighs the same, in whichever batch it stands: a mean of
    means would favour the tokens of sparse rows.
    """
    import torch

    targets = sum(row.supervised for batch in group for row in batch)
    model.train()
    total = 0.0
    for batch in group:
        loss = supervised_losses(model, batch).sum() / targets
        total += float(loss.detach())
        _require_finite("loss", total, number, rate, settings)
        loss.backward()  # type: ignore[no-untyped-call]
    weights = _trainable(model).values()
    norm = float(torch.nn.utils.clip_grad_norm_(weights, settings.max_grad_norm))
    _require_finite("gradient norm", norm, number, rate, settings)
    for parameters in optimiser.param_groups:
        parameters["lr"] = rate
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return Step(number, total, norm, rate, sum(len(row.ids) for batch in group for row in batch))


def _validate(
    model: Any,
    rows: list[PackedRow],
    step: int,
    progress: _Progress,
    settings: AdapterSettings,
) -> None:
    """Measure, and keep the weights if they are the best so far; the untrained never are kept."""
    loss = validation_loss(model, rows) if rows else None
    if loss is not None:
        _require_finite("validation loss", loss, step, settings.learning_rate, settings)
        _LOG.info("Step %d: validation loss %.4f nats a token", step, loss)
        best = min((one.loss for one in progress.validations if one.step), default=math.inf)
        progress.validations.append(Validation(step, loss))
    if step and (loss is None or loss < best):
        progress.best_step = step
        progress.weights = {
            name: weight.detach().clone() for name, weight in _trainable(model).items()
        }


def validation_loss(model: Any, rows: Sequence[PackedRow]) -> float:
    """Mean loss of all targets in the rows, in nats."""
    import torch

    model.eval()
    with torch.no_grad():
        losses = [supervised_losses(model, [row]).double().sum() for row in rows]
    return float(torch.stack(losses).sum()) / sum(row.supervised for row in rows)


def _trainable(model: Any) -> dict[str, "torch.Tensor"]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _require_finite(
    what: str, value: float, step: int, rate: float, settings: AdapterSettings
) -> None:
    if math.isfinite(value):
        return
    raise TrainingDivergedError(
        f"training stopped at step {step}: the {what} is {value} (learning rate {rate:g}, "
        f"precision {settings.precision}, max_grad_norm {settings.max_grad_norm:g}); nothing was "
        "kept. In params.yaml under adapters: lower learning_rate or raise warmup_steps; with "
        "precision bf16, try fp32"
    )
