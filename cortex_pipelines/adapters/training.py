"""A LoRA run: packed rows, loss on completions only, the best weights by validation loss."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cortex_pipelines.adapters.checkpoint import Checkpoints
from cortex_pipelines.adapters.corpus import Corpus
from cortex_pipelines.adapters.curve import Progress, Report, Run, Step, Validation
from cortex_pipelines.adapters.live import Live
from cortex_pipelines.adapters.loss import packing_is_separate, supervised_losses
from cortex_pipelines.adapters.packing import PackedRow, TokenisedExample, pack, packed_row
from cortex_pipelines.adapters.schedule import learning_rate_at
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.stopping import (
    TrainingDivergedError,
    out_of_patience,
    require_finite,
    require_no_divergence,
)
from cortex_pipelines.progress import track

if TYPE_CHECKING:
    import torch

_LOG = logging.getLogger("cortex_pipelines")
_ADAM_BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class _Plan:
    """All optimiser steps of a run, and after which of them something is measured or kept.

    Args:
        groups: Batches of rows of each step.
        epoch_steps: Steps of one epoch.
        settings: When.
    """

    groups: list[list[list[PackedRow]]]
    epoch_steps: int
    settings: AdapterSettings

    def due(self, strategy: str, done: int) -> bool:
        """Whether it is due after ``done`` steps; it always is after the last."""
        every = self.epoch_steps if strategy == "epoch" else self.settings.evaluation_steps
        return done % every == 0 or done == len(self.groups)


def train(
    model: Any,
    corpus: Corpus,
    settings: AdapterSettings,
    checkpoints: Checkpoints | None = None,
    report: Report | None = None,
    live: Live | None = None,
) -> Run:
    """Train the adapter on a model; call it inside ``pinned_torch`` to get the same bytes again.

    A training that was killed goes on after the state that was kept last.

    Args:
        model: Base with a fresh adapter, or with its parent's.
        corpus: Training and validation examples.
        settings: How to train.
        checkpoints: Where the state is kept meanwhile; None for nowhere.
        report: Told each measurement; whatever it raises ends the training.
        live: Shows speed and memory meanwhile.

    Raises:
        TrainingDivergedError: a loss or a gradient is not finite, or the loss diverges, and no
            partial adapter is wanted or there is none yet.
    """
    # which need torch
    from cortex_pipelines.adapters.attention import attention_apart
    from cortex_pipelines.adapters.lean_layers import lean_layers

    packed = settings.packing and packing_is_separate(model)
    if settings.packing and not packed:
        _LOG.info("This architecture mixes packed examples; every row holds one")
    if settings.activation_checkpointing:
        # the reentrant kind finds no gradient where the base is frozen
        model.activation_checkpointing_enable({"use_reentrant": False})
    groups = _groups(_rows(corpus.train, settings, packed), settings)
    plan = _Plan(groups, len(groups) // settings.epochs, settings)
    progress, started, partial = Progress(), time.monotonic(), None
    try:
        with lean_layers(model), attention_apart(model):
            _run(model, plan, corpus, packed, progress, checkpoints, report, live or Live())
    except TrainingDivergedError as error:
        if not (settings.keep_partial and progress.weights):
            raise
        partial = str(error)
        _LOG.warning("%s; a partial adapter of step %d is kept", partial, progress.best_step)
    if checkpoints:
        checkpoints.clear()
    return Run(
        weights=progress.weights,
        best_step=progress.best_step,
        packed=packed,
        steps=tuple(progress.steps),
        validations=tuple(progress.validations),
        seconds=time.monotonic() - started,
        partial=partial,
        stopped_early=partial is None and len(progress.steps) < len(groups),
        general=_general_losses(model, corpus, progress, settings, packed),
    )


def _run(
    model: Any,
    plan: _Plan,
    corpus: Corpus,
    packed: bool,
    progress: Progress,
    checkpoints: Checkpoints | None,
    report: Report | None,
    live: Live,
) -> None:
    import torch

    settings = plan.settings
    validation = _rows(corpus.validation, settings, packed)
    optimiser = torch.optim.AdamW(
        trainable(model).values(),
        lr=settings.learning_rate,
        betas=_ADAM_BETAS,
        weight_decay=0.0,
    )
    kept = checkpoints.load() if checkpoints else None
    if kept:
        _go_on(model, optimiser, progress, kept)
    elif validation:
        with model.disable_adapter():
            _validate(model, validation, 0, progress, settings)
    begun = len(progress.steps)
    for number, group in enumerate(track(plan.groups, "Training the adapter", live.words)):
        if number < begun:
            continue
        if out_of_patience(progress, settings):
            _LOG.info("No better for %s measurements: stopped", settings.patience)
            break
        live.wait()
        rate = learning_rate_at(number, len(plan.groups), settings)
        progress.steps.append(_step(model, optimiser, group, number + 1, rate, settings))
        live.stepped(progress.steps[-1])
        require_no_divergence(progress, settings)
        measured = plan.due(settings.evaluation_strategy, number + 1)
        if measured:
            _validate(model, validation, number + 1, progress, settings)
            if progress.validations:
                live.measured(progress.validations[-1])
                if report:
                    seen = sum(step.tokens for step in progress.steps)
                    report(seen, progress.validations[-1].loss)
        best = measured and progress.best_step == number + 1
        if checkpoints and (
            best
            if settings.save_strategy == "best"
            else plan.due(settings.save_strategy, number + 1)
        ):
            checkpoints.save(_state(model, optimiser, progress))


def _general_losses(
    model: Any, corpus: Corpus, progress: Progress, settings: AdapterSettings, packed: bool
) -> tuple[float, float] | None:
    """Loss on code in general, of the base and of the weights that are kept."""
    rows = _rows(corpus.general, settings, packed)
    if not rows:
        return None
    _put(model, progress.weights)
    with model.disable_adapter():
        base = validation_loss(model, rows)
    return base, validation_loss(model, rows)


def _state(model: Any, optimiser: "torch.optim.Optimizer", progress: Progress) -> dict[str, Any]:
    """All that the steps to come depend on; their order follows from the seed."""
    import torch

    return {
        "weights": dict(trainable(model)),
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
    progress: Progress,
    kept: Mapping[str, Any],
) -> None:
    """Put model, optimiser, generators and progress back to where they were."""
    import torch

    _put(model, kept["weights"])
    optimiser.load_state_dict(kept["optimiser"])
    torch.set_rng_state(kept["random"])
    if kept["random_of_devices"]:
        torch.cuda.set_rng_state_all(kept["random_of_devices"])
    progress.steps = [Step(**step) for step in kept["steps"]]
    progress.validations = [Validation(**one) for one in kept["validations"]]
    progress.weights = dict(kept["best"])
    progress.best_step = kept["best_step"]
    _LOG.info("Going on after step %d of a training that was interrupted", len(progress.steps))


def _put(model: Any, weights: Mapping[str, "torch.Tensor"]) -> None:
    import torch

    with torch.no_grad():
        for name, weight in trainable(model).items():
            weight.copy_(weights[name])


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
        require_finite("loss", total, number, rate, settings)
        loss.backward()  # type: ignore[no-untyped-call]
    weights = trainable(model).values()
    norm = float(torch.nn.utils.clip_grad_norm_(weights, settings.max_grad_norm))
    require_finite("gradient norm", norm, number, rate, settings)
    for parameters in optimiser.param_groups:
        parameters["lr"] = rate
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return Step(number, total, norm, rate, sum(len(row.ids) for batch in group for row in batch))


def _validate(
    model: Any,
    rows: list[PackedRow],
    step: int,
    progress: Progress,
    settings: AdapterSettings,
) -> None:
    """Measure, and keep the weights if they are the best so far; the untrained never are kept."""
    loss = validation_loss(model, rows) if rows else None
    if loss is not None:
        require_finite("validation loss", loss, step, settings.learning_rate, settings)
        _LOG.info("Step %d: validation loss %.4f nats a token", step, loss)
        best = min((one.loss for one in progress.validations if one.step), default=math.inf)
        progress.validations.append(Validation(step, loss))
    if step and (loss is None or loss < best):
        progress.best_step = step
        progress.weights = {
            name: weight.detach().clone() for name, weight in trainable(model).items()
        }


def validation_loss(model: Any, rows: Sequence[PackedRow]) -> float:
    """Mean loss of all targets in the rows, in nats."""
    import torch

    model.eval()
    with torch.no_grad():
        losses = [supervised_losses(model, [row]).double().sum() for row in rows]
    return float(torch.stack(losses).sum()) / sum(row.supervised for row in rows)


def trainable(model: Any) -> dict[str, "torch.Tensor"]:
    """The weights that are trained, by parameter name: the adapter's."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
