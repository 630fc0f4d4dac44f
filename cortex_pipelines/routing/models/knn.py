"""k-nearest neighbours among past tasks; also the evidence of every decision."""

import sys
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from cortex_pipelines.embeddings.encoder import Floats
from cortex_pipelines.routing.features import Doubles, Features, Indices
from cortex_pipelines.routing.models.base import TrainingData

_SHARPNESS = 20.0
"""Inverse temperature of the votes, as for kNN on contrastive embeddings (1/0.05 in sentence-transformers' losses)."""

_DOUBT = 1e-3  # share of the votes spread evenly over all masters
_FEW_TASKS, _MANY_VECTORS, _EXTRA_CANDIDATES = 8, 2_000, 64
"""Up to so many tasks are first looked up by bytes, where there are so many to choose from; so many
more than wanted are then compared exactly. On Banking77 an eighth of that missed none."""


class KnnClassifier:
    """k-nearest neighbours; ``vectors`` of shape (tasks, width), rows of length 1."""

    def __init__(self, vectors: Floats, labels: Indices, weights: Floats, masters: int, neighbours: int) -> None:
        self._vectors, self._labels, self._weights = vectors, labels, weights
        self._masters, self._neighbours = masters, neighbours

    @classmethod
    def fit(cls, training: TrainingData) -> "KnnClassifier":
        vectors, masters = training.features.sentence, training.masters
        return cls(vectors, training.labels, training.weights, masters, training.settings.neighbours)

    def nearest(self, features: Features, count: int) -> tuple[Indices, Floats]:
        """Indices and cosines of the nearest tasks, best first; shape (tasks, at most count)."""
        many = len(features) > _FEW_TASKS or len(self._vectors) < _MANY_VECTORS or "torch" not in sys.modules
        if many or count + _EXTRA_CANDIDATES > len(self._vectors):
            return nearest(features.sentence @ self._vectors.T, count)
        import torch

        # all past tasks are read for each decision, and what is read decides how long it takes: by int8 first
        scale = np.abs(features.sentence).max(axis=1, keepdims=True)
        quantised = torch.from_numpy(_in_bytes(features.sentence, np.maximum(scale, 1e-12)))
        top = torch.topk(torch._int_mm(quantised, self._quantised), count + _EXTRA_CANDIDATES, dim=1, sorted=False)
        neighbours: Indices = np.sort(top.indices.numpy(), axis=1)
        cosines = np.matmul(self._vectors[neighbours], features.sentence[:, :, None])[:, :, 0]
        order, values = nearest(cosines, count)
        return np.take_along_axis(neighbours, order, axis=1), values

    @cached_property
    def _quantised(self) -> Any:
        import torch

        scale = np.maximum(np.abs(self._vectors).max(), 1e-12)
        return torch.from_numpy(_in_bytes(self._vectors, scale)).T

    def scores(self, features: Features) -> Doubles:
        return self.votes(*self.nearest(features, self._neighbours))

    def votes(self, neighbours: Indices, cosines: Floats) -> Doubles:
        neighbours, cosines = neighbours[:, : self._neighbours], cosines[:, : self._neighbours]
        votes = np.exp(_SHARPNESS * (cosines.astype(np.float64) - 1.0)) * self._weights[neighbours]
        shares = np.zeros((len(neighbours), self._masters))
        rows = np.repeat(np.arange(len(neighbours)), neighbours.shape[1])
        np.add.at(shares, (rows, self._labels[neighbours].ravel()), votes.ravel())
        shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
        return np.asarray(np.log(shares * (1 - _DOUBT) + _DOUBT / self._masters))

    def arrays(self) -> Mapping[str, Floats]:
        return {"vectors": self._vectors, "labels": self._labels.astype(np.float32), "weights": self._weights}

    @classmethod
    def restore(cls, arrays: Mapping[str, Floats], masters: int, neighbours: int) -> "KnnClassifier":
        labels = arrays["labels"].astype(np.int64)
        return cls(arrays["vectors"], labels, arrays["weights"], masters, neighbours)


def _in_bytes(values: Floats, scale: Any) -> Any:
    return np.rint(values * (127.0 / scale)).astype(np.int8)


def nearest(cosines: Floats, count: int) -> tuple[Indices, Floats]:
    """Indices and values of each row's largest cosines, best first; ties by index."""
    if len(cosines) <= _FEW_TASKS:  # soon done, and torch is slow to import
        count = min(count, cosines.shape[1])
        order = np.zeros((len(cosines), count), dtype=np.int64)
        for row, values in enumerate(cosines if count else ()):
            among = np.flatnonzero(
                values >= np.partition(values, -count)[-count]
            )  # a full sort takes ten times as long
            order[row] = among[np.argsort(-values[among], kind="stable")[:count]]
        return order, np.take_along_axis(cosines, order, axis=1)
    import torch

    best = torch.topk(torch.from_numpy(cosines), min(count, cosines.shape[1]), dim=1)
    values, indices = best.values.numpy(), best.indices.numpy()
    order = np.lexsort((indices, -values), axis=1)
    return np.take_along_axis(indices, order, axis=1), np.take_along_axis(values, order, axis=1)
