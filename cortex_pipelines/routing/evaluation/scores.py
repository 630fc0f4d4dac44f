"""Compare the router with keyword rules, TF-IDF and the champion; abstention out of scope."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.embeddings.encoder import Floats
from cortex_pipelines.embeddings.threads import pinned_threads
from cortex_pipelines.routing.dataset.labels import wording
from cortex_pipelines.routing.features import Doubles, FeatureExtractor
from cortex_pipelines.routing.models.base import CandidateModel, TrainingData
from cortex_pipelines.routing.models.history import History, sent_at
from cortex_pipelines.routing.models.linear import EmbeddingLogreg, TfidfLogreg
from cortex_pipelines.routing.models.network import QUANTILES, pinball
from cortex_pipelines.routing.selection.ensemble import combine, expected_calibration_error
from cortex_pipelines.routing.selection.model_selection import JOINT
from cortex_pipelines.routing.serving.router import Decision, Router
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.schemas.routing import ROUTING_SCORES
from cortex_pipelines.statistics.intervals import Interval, paired_bootstrap, wilson
from cortex_pipelines.statistics.leaderboard import leaderboard_rows
from cortex_pipelines.statistics.significance import higher_likelihood_p, mcnemar_exact


@dataclass(frozen=True)
class RouterComparison:
    """Accuracies with Wilson's interval, their paired difference, and McNemar's exact p."""

    items: int
    first: Interval
    second: Interval
    difference: Interval
    p_value: float


def score_tasks(
    test: pl.DataFrame,
    challenger: Sequence[Decision],
    baseline: Sequence[str | None],
    tfidf: Sequence[str],
    champion: Sequence[str | None] | None,
) -> pl.DataFrame:
    """Each held-out task with the decision of every router, as ``ROUTING_SCORES``.

    No answer (None) of the baseline counts as wrong.
    """
    masters = {"challenger": [decision.master for decision in challenger], "baseline": baseline, "tfidf": tfidf}
    masters["champion"] = [None] * test.height if champion is None else champion
    frame = test.select("example_id", "text", "master").with_columns(
        *(pl.Series(name, answers, pl.String) for name, answers in masters.items()),
        confidence=pl.Series([decision.confidence for decision in challenger], dtype=pl.Float64),
        in_scope=pl.Series([decision.in_scope for decision in challenger], dtype=pl.Float64),
        decided_by=pl.Series([decision.decided_by for decision in challenger], dtype=pl.String),
    )
    right = {f"{name}_right": pl.col(name).eq_missing(pl.col("master")) for name in masters}
    if champion is None:
        right["champion_right"] = pl.lit(None, pl.Boolean)
    return ROUTING_SCORES.conform(frame.with_columns(**right))


def compare(scores: pl.DataFrame, other: str, settings: RoutingSettings) -> RouterComparison:
    """Tasks of one wording are one cluster of the difference's interval: they are right or wrong together."""
    challenger_right = scores["challenger_right"].to_numpy()
    other_right = scores[f"{other}_right"].to_numpy().astype(bool)
    differences = challenger_right.astype(float) - other_right.astype(float)
    return RouterComparison(
        items=scores.height,
        first=wilson(int(challenger_right.sum()), len(challenger_right), settings.confidence),
        second=wilson(int(other_right.sum()), len(other_right), settings.confidence),
        difference=paired_bootstrap(
            differences.tolist(), clusters=list(map(wording, scores["text"])), **settings.bootstrap
        ),
        p_value=mcnemar_exact(
            int((challenger_right & ~other_right).sum()), int((~challenger_right & other_right).sum())
        ),
    )


def likelier_than_tfidf_p(
    decisions: Sequence[Decision], right: Sequence[str], names: Sequence[str], tfidf: Doubles
) -> float:
    """One-sided p-value of a paired t-test that the ``right`` masters are likelier by the decisions than by TF-IDF.

    ``tfidf``: calibrated log-probabilities, (tasks, names). Tasks of masters that were not learnt are left out.
    """
    numbers = {name: number for number, name in enumerate(names)}
    rows = [row for row, master in enumerate(right) if master in numbers]
    if len(rows) < 2:
        return 1.0
    shares = [decisions[row].probabilities.get(right[row], 0.0) for row in rows]
    by_router = np.log(np.maximum(shares, np.finfo(float).tiny))
    return higher_likelihood_p(by_router, tfidf[rows, [numbers[right[row]] for row in rows]])


