"""Score a router's candidates on held-out tasks, and compute the learning curve."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from cortex_pipelines.embeddings.encoder import Floats
from cortex_pipelines.embeddings.threads import pinned_threads
from cortex_pipelines.routing.features import FeatureExtractor
from cortex_pipelines.routing.models.base import CandidateModel, TrainingData
from cortex_pipelines.routing.models.linear import EmbeddingLogreg, TfidfLogreg
from cortex_pipelines.routing.selection.ensemble import combine, expected_calibration_error
from cortex_pipelines.routing.serving.router import Router
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.statistics.intervals import Interval, wilson
from cortex_pipelines.statistics.significance import mcnemar_exact

_LEARNERS = (TfidfLogreg.fit, EmbeddingLogreg.fit)
_SHARES = (0.125, 0.25, 0.5, 1.0)  # shares of the training tasks at which the learning curve is measured


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy of the two simplest learners by number of training tasks."""

    tasks: int
    lexical: Interval
    semantic: Interval


def voter_metrics(router: Router, test: pl.DataFrame) -> dict[str, float]:
    """Metrics of each voter, their average and the ensemble; empty for a router of rules alone.

    ``ece_before`` is the calibration error of the plain average, ``average_mcnemar_p`` compares it with the ensemble.
    """
    texts, names = test["text"].to_list(), list(router.masters)
    scores = router.candidate_scores(texts, router.encode(texts))
    if not scores:
        return {}
    master_index = {name: number for number, name in enumerate(names)}
    labels = np.array([master_index.get(name, -1) for name in test["master"]])
    average = combine(list(scores.values()), [1.0 / len(scores)] * len(scores))
    ensemble = combine(list(scores.values()), [router.weights[name] for name in scores])
    average_right, ensemble_right = (average.argmax(axis=1) == labels, ensemble.argmax(axis=1) == labels)
    confidence = np.exp(average.max(axis=1)).tolist()
    return {
        **{f"voter_{name}": float((s.argmax(axis=1) == labels).mean()) for name, s in scores.items()},
        "plain_average": float(average_right.mean()),
        "ensemble": float(ensemble_right.mean()),
        "average_mcnemar_p": mcnemar_exact(
            int((ensemble_right & ~average_right).sum()), int((~ensemble_right & average_right).sum())
        ),
        "ece_before": expected_calibration_error(confidence, average_right.tolist()),
    }


def learning_curve(
    router: Router, train: pl.DataFrame, test: pl.DataFrame, settings: RoutingSettings
) -> list[CurvePoint]:
    """Tasks of a smaller share are among those of a larger one, chosen by a hash of their text."""
    order = sorted(
        range(train.height),
        key=lambda row: hashlib.sha256(train["text"][row].encode("utf-8", "surrogatepass")).hexdigest(),
    )
    train = train[order]
    train_embeddings, test_embeddings = (router.encode(frame["text"].to_list()) for frame in (train, test))
    points = []
    for part in (train.head(round(train.height * share)) for share in _SHARES):
        if part["master"].n_unique() < 2:
            continue
        predictions = _predictions(
            (TfidfLogreg.fit, EmbeddingLogreg.fit),
            part,
            train_embeddings[: part.height],
            test,
            test_embeddings,
            settings,
        )
        correct = (int((pl.Series(masters) == test["master"]).sum()) for masters in predictions)
        points.append(CurvePoint(part.height, *(wilson(count, test.height, settings.confidence) for count in correct)))
    return points


def tfidf_predictions(router: Router, train: pl.DataFrame, test: pl.DataFrame, settings: RoutingSettings) -> list[str]:
    train_embeddings, test_embeddings = (router.encode(frame["text"].to_list()) for frame in (train, test))
    return _predictions((TfidfLogreg.fit,), train, train_embeddings, test, test_embeddings, settings)[0]


def _predictions(
    fits: Sequence[Callable[[TrainingData], CandidateModel]],
    train: pl.DataFrame,
    train_embeddings: Floats,
    test: pl.DataFrame,
    test_embeddings: Floats,
    settings: RoutingSettings,
) -> list[list[str]]:
    """Masters of the test tasks by each learner, fitted on the same features of the training tasks."""
    names = sorted(train["master"].unique())
    with pinned_threads(settings.threads):
        extractor = FeatureExtractor.fit(train["text"].to_list(), train_embeddings, settings.dimensions)
        training = TrainingData.of_tasks(train, names, extractor, train_embeddings, settings)
        features = extractor.features(test["text"].to_list(), test_embeddings)
        return [[names[best] for best in fit(training).scores(features).argmax(axis=1)] for fit in fits]


def coverage_risk(confidence: Sequence[float], right: Sequence[bool]) -> list[tuple[float, float]]:
    """Coverage and error rate of the covered tasks, surest tasks first."""
    order = np.argsort(-np.asarray(confidence, dtype=float), kind="stable")
    wrong = 1.0 - np.asarray(right, dtype=float)[order]
    counts = np.arange(1, len(wrong) + 1)
    risks = np.cumsum(wrong) / counts
    return [(float(count / len(wrong)), float(risk)) for count, risk in zip(counts, risks, strict=True)]


def area_under_risk(curve: Sequence[tuple[float, float]]) -> float:
    """Area under the risk-coverage curve (AURC); lower is better."""
    return float(np.mean([risk for _, risk in curve]))


def class_table(scores: pl.DataFrame) -> list[Mapping[str, float | str]]:
    rows: list[Mapping[str, float | str]] = []
    for master in sorted(set(scores["master"])):
        belonging = scores.filter(pl.col("master") == master)
        routed = scores.filter(pl.col("challenger") == master)
        row: dict[str, float | str] = {
            "master": master,
            "tasks": float(belonging.height),
            "recall": int(belonging["challenger_right"].sum()) / belonging.height,
        }
        if routed.height:
            row["precision"] = int(routed["challenger_right"].sum()) / routed.height
        rows.append(row)
    return sorted(rows, key=lambda row: (float(row["recall"]), str(row["master"])))
