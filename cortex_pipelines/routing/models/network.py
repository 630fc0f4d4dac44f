"""A small neural network: residual block on the embedding, and a vector per master.

A task becomes (at most) 512 numbers: what the frozen encoder pools, projected on its principal
components, plus a residual block with a bottleneck, at length 1. The scaled cosine to each
master's vector, plus a bias, is the logit of that master.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex_pipelines.embeddings.encoder import Floats
from cortex_pipelines.routing.features import Doubles, Features
from cortex_pipelines.routing.models.base import LearntArrays, TrainingData
from cortex_pipelines.routing.models.linear import log_softmax

_BOTTLENECK = 256
_MINIBATCH = 128
_SMOOTHING = 0.05  # label smoothing (Szegedy and others, 2016, use 0.1)
_UNSEEN = -12.0  # initial logit of a master without tasks
_DECAYED = ("inward", "outward", "masters")


@dataclass(frozen=True)
class NeuralSettings:
    """Hyperparameters that the search chooses, of AdamW with a cosine schedule."""

    learning_rate: float
    weight_decay: float
    dropout: float


@dataclass(frozen=True)
class NeuralClassifier(LearntArrays):
    """Neural network with a numpy forward pass.

    Shapes: ``inward`` (dimensions, 256), ``outward`` (256, dimensions), ``masters`` (masters, dimensions), ``bias``
    (masters,) and ``scale`` (1,).
    """

    inward: Floats
    inward_bias: Floats
    outward: Floats
    masters: Floats
    bias: Floats
    scale: Floats

    @classmethod
    def fit(
        cls,
        training: TrainingData,
        hyperparameters: NeuralSettings,
        on_epoch: Callable[[int, "NeuralClassifier"], None] | None = None,
    ) -> "NeuralClassifier":
        """Deterministic for the same tasks, settings and seed."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.settings.seed)
            inputs = torch.tensor(training.features.projected)
            labels, weights = torch.tensor(training.labels), torch.tensor(training.weights)
            values = _first_weights(inputs, labels, training.masters)
            decayed = [values[name] for name in _DECAYED]
            undecayed = [value for name, value in values.items() if name not in _DECAYED]
            optimiser = torch.optim.AdamW(
                [
                    {"params": decayed, "weight_decay": hyperparameters.weight_decay},
                    {"params": undecayed, "weight_decay": 0.0},
                ],
                lr=hyperparameters.learning_rate,
            )
            size = min(_MINIBATCH, len(training.labels))
            total = training.settings.epochs * -(-len(training.labels) // size)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, total)

            def classifier() -> "NeuralClassifier":
                return cls(**{name: value.detach().numpy().copy() for name, value in values.items()})

            for epoch in range(1, training.settings.epochs + 1):
                for batch in torch.split(torch.randperm(len(training.labels)), size):
                    optimiser.zero_grad()
                    loss = _loss(values, inputs[batch], labels[batch], weights[batch], hyperparameters.dropout)
                    loss.backward()
                    optimiser.step()
                    schedule.step()
                if on_epoch is not None:
                    on_epoch(epoch, classifier())
            return classifier()

    def scores(self, features: Features) -> Doubles:
        hidden = np.maximum(features.projected @ self.inward + self.inward_bias, 0.0)
        mixed = features.projected + hidden @ self.outward
        tasks = mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-6)
        return log_softmax((self.scale * (tasks @ self.masters.T) + self.bias).astype(np.float64))


def _first_weights(inputs: Any, labels: Any, masters: int) -> dict[str, Any]:
    """Initial weights: zero residual, and each master at the mean of its tasks."""
    import torch

    width = inputs.shape[1]
    sums = torch.zeros(masters, width).index_add_(0, labels, inputs)
    values = {
        "inward": torch.randn(width, _BOTTLENECK) * (2.0 / width) ** 0.5,
        "inward_bias": torch.zeros(_BOTTLENECK),
        "outward": torch.zeros(_BOTTLENECK, width),
        "masters": torch.nn.functional.normalize(sums, dim=1),
        "bias": torch.where(torch.bincount(labels, minlength=masters) > 0, 0.0, _UNSEEN),
        "scale": torch.tensor([8.0]),
    }
    return {name: value.requires_grad_(True) for name, value in values.items()}


def _loss(tensors: dict[str, Any], inputs: Any, labels: Any, weights: Any, dropout: float) -> Any:
    import torch

    functional = torch.nn.functional
    dropped = functional.dropout(inputs, dropout)
    hidden = functional.dropout(torch.relu(dropped @ tensors["inward"] + tensors["inward_bias"]), dropout)
    tasks = functional.normalize(dropped + hidden @ tensors["outward"], dim=1)
    logits = tensors["scale"] * (tasks @ tensors["masters"].T) + tensors["bias"]
    losses = functional.cross_entropy(logits, labels, reduction="none", label_smoothing=_SMOOTHING)
    return (losses * weights).sum() / weights.sum()
