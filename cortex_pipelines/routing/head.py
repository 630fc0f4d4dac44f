"""The head on the frozen encoder: from a task's embedding to a probability for each master."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cortex_pipelines.routing.encoder import Floats

if TYPE_CHECKING:
    import torch

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_TEMPERATURES = (0.05, 20.0)
"""Where the temperature is looked for. A validation set without a mistake would have it 0."""


@dataclass(frozen=True)
class HeadSettings:
    """What the search chooses.

    Args:
        hidden: Width of the hidden layer; 0 for a linear head.
        learning_rate: Step of AdamW.
        weight_decay: Decoupled weight decay of AdamW.
    """

    hidden: int
    learning_rate: float
    weight_decay: float


@dataclass(frozen=True)
class Examples:
    """Tasks as the head sees them.

    Args:
        embeddings: Shape (tasks, dimensions).
        labels: Number of each task's master, shape (tasks,).
        weights: Weight of each task, shape (tasks,).
    """

    embeddings: Floats
    labels: Indices
    weights: Floats


@dataclass(frozen=True)
class Head:
    """A trained head.

    Args:
        layers: Weight (out, in) and bias (out,) of each linear layer; ReLU between them.
        temperature: What the logits are divided by, so that probabilities mean what they say.
    """

    layers: tuple[tuple[Floats, Floats], ...]
    temperature: float = 1.0

    def logits(self, embeddings: Floats) -> Doubles:
        """Logits before the temperature, shape (tasks, masters)."""
        values = embeddings.astype(np.float64)
        for number, (weight, bias) in enumerate(self.layers):
            # einsum, not BLAS: a task's logits must not depend on how many are asked for at once
            values = np.einsum("td,md->tm", values, weight.astype(np.float64)) + bias
            if number + 1 < len(self.layers):
                values = np.maximum(values, 0.0)
        return values

    def probabilities(self, embeddings: Floats) -> Doubles:
        """Calibrated probabilities, shape (tasks, masters), rows adding up to 1."""
        return np.exp(_log_softmax(self.logits(embeddings) / self.temperature))

    def loss(self, examples: Examples) -> float:
        """Weighted mean negative log-likelihood of the right masters."""
        return _loss(self.logits(examples.embeddings) / self.temperature, examples)


def train_head(
    examples: Examples, masters: int, settings: HeadSettings, epochs: int, seed: int
) -> Head:
    """Train a head with AdamW, all tasks in one batch; same inputs and seed, same head.

    Args:
        examples: Training tasks.
        masters: Number of masters.
        settings: Shape of the head and of its optimisation.
        epochs: Number of steps.
        seed: Seed of the first weights.
    """
    import torch

    model = _new_model(examples.embeddings.shape[1], settings.hidden, masters, seed)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    inputs, labels, weights = (
        torch.tensor(array) for array in (examples.embeddings, examples.labels, examples.weights)
    )
    for _ in range(epochs):
        optimiser.zero_grad()
        losses = torch.nn.functional.cross_entropy(model(inputs), labels, reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return Head(_layers_of(model))


def calibrated(head: Head, examples: Examples) -> Head:
    """The head with the temperature at which the examples are most likely.

    Temperature scaling (Guo and others, 2017): one number, so few examples suffice, and the order
    of the masters stays. The likelihood has one maximum in it, so a golden-section search finds it.
    """
    logits = head.logits(examples.embeddings)

    def loss(log_temperature: float) -> float:
        return _loss(logits / np.exp(log_temperature), examples)

    low, high = (float(np.log(limit)) for limit in _TEMPERATURES)
    ratio = (5**0.5 - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) <= loss(right) else (left, high)
    return Head(head.layers, float(np.exp((low + high) / 2)))


def save_head(head: Head, path: Path) -> None:
    """Write the layers as safetensors; the temperature stands in the configuration beside it."""
    from safetensors.numpy import save_file

    tensors = {}
    for number, (weight, bias) in enumerate(head.layers):
        tensors[f"{number}.weight"] = np.ascontiguousarray(weight)
        tensors[f"{number}.bias"] = np.ascontiguousarray(bias)
    save_file(tensors, path)


def load_head(path: Path, temperature: float) -> Head:
    """A head as ``save_head`` wrote it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error
    numbers = range(len(tensors) // 2)
    wanted = {f"{number}.{part}" for number in numbers for part in ("weight", "bias")}
    if not tensors or wanted != set(tensors):
        raise ValueError(f"{path} holds no router's head but {', '.join(sorted(tensors))}")
    layers = tuple((tensors[f"{n}.weight"], tensors[f"{n}.bias"]) for n in numbers)
    return Head(layers, temperature)


def _new_model(width: int, hidden: int, masters: int, seed: int) -> "torch.nn.Sequential":
    import torch

    sizes = [width, *([hidden] if hidden else []), masters]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts: list[Any] = []
        for before, after in pairwise(sizes):
            parts += [torch.nn.Linear(before, after), torch.nn.ReLU()]
        return torch.nn.Sequential(*parts[:-1])


def _layers_of(model: "torch.nn.Sequential") -> tuple[tuple[Floats, Floats], ...]:
    arrays: Sequence[Floats] = [value.detach().numpy().copy() for value in model.parameters()]
    return tuple(zip(arrays[::2], arrays[1::2], strict=True))


def _log_softmax(logits: Doubles) -> Doubles:
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: Doubles = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def _loss(logits: Doubles, examples: Examples) -> float:
    right = _log_softmax(logits)[np.arange(len(examples.labels)), examples.labels]
    weights = examples.weights.astype(np.float64)
    return float(-(right * weights).sum() / weights.sum())
