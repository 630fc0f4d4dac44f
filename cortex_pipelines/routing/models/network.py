"""A small network of several heads: the master of a task, and what it comes to there.

A task becomes (at most) 512 numbers: what the frozen encoder pools, projected on its principal components, plus a
residual block with a bottleneck, at length 1. The scaled cosine to each master's vector, plus a bias, is the logit of
that master. The task attends to the master's latest outcomes as they were known when it was decided; with the match
and the task itself they give success and quantiles of seconds and tokens. What the outcomes change of the logarithm of
success is added to that of the master, with a weight: without outcomes it is the network without these heads, bit for
bit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from cortex_pipelines.embeddings.encoder import Floats
from cortex_pipelines.routing.features import Doubles, Features, Indices
from cortex_pipelines.routing.models.base import TrainingData
from cortex_pipelines.routing.models.history import WIDTH, History
from cortex_pipelines.routing.models.linear import log_softmax
from cortex_pipelines.routing.outcomes.training import conformal_reach, platt

_BOTTLENECK = 256
_MINIBATCH = 128
_SMOOTHING = 0.05  # label smoothing (Szegedy and others, 2016, use 0.1)
_UNSEEN = -12.0  # initial logit of a master without tasks
_ATTENTION, _SHARPNESS = 16, 5.0
"""Width of the attention, and the largest logit of a weight, which bounds it."""
_BLIND = 0.2  # share of the attempts that are learnt without outcomes before them
_MOST_ATTEMPTS = 4_000  # the latest are learnt from
QUANTILES = (0.1, 0.5, 0.9)
_UNCALIBRATED = (1.0, 0.0, 0.0, 0.0)
_LEAST_SLOPE = 0.3  # of the log-odds of success by the log-probability that the task is the master's
_CHUNK = 256  # tasks scored together, so that their contexts fit memory
_PLAIN = ("inward", "inward_bias", "outward", "masters", "bias", "scale")
_DECAYED = ("inward", "outward", "masters", "query", "of_task")
_QUICK, _QUICKER = ("key", "value", "of_context", "of_match", "of_master"), 10.0
"""Weights that begin at nothing and are few: they learn so much faster."""


@dataclass(frozen=True)
class NeuralSettings:
    """Hyperparameters that the search chooses, of AdamW with a cosine schedule."""

    learning_rate: float
    weight_decay: float
    dropout: float


@dataclass(frozen=True)
class JointNetwork:
    """Network with a numpy forward pass.

    Shapes of the plain ``weights``: ``inward`` (dimensions, 256), ``outward`` (256, dimensions), ``masters`` (masters,
    dimensions), ``bias`` (masters,) and ``scale`` (1,). Where it learnt from outcomes: ``query`` (dimensions, 16),
    ``key`` and ``value`` (6, 16), and what gives the outcomes, of the context (16, 7), the task (dimensions, 7), the
    match (7,) and each master (masters, 7): log-odds of success, and median, lower and upper distance of the logarithms
    of seconds and of tokens.
    """

    weights: Mapping[str, Floats]
    history: History

    @classmethod
    def fit(
        cls,
        training: TrainingData,
        hyperparameters: NeuralSettings,
        on_epoch: Callable[[int, "JointNetwork"], None] | None = None,
    ) -> "JointNetwork":
        """Deterministic for the same tasks, settings and seed."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.settings.seed)
            inputs = torch.tensor(training.features.projected)
            labels, weights = torch.tensor(training.labels), torch.tensor(training.weights)
            values = _first_weights(inputs, labels, training.masters)
            outcomes = _Outcomes(training, values) if training.attempts is not None else None
            decayed = [value for name, value in values.items() if name in _DECAYED]
            undecayed = [value for name, value in values.items() if name not in (*_DECAYED, *_QUICK)]
            groups = [
                {"params": decayed, "weight_decay": hyperparameters.weight_decay},
                {"params": undecayed, "weight_decay": 0.0},
            ]
            if outcomes:
                rate = _QUICKER * hyperparameters.learning_rate
                groups.append({"params": [values[name] for name in _QUICK], "weight_decay": 0.0, "lr": rate})
            optimiser = torch.optim.AdamW(groups, lr=hyperparameters.learning_rate)
            size = min(_MINIBATCH, len(training.labels))
            batches = -(-len(training.labels) // size)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, training.settings.epochs * batches)

            def network() -> "JointNetwork":
                return cls({name: value.detach().numpy().copy() for name, value in values.items()}, training.history)

            for epoch in range(1, training.settings.epochs + 1):
                attempts = iter(outcomes.batches(batches) if outcomes else ())
                for batch in torch.split(torch.randperm(len(training.labels)), size):
                    optimiser.zero_grad()
                    loss = _loss(values, inputs[batch], labels[batch], weights[batch], hyperparameters.dropout)
                    if outcomes:
                        loss = loss + outcomes.loss(next(attempts), hyperparameters.dropout)
                    loss.backward()
                    optimiser.step()
                    schedule.step()
                if on_epoch is not None:
                    on_epoch(epoch, network())
            return network()

    def scores(self, features: Features) -> Doubles:
        tasks = self._tasks(features)
        logs = self._belongs(tasks)
        if not self._reads_outcomes:
            return logs
        changes, masters = np.zeros_like(logs), logs.shape[1]
        for start in range(0, len(tasks), _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, len(tasks)))
            pairs, numbers = np.repeat(rows, masters), np.tile(np.arange(masters), len(rows))
            matches, asked = logs[rows].ravel().astype(np.float32), features.asked[pairs]
            after, usual = (
                self._outcomes(tasks[pairs], matches, numbers, times)[:, 0]
                for times in (asked, np.full_like(asked, np.nan))
            )
            changes[rows] = (after - usual).reshape(len(rows), masters)
        return log_softmax(logs + changes / max(float(self.weights["of_match"][0]), _LEAST_SLOPE))

    def outcomes(self, features: Features, masters: Indices) -> Doubles:
        """At one master each, shape (tasks, 7): log-odds of success, and 10, 50 and 90 % of logs of seconds and tokens.

        Empty without outcomes to learn from.
        """
        if not self._reads_outcomes:
            return np.zeros((0, 7))
        tasks = self._tasks(features)
        matches = self._belongs(tasks)[np.arange(len(tasks)), masters].astype(np.float32)
        raw = self._outcomes(tasks, matches, masters, features.asked).astype(np.float64)
        heads = np.column_stack([raw[:, :1], *(_quantiles(raw[:, first : first + 3], np) for first in (1, 4))])
        slope, shift, *reaches = self.weights.get("calibration", _UNCALIBRATED)
        heads[:, 0] = slope * heads[:, 0] + shift
        for reach, (low, high) in zip(reaches, ((1, 3), (4, 6)), strict=True):
            heads[:, low], heads[:, high] = heads[:, low] - reach, heads[:, high] + reach
        return heads

    def calibrated(self, out_of_fold: Doubles, outcomes: Doubles) -> "JointNetwork":
        """By ``outcomes`` of attempts, and what networks that had not seen them said of these.

        Log-odds as Platt does; the intervals by the quantile of how far outcomes lie outside (Romano and others 2019).
        """
        values = [1.0, 0.0, 0.0, 0.0]
        known = ~np.isnan(outcomes)
        if len(set(outcomes[known[:, 0], 0])) > 1:
            values[:2] = platt(out_of_fold[known[:, 0], 0], outcomes[known[:, 0], 0])
        for column, (low, high) in ((1, (1, 3)), (2, (4, 6))):
            heads, actual = out_of_fold[known[:, column]], outcomes[known[:, column], column]
            if len(actual):
                outside = np.maximum(heads[:, low] - actual, actual - heads[:, high])
                values[column + 1] = conformal_reach(outside, QUANTILES[2] - QUANTILES[0])
        return replace(self, weights={**self.weights, "calibration": np.array(values, dtype=np.float32)})

    def with_history(self, history: History) -> "JointNetwork":
        """The same weights, with what has become known since."""
        return replace(self, history=history)

    def arrays(self) -> Mapping[str, Floats]:
        return {**self.weights, **{f"history.{name}": each for name, each in self.history.arrays().items()}}

    @classmethod
    def restore(cls, arrays: Mapping[str, Floats]) -> Self:
        history = {name.removeprefix("history."): each for name, each in arrays.items() if name.startswith("history.")}
        weights = {name: each for name, each in arrays.items() if not name.startswith("history.")}
        if missing := set(_PLAIN) - set(weights):
            raise KeyError(min(missing))
        return cls(weights, History.restore(history))

    @property
    def _reads_outcomes(self) -> bool:
        return "query" in self.weights

    def _tasks(self, features: Features) -> Floats:
        hidden = np.maximum(features.projected @ self.weights["inward"] + self.weights["inward_bias"], 0.0)
        mixed: Floats = features.projected + hidden @ self.weights["outward"]
        return np.asarray(mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-6))

    def _belongs(self, tasks: Floats) -> Doubles:
        logits = self.weights["scale"] * (tasks @ self.weights["masters"].T) + self.weights["bias"]
        return log_softmax(logits.astype(np.float64))

    def _outcomes(self, tasks: Floats, matches: Floats, masters: Indices, asked: Doubles) -> Floats:
        before = self.history.before(asked, masters)
        raw: Floats = _outcome_heads(self.weights, tasks, matches, masters, *before, np)
        return raw


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


