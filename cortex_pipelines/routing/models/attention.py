"""The torch router: attention between a task and the masters with their records.

A task becomes (at most) 512 numbers: what the frozen encoder pools, projected on its principal
components, plus a residual block with a bottleneck. A
master is a vector of its own plus what its record says (how many tasks it had, what share of them
was borne out, their weight); the attention of the task to the masters is the decision. A second
head looks at the task and at what the attention gathered, detached, and says whether the decision
will be right.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex_pipelines.routing.features.encoder import Floats
from cortex_pipelines.routing.features.features import Doubles, Features, Indices
from cortex_pipelines.routing.models.base import TrainingData
from cortex_pipelines.routing.models.softmax import log_softmax

_BOTTLENECK = 256
_MINIBATCH = 128
_SMOOTHING = 0.05
"""Share of the label that is spread over all masters (Szegedy and others, 2016, have 0.1)."""

_CONFIDENCE_SHARE = 0.1
"""Weight of the confidence head's loss beside that of the decision."""


@dataclass(frozen=True)
class NeuralSettings:
    """What the search chooses.

    Args:
        learning_rate: Highest step of AdamW; it falls to 0 along a cosine.
        weight_decay: Decoupled weight decay of AdamW.
        dropout: Share of the inputs that is left out at random while training.
    """

    learning_rate: float
    weight_decay: float
    dropout: float


class Neural:
    """A trained candidate; its forward pass is numpy, so that a decision needs no torch graph.

    Args:
        arrays: ``inward`` (dimensions, 256) and ``inward_bias``, ``outward`` (256, dimensions),
            ``masters`` (masters, dimensions) with the records added, ``bias`` (masters,),
            ``scale`` (1,), ``sure`` (2 x dimensions,) and ``sure_bias`` (1,).
    """

    def __init__(self, arrays: Mapping[str, Floats]) -> None:
        self._arrays = dict(arrays)

    @classmethod
    def fit(
        cls, training: TrainingData, chosen: NeuralSettings, watch: "Watch | None" = None
    ) -> "Neural":
        """Train one; same lesson, settings and seed, same weights.

        Args:
            training: What it learns from.
            chosen: What the search chose, or tries.
            watch: Gets the number of each pass, from 1, and the candidate as it is then.
        """
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.settings.seed)
            return cls(_trained(training, chosen, watch))

    def scores(self, features: Features) -> Doubles:
        """See ``CandidateModel``."""
        return log_softmax(self._attention(self._embed(features)))

    def sure(self, features: Features) -> Doubles:
        """What the confidence head says: logit that the decision is right, shape (tasks,)."""
        arrays, tasks = self._arrays, self._embed(features)
        shares = np.exp(log_softmax(self._attention(tasks)))
        gathered = np.concatenate([tasks, shares.astype(np.float32) @ arrays["masters"]], axis=1)
        found: Doubles = (gathered @ arrays["sure"] + arrays["sure_bias"]).astype(np.float64)
        return found

    def arrays(self) -> Mapping[str, Floats]:
        """See ``CandidateModel``."""
        return self._arrays

    @classmethod
    def restore(cls, arrays: Mapping[str, Floats]) -> "Neural":
        """Of what ``arrays`` gave."""
        return cls(arrays)

    def _embed(self, features: Features) -> Floats:
        arrays = self._arrays
        hidden = np.maximum(features.projected @ arrays["inward"] + arrays["inward_bias"], 0.0)
        mixed = features.projected + hidden @ arrays["outward"]
        length = np.linalg.norm(mixed, axis=1, keepdims=True)
        found: Floats = mixed / np.maximum(length, 1e-6)
        return found

    def _attention(self, tasks: Floats) -> Doubles:
        arrays = self._arrays
        keys = arrays["masters"]
        logits = arrays["scale"] * (tasks @ keys.T) + arrays["bias"]
        return logits.astype(np.float64)