def routing_metrics(
    scores: pl.DataFrame,
    known_masters: Sequence[str],
    settings: RoutingSettings,
    sample: bool,
    is_tfidf: bool = False,
    likelier_p: float = 1.0,
) -> dict[str, float]:
    """All metrics of a router evaluation, by name.

    The reference is the champion, or else the baseline, and ``difference`` is challenger minus reference.
    ``least_difference`` is that or the one to TF-IDF, whichever interval begins lower: what a gate goes by, since
    rules that do not know all masters are easily beaten. TF-IDF is also beaten by one that is right as often and
    significantly likelier to be (``likelier_p``), as in the selection of models, and cannot beat itself (``is_tfidf``).
    ``known_`` is for the tasks of those masters only that the baseline knows.
    """
    against_rules = compare(scores, "baseline", settings)
    has_champion = scores["champion_right"].null_count() == 0
    against = compare(scores, "champion", settings) if has_champion else against_rules
    against_tfidf = compare(scores, "tfidf", settings)
    is_likelier = likelier_p <= settings.adopt_p and against_tfidf.difference.estimate >= 0
    weakest = against if is_tfidf or is_likelier else min(against, against_tfidf, key=lambda c: c.difference.low)
    certain = scores.filter(pl.col("decided_by") != "person")
    metrics = {
        "items": float(scores.height),
        "clusters": float(len(set(map(wording, scores["text"])))),
        "hand_written_sample": float(sample),
        "coverage": certain.height / scores.height,
        "ece": expected_calibration_error(scores["confidence"].to_list(), scores["challenger_right"].to_list()),
        "worst_recall": min(recalls(scores).values()),
        **against_rules.first.as_metrics("challenger"),
        **against_rules.second.as_metrics("baseline"),
        **against.second.as_metrics("reference"),
        **against.difference.as_metrics("difference"),
        "mcnemar_p": against.p_value,
        **against_rules.difference.as_metrics("baseline_difference"),
        "baseline_mcnemar_p": against_rules.p_value,
        **against_tfidf.second.as_metrics("tfidf"),
        **against_tfidf.difference.as_metrics("tfidf_difference"),
        "tfidf_mcnemar_p": against_tfidf.p_value,
        "tfidf_likelier_p": likelier_p,
        **weakest.difference.as_metrics("least_difference"),
    }
    if has_champion:
        metrics |= against.second.as_metrics("champion")
    if certain.height:
        metrics |= compare(certain, "baseline", settings).first.as_metrics("covered")
    known = scores.filter(pl.col("master").is_in(list(known_masters)))
    if known.height:
        comparison = compare(known, "baseline", settings)
        metrics |= {
            "known_items": float(comparison.items),
            **comparison.first.as_metrics("known_challenger"),
            **comparison.second.as_metrics("known_baseline"),
            **comparison.difference.as_metrics("known_difference"),
            "known_mcnemar_p": comparison.p_value,
        }
    return metrics


def candidate_rows(
    scores: pl.DataFrame, baseline: str, joint: Sequence[str], settings: RoutingSettings
) -> list[dict[str, Any]]:
    """The ways of finding a task's master on the leaderboard; ``baseline`` names what the scores call so."""
    columns = {baseline: "baseline", "tfidf": "tfidf", JOINT: JOINT, "ensemble": "challenger"}
    scores = scores.with_columns(joint_right=pl.Series(joint, dtype=pl.String) == pl.col("master"))
    right = {name: scores[f"{column}_right"].cast(pl.Float64).to_list() for name, column in columns.items()}
    return leaderboard_rows(
        *("task_router", "master", "accuracy", right),
        higher_is_better=True,
        not_used=(JOINT,),  # the folds say whether the router has it
        **settings.bootstrap,
    )


def recalls(scores: pl.DataFrame) -> dict[str, float]:
    shares = scores.group_by("master").agg(pl.col("challenger_right").mean()).sort("master")
    return dict(zip(shares["master"], shares["challenger_right"], strict=True))


HELD_OUT_REQUESTS = Path(__file__).parent / "out_of_scope_requests.txt"


def scope_metrics(
    tasks: Sequence[Decision], requests: Sequence[Decision], limit: float, settings: RoutingSettings
) -> dict[str, float]:
    """Shares of requests left to a person (``out_of_scope_abstained``) and of tasks in scope (``in_scope_kept``)."""
    from sklearn.metrics import roc_auc_score

    in_scope = sum(decision.in_scope >= limit for decision in tasks)
    abstained = sum(decision.abstained for decision in requests)
    labels = [True] * len(tasks) + [False] * len(requests)
    return {
        "out_of_scope_items": float(len(requests)),
        "scope_auroc": float(roc_auc_score(labels, [decision.in_scope for decision in (*tasks, *requests)])),
        **wilson(in_scope, len(tasks), settings.confidence).as_metrics("in_scope_kept"),
        **wilson(abstained, len(requests), settings.confidence).as_metrics("out_of_scope_abstained"),
    }