def _task_vectors(tensors: Mapping[str, Any], inputs: Any, dropout: float) -> Any:
    import torch

    functional = torch.nn.functional
    dropped = functional.dropout(inputs, dropout)
    hidden = functional.dropout(torch.relu(dropped @ tensors["inward"] + tensors["inward_bias"]), dropout)
    return functional.normalize(dropped + hidden @ tensors["outward"], dim=1)


def _logits(tensors: Mapping[str, Any], tasks: Any) -> Any:
    return tensors["scale"] * (tasks @ tensors["masters"].T) + tensors["bias"]


def _loss(tensors: dict[str, Any], inputs: Any, labels: Any, weights: Any, dropout: float) -> Any:
    import torch

    logits = _logits(tensors, _task_vectors(tensors, inputs, dropout))
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none", label_smoothing=_SMOOTHING)
    return (losses * weights).sum() / weights.sum()


def _outcome_heads(
    weights: Mapping[str, Any], tasks: Any, matches: Any, masters: Any, before: Any, counted: Any, xp: Any
) -> Any:
    """Outcomes of tasks at one master each, shape (tasks, 7); ``xp`` is numpy or torch, as the arrays are."""
    keys, seen = before @ weights["key"], xp.tanh(before @ weights["value"])
    fits = (keys * (tasks @ weights["query"])[:, None, :]).sum(-1)
    attention = xp.exp(_SHARPNESS * xp.tanh(fits)) * counted
    context = (attention[:, :, None] * seen).sum(1) / attention.sum(1)[:, None]
    match = matches[:, None] * weights["of_match"]
    return context @ weights["of_context"] + tasks @ weights["of_task"] + match + weights["of_master"][masters]


