"""A small neural network: residual block on the embedding, and a vector per master.

A task becomes (at most) 512 numbers: what the frozen encoder pools, projected on its principal
components, plus a residual block with a bottleneck, at length 1. The scaled cosine to each
master's vector, plus a bias, is the logit of that master.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex_pipelines.embeddings.encoder import Floats
from cortex_pipelines.routing.features.features import Doubles, Features
from cortex_pipelines.routing.models.base import TrainingData
from cortex_pipelines.routing.models.softmax import log_softmax

_BOTTLENECK = 256
_MINIBATCH = 128
_SMOOTHING = 0.05
"""Label smoothing (Szegedy and others, 2016, use 0.1)."""

_UNSEEN = -12.0
"""Initial logit of a master without tasks."""


@dataclass(frozen=True)
class NeuralSettings:
    """Hyperparameters that the search chooses.

    Args:
        learning_rate: Highest step of AdamW; it falls to 0 along a cosine.
        weight_decay: Decoupled weight decay of AdamW.
        dropout: Share of the inputs that is left out at random while training.
    """

    learning_rate: float
    weight_decay: float
    dropout: float


class Neural:
    """A trained candidate: neural network with a numpy forward pass.

    Args:
        arrays: ``inward`` (dimensions, 256) and ``inward_bias``, ``outward`` (256, dimensions),
            ``masters`` (masters, dimensions), ``bias`` (masters,) and ``scale`` (1,).
    """

    def __init__(self, arrays: Mapping[str, Floats]) -> None:
        self._arrays = dict(arrays)

    @classmethod
    def fit(
        cls, training: TrainingData, chosen: NeuralSettings, watch: "Watch | None" = None
    ) -> "Neural":
        """Train it; deterministic for the same tasks, settings and seed.

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
        arrays = self._arrays
        logits = arrays["scale"] * (self._embed(features) @ arrays["masters"].T) + arrays["bias"]
        return log_softmax(logits.astype(np.float64))

    def arrays(self) -> Mapping[str, Floats]:
        """See ``CandidateModel``."""
        return self._arrays

    @classmethod
    def restore(cls, arrays: Mapping[str, Floats]) -> "Neural":
        """Rebuild from ``arrays``."""
        return cls(arrays)

    def _embed(self, features: Features) -> Floats:
        arrays = self._arrays
        hidden = np.maximum(features.projected @ arrays["inward"] + arrays["inward_bias"], 0.0)
        mixed = features.projected + hidden @ arrays["outward"]
        length = np.linalg.norm(mixed, axis=1, keepdims=True)
        normalized: Floats = mixed / np.maximum(length, 1e-6)
        return normalized


Watch = Callable[[int, Neural], None]


def _trained(
    training: TrainingData, chosen: NeuralSettings, watch: Watch | None
) -> dict[str, Floats]:
    import torch

    inputs = torch.tensor(training.features.projected)
    labels, weights = torch.tensor(training.labels), torch.tensor(training.weights)
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
            loss = _loss(parts, inputs[places], labels[places], weights[places], chosen.dropout)
            loss.backward()
            optimiser.step()
            schedule.step()
        if watch is not None:
            watch(epoch, Neural(_finished(parts)))
    return _finished(parts)


_DECAYED = ("inward", "outward", "masters")


def _first_weights(inputs: Any, labels: Any, masters: int) -> dict[str, Any]:
    """Initial weights: zero residual, and each master at the mean of its tasks."""
    import torch

    width = inputs.shape[1]
    sums = torch.zeros(masters, width).index_add_(0, labels, inputs)
    return {
        name: value.requires_grad_(True)
        for name, value in {
            "inward": torch.randn(width, _BOTTLENECK) * (2.0 / width) ** 0.5,
            "inward_bias": torch.zeros(_BOTTLENECK),
            "outward": torch.zeros(_BOTTLENECK, width),
            "masters": torch.nn.functional.normalize(sums, dim=1),
            "bias": torch.where(torch.bincount(labels, minlength=masters) > 0, 0.0, _UNSEEN),
            "scale": torch.tensor([8.0]),
        }.items()
    }


def _loss(parts: dict[str, Any], inputs: Any, labels: Any, weights: Any, dropout: float) -> Any:
    import torch

    functional = torch.nn.functional
    kept = functional.dropout(inputs, dropout)
    hidden = functional.dropout(torch.relu(kept @ parts["inward"] + parts["inward_bias"]), dropout)
    tasks = functional.normalize(kept + hidden @ parts["outward"], dim=1)
    logits = parts["scale"] * (tasks @ parts["masters"].T) + parts["bias"]
    losses = functional.cross_entropy(logits, labels, reduction="none", label_smoothing=_SMOOTHING)
    return (losses * weights).sum() / weights.sum()


def _finished(parts: dict[str, Any]) -> dict[str, Floats]:
    return {name: value.detach().numpy().copy() for name, value in parts.items()}