_SHARES = (0.125, 0.25, 0.5, 1.0)  # shares of the training tasks at which the learning curve is measured


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy of the two simplest learners by number of training tasks."""

    tasks: int
    lexical: Interval
    semantic: Interval


def voter_metrics(router: Router, test: pl.DataFrame, embeddings: Floats, asked: Doubles) -> dict[str, float]:
    """Metrics of each voter, their average and the ensemble; empty for a router of rules alone.

    ``ece_before`` is the calibration error of the plain average, ``average_mcnemar_p`` compares it with the ensemble.
    """
    texts, names = test["text"].to_list(), list(router.masters)
    scores = router.candidate_scores(texts, embeddings, asked)
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


def joint_predictions(router: Router, texts: Sequence[str], embeddings: Floats, asked: Doubles) -> list[str]:
    return best_masters(router.masters, router.candidate_scores(texts, embeddings, asked, [JOINT])[JOINT])


def best_masters(names: Sequence[str], scores: Doubles) -> list[str]:
    """The likeliest of the named masters for each task; ``scores``: (tasks, names)."""
    return [names[best] for best in scores.argmax(axis=1)]


def outcome_rows(router: Router, attempts: pl.DataFrame, settings: RoutingSettings) -> list[dict[str, Any]]:
    """The joint network's other heads on the leaderboard, on tasks that it never saw; none where it has none.

    Success by the Brier score, seconds and tokens by the pinball loss of the logarithms; against the mean, or the same
    quantiles, of all tasks that it learnt from. What is expected of a task is said by the outcome predictors.
    """
    attempts = attempts.filter(pl.col("master").is_in(list(router.masters)))
    judged, learnt = attempts.filter("judged"), attempts.filter(~pl.col("judged"))
    heads = router.expected_outcomes(judged["text"].to_list(), judged["master"].to_list(), sent_at(judged))
    if not len(heads):
        return []
    all_actual, all_usual = (History.of_attempts(each, router.masters).outcomes.T for each in (judged, learnt))
    rows = []
    for column, task in enumerate(("success", "duration", "tokens")):
        known = ~np.isnan(all_actual[column])
        actual, usual = all_actual[column][known], all_usual[column][~np.isnan(all_usual[column])]
        if not len(actual) or not len(usual):
            continue
        if task == "success":
            metric, chance = "Brier score", 1 / (1 + np.exp(-heads[known, 0]))
            losses = {"mean": (usual.mean() - actual) ** 2, JOINT: (chance - actual) ** 2}
        else:
            metric, said = "pinball loss of the logarithm", heads[known, 3 * column - 2 : 3 * column + 1]
            losses = {
                "mean": pinball(np.quantile(usual, QUANTILES)[None], actual, np),
                JOINT: pinball(said, actual, np),
            }
        clusters = judged["cluster"].filter(pl.Series(known)).to_list()
        scores = {name: each.tolist() for name, each in losses.items()}
        rows += leaderboard_rows(
            *("task_router", task, metric, scores),
            higher_is_better=False,
            clusters=clusters,
            not_used=(JOINT,),
            **settings.bootstrap,
        )
    return rows


def learning_curve(
    router: Router, train: pl.DataFrame, test: pl.DataFrame, settings: RoutingSettings
) -> list[CurvePoint]:
    """Tasks of a smaller share are among those of a larger one, chosen by a hash of their text."""
    hashes = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in train["text"]]
    train = train[sorted(range(train.height), key=hashes.__getitem__)]
    embeddings, test_embeddings = (router.encode(frame["text"].to_list()) for frame in (train, test))
    points = []
    for part in (train.head(round(train.height * share)) for share in _SHARES):
        if part["master"].n_unique() > 1:
            fits = (TfidfLogreg.fit, EmbeddingLogreg.fit)
            names, scores = _scores(fits, part, embeddings[: part.height], test, test_embeddings, settings)
            correct = (int((pl.Series(best_masters(names, each)) == test["master"]).sum()) for each in scores)
            intervals = (wilson(count, test.height, settings.confidence) for count in correct)
            points.append(CurvePoint(part.height, *intervals))
    return points


def tfidf_scores(
    router: Router, train: pl.DataFrame, test: pl.DataFrame, settings: RoutingSettings
) -> tuple[list[str], Doubles]:
    """Masters, and TF-IDF's log-probability of each for the test tasks."""
    embeddings, test_embeddings = (router.encode(frame["text"].to_list()) for frame in (train, test))
    names, (scores,) = _scores((TfidfLogreg.fit,), train, embeddings, test, test_embeddings, settings)
    return names, scores


def _scores(
    fits: Sequence[Callable[[TrainingData], CandidateModel]],
    train: pl.DataFrame,
    embeddings: Floats,
    test: pl.DataFrame,
    test_embeddings: Floats,
    settings: RoutingSettings,
) -> tuple[list[str], list[Doubles]]:
    """Masters, and their scores for the test tasks by each learner, fitted on the same features of train."""
    names = sorted(train["master"].unique())
    texts = train["text"].to_list()
    with pinned_threads(settings.threads):
        extractor = FeatureExtractor.fit(texts, embeddings, settings.dimensions)
        training = TrainingData.of_tasks(train, names, extractor.features(texts, embeddings), settings)
        features = extractor.features(test["text"].to_list(), test_embeddings)
        return names, [fit(training).scores(features) for fit in fits]


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


def class_table(scores: pl.DataFrame) -> list[dict[str, str]]:
    """Tasks, recall and precision of each master, in words, the worst recall first."""
    rows = []
    for master, recall in sorted(recalls(scores).items(), key=lambda item: (item[1], item[0])):
        routed = scores.filter(pl.col("challenger") == master)["challenger_right"]
        precision = f"{int(routed.sum()) / len(routed):.3f}" if len(routed) else "never sent to"
        tasks = scores.filter(pl.col("master") == master).height
        rows.append({"Master": master, "Tasks": f"{tasks}", "Recall": f"{recall:.3f}", "Precision": precision})
    return rows