def _quantiles(raw: Any, xp: Any) -> Any:
    """From the median and the logs of the distances to it, which cannot cross."""
    middle = raw[:, 0]
    columns = [middle - xp.exp(raw[:, 1]), middle, middle + xp.exp(raw[:, 2])]
    return xp.stack(columns, 1)


class _Outcomes:
    """Attempts as batches with a loss: of success cross-entropy, of the logarithms of seconds and tokens pinball."""

    def __init__(self, training: TrainingData, values: dict[str, Any]) -> None:
        """Adds its weights to ``values``, drawn apart from the others, which stay as they are without outcomes."""
        import torch

        history, attempts = training.history, training.attempts
        assert attempts is not None  # nosec B101: for the type checker
        latest = np.argsort(attempts.features.asked, kind="stable")[-_MOST_ATTEMPTS:]  # NaN, not known, is last
        attempts = attempts.take(np.sort(latest))
        masters = history.masters[attempts.rows]
        before, counted = history.before(attempts.features.asked, masters)
        self._values, self._masters = values, torch.tensor(masters)
        self._inputs, targets = torch.tensor(attempts.features.projected), history.outcomes[attempts.rows]
        self._before, self._counted = torch.tensor(before), torch.tensor(counted)
        self._nothing = [torch.tensor(each) for each in history.before(np.full(1, np.nan), masters[:1])]
        self._random = torch.Generator().manual_seed(training.settings.seed)
        width = self._inputs.shape[1]
        known = ~np.isnan(targets)
        columns = zip(targets.T, known.T, strict=True)
        usual = [float(np.median(column[rows])) if rows.any() else 0.0 for column, rows in columns]
        share = float(np.clip(targets[known[:, 0], 0].mean(), 0.01, 0.99))
        first = torch.tensor([np.log(share / (1 - share)), usual[1], 0.0, 0.0, usual[2], 0.0, 0.0])
        added = {
            "query": torch.randn(width, _ATTENTION, generator=self._random) * width**-0.5,
            "key": torch.randn(WIDTH, _ATTENTION, generator=self._random) * WIDTH**-0.5,
            "value": torch.randn(WIDTH, _ATTENTION, generator=self._random) * WIDTH**-0.5,
            "of_context": torch.zeros(_ATTENTION, 7),
            "of_task": torch.zeros(width, 7),
            "of_match": torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
            "of_master": first.float().repeat(training.masters, 1),
        }
        values |= {name: value.requires_grad_(True) for name, value in added.items()}
        self._known, self._targets = torch.tensor(known).float(), torch.tensor(np.nan_to_num(targets)).float()

    def batches(self, count: int) -> list[Any]:
        import torch

        return list(torch.tensor_split(torch.randperm(len(self._masters), generator=self._random), count))

    def loss(self, batch: Any, dropout: float) -> Any:
        import torch

        blind = (torch.rand(len(batch), generator=self._random) < _BLIND)[:, None]
        counted = torch.where(blind, self._nothing[1], self._counted[batch])
        before = torch.where(blind[:, :, None], self._nothing[0], self._before[batch])
        tasks = _task_vectors(self._values, self._inputs[batch], dropout)
        with torch.no_grad():  # outcomes say nothing of who a task belongs to
            logs = torch.log_softmax(_logits(self._values, tasks), dim=1)
            matches = logs[torch.arange(len(batch)), self._masters[batch]]
        raw = _outcome_heads(self._values, tasks, matches, self._masters[batch], before, counted, torch)
        targets, known = self._targets[batch], self._known[batch]
        losses = [
            torch.nn.functional.binary_cross_entropy_with_logits(raw[:, 0], targets[:, 0], reduction="none"),
            *(
                pinball(_quantiles(raw[:, 3 * column - 2 : 3 * column + 1], torch), targets[:, column], torch)
                for column in (1, 2)
            ),
        ]
        counts = known.sum(0).clamp(min=1.0)
        return sum((each * known[:, column]).sum() / counts[column] for column, each in enumerate(losses))


def pinball(quantiles: Any, targets: Any, xp: Any) -> Any:
    """Mean over the quantiles, one a target; ``xp`` is numpy or torch, as the arrays are."""
    errors = targets[:, None] - quantiles
    shares = xp.asarray(QUANTILES)
    return xp.maximum(shares * errors, (shares - 1.0) * errors).mean(1)