def records(labels: Indices, weights: Floats, masters: int) -> Floats:
    """Each master's record, shape (masters, 3): log share of tasks, share borne out, weight."""
    counts = np.bincount(labels, minlength=masters).astype(np.float64)
    borne_out = np.bincount(labels, weights=weights >= 1.0, minlength=masters)
    total = np.bincount(labels, weights=weights, minlength=masters)
    shown = np.maximum(counts, 1.0)
    columns = [np.log((counts + 1) / (counts.sum() + masters)), borne_out / shown, total / shown]
    return np.stack(columns, axis=1).astype(np.float32)


Watch = Callable[[int, Neural], None]


def _trained(
    training: TrainingData, chosen: NeuralSettings, watch: Watch | None
) -> dict[str, Floats]:
    import torch

    inputs = torch.tensor(training.features.projected)
    labels, weights = torch.tensor(training.labels), torch.tensor(training.weights)
    record = torch.tensor(records(training.labels, training.weights, training.masters))
    parts = _first_weights(inputs, labels, training.masters)
    matrices = [parts[name] for name in _DECAYED]
    others = [value for name, value in parts.items() if name not in _DECAYED]
    optimiser = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": chosen.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=chosen.learning_rate,
    )
    size = min(_MINIBATCH, len(training.labels))
    total = training.settings.epochs * -(-len(training.labels) // size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, total)
    for epoch in range(1, training.settings.epochs + 1):
        for places in torch.split(torch.randperm(len(training.labels)), size):
            optimiser.zero_grad()
            loss = _loss(
                parts, inputs[places], labels[places], weights[places], record, chosen.dropout
            )
            loss.backward()
            optimiser.step()
            schedule.step()
        if watch is not None:
            watch(epoch, Neural(_finished(parts, record)))
    return _finished(parts, record)


_DECAYED = ("inward", "outward", "keys", "record")


def _first_weights(inputs: Any, labels: Any, masters: int) -> dict[str, Any]:
    """Weights to begin with: no residual, and each master where its tasks are on average."""
    import torch

    width = inputs.shape[1]
    sums = torch.zeros(masters, width).index_add_(0, labels, inputs)
    return {
        name: value.requires_grad_(True)
        for name, value in {
            "inward": torch.randn(width, _BOTTLENECK) * (2.0 / width) ** 0.5,
            "inward_bias": torch.zeros(_BOTTLENECK),
            "outward": torch.zeros(_BOTTLENECK, width),
            "keys": torch.nn.functional.normalize(sums, dim=1),
            "record": torch.randn(3, width) * 0.01,
            "bias": torch.zeros(masters),
            "scale": torch.tensor([8.0]),
            "sure": torch.zeros(2 * width),
            "sure_bias": torch.zeros(1),
        }.items()
    }


def _loss(
    parts: dict[str, Any], inputs: Any, labels: Any, weights: Any, record: Any, dropout: float
) -> Any:
    import torch

    functional = torch.nn.functional
    kept = functional.dropout(inputs, dropout)
    hidden = functional.dropout(torch.relu(kept @ parts["inward"] + parts["inward_bias"]), dropout)
    tasks = functional.normalize(kept + hidden @ parts["outward"], dim=1)
    masters = parts["keys"] + record @ parts["record"]
    logits = parts["scale"] * (tasks @ masters.T) + parts["bias"]
    losses = functional.cross_entropy(logits, labels, reduction="none", label_smoothing=_SMOOTHING)
    gathered = torch.cat([tasks, torch.softmax(logits, dim=1) @ masters], dim=1).detach()
    sure = gathered @ parts["sure"] + parts["sure_bias"]
    right = (logits.argmax(dim=1) == labels).float()
    doubts = functional.binary_cross_entropy_with_logits(sure, right, reduction="none")
    return ((losses + _CONFIDENCE_SHARE * doubts) * weights).sum() / weights.sum()


def _finished(parts: dict[str, Any], record: Any) -> dict[str, Floats]:
    kept = {name: value.detach() for name, value in parts.items() if name not in ("keys", "record")}
    kept["masters"] = (parts["keys"] + record @ parts["record"]).detach()
    return {name: value.numpy().copy() for name, value in kept.items()}
