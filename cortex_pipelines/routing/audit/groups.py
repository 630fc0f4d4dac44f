"""Fairness of a router across groups, by master, priority, source and language; and what its logs support."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.routing.dataset.labels import normalised
from cortex_pipelines.schemas.routing import AUDIT_GROUPS, OFF_POLICY
from cortex_pipelines.statistics.intervals import paired_bootstrap, wilson
from cortex_pipelines.statistics.off_policy import Estimate, LoggedDecisions, Refusal
from cortex_pipelines.statistics.significance import holm

ATTRIBUTES = ("master", "priority", "source", "language")
NOT_KNOWN = "not known"
PERSON = "person"  # what the scores say of a task that the router leaves to a person


def audit_groups(tasks: pl.DataFrame, min_items: int, settings: EvaluationSettings) -> pl.DataFrame:
    """All groups as ``AUDIT_GROUPS``, by attribute and value; those below ``min_items`` are not tested.

    A group is warned of if it is served worse than the rest by Fisher's exact test, one side, after Holm's correction
    over the groups of the attribute, or if the interval of its overconfidence is above 0. Columns of ``tasks``:
    ``right``, ``abstained`` (Boolean), ``confidence`` (0 to 1) and ``ATTRIBUTES``.
    """
    rows: list[dict[str, Any]] = []
    for attribute in ATTRIBUTES:
        filled = tasks.with_columns(pl.col(attribute).fill_null(NOT_KNOWN))
        groups = [_group(filled, attribute, value, settings) for value in sorted(filled[attribute].unique())]
        tested = [group for group in groups if group["items"] >= min_items]
        for test, warning in (
            ("p_accuracy", "right less often than the rest"),
            ("p_abstention", "left to a person more often than the rest"),
        ):
            worse = rejected([group[test] for group in tested], 1 - settings.confidence)
            for group, falls_behind in zip(tested, worse, strict=True):
                group["warnings"] += [warning] if falls_behind else []
        for group in tested:
            group["warnings"] += ["more confident than right"] if group["overconfident"] else []
        rows += groups
    return AUDIT_GROUPS.frame(rows)


def _group(tasks: pl.DataFrame, attribute: str, value: str, settings: EvaluationSettings) -> dict[str, Any]:
    """A row of ``AUDIT_GROUPS`` with the results of its tests."""
    group, other_groups = tasks.filter(pl.col(attribute) == value), tasks.filter(pl.col(attribute) != value)
    accuracy = wilson(int(group["right"].sum()), group.height, settings.confidence)
    overconfidence = paired_bootstrap(
        (group["confidence"].to_numpy() - group["right"].to_numpy().astype(float)).tolist(), **settings.bootstrap
    )
    return {
        "attribute": attribute,
        "value": value,
        "items": group.height,
        **accuracy.as_metrics("accuracy"),
        "confidence": float(group["confidence"].to_numpy().mean()),
        "overconfidence": overconfidence.estimate,
        "abstention": int(group["abstained"].sum()) / group.height,
        "warnings": [],
        "overconfident": overconfidence.low > 0,
        "p_accuracy": _p_fewer(group["right"], other_groups["right"]),
        "p_abstention": _p_fewer(~group["abstained"], ~other_groups["abstained"]),
    }


def _p_fewer(successes: pl.Series, other_successes: pl.Series) -> float | None:
    """P-value that a group succeeds less often than the rest; None without a rest."""
    from scipy.stats import fisher_exact

    if other_successes.is_empty():
        return None
    table = [[int(part.sum()), len(part) - int(part.sum())] for part in (successes, other_successes)]
    return float(fisher_exact(table, alternative="less").pvalue)


def rejected(p_values: Sequence[float | None], alpha: float) -> list[bool]:
    """Hypotheses rejected at family-wise error rate ``alpha`` (Holm); a missing p-value rejects nothing."""
    corrected = iter(holm([p for p in p_values if p is not None]))
    return [p is not None and next(corrected) <= alpha for p in p_values]


def largest_gap(groups: pl.DataFrame, attribute: str, min_items: int) -> float | None:
    """Accuracy of the best group of an attribute minus that of the worst; None without two."""
    accuracies = groups.filter(pl.col("attribute") == attribute, pl.col("items") >= min_items)["accuracy"].to_list()
    return max(accuracies) - min(accuracies) if len(accuracies) > 1 else None


_SCRIPTS = {
    **{script: script.lower() for script in ("CYRILLIC", "GREEK", "ARABIC", "HEBREW", "THAI")},
    **{"CJK": "chinese or japanese", "HIRAGANA": "japanese", "KATAKANA": "japanese"},
    **{"HANGUL": "korean", "DEVANAGARI": "hindi"},
}
_LINES = (Path(__file__).parent / "marker_words.txt").read_text(encoding="utf-8").splitlines()
_MARKER_WORDS = {name: frozenset(words.split()) for name, words in (line.split(": ") for line in _LINES)}


# a weak label, for the audit only: short titles often contain no distinctive word
def task_language(text: str) -> str | None:
    letters = [char for char in text if char.isalpha()]
    scripts = Counter(
        _SCRIPTS.get(unicodedata.name(char, "").split(" ")[0].split("-")[0]) for char in letters if not char.isascii()
    )
    script, count = scripts.most_common(1)[0] if scripts else (None, 0)
    if script is not None and count * 2 > len(letters):
        return script
    words = ["".join(filter(str.isalpha, word)) for word in text.casefold().split()]
    votes = {name: sum(word in markers for word in words) for name, markers in _MARKER_WORDS.items()}
    best = max(votes.values())
    first = [name for name, count in votes.items() if count == best]
    return first[0] if best and len(first) == 1 else None


def audited_tasks(scores: pl.DataFrame, test: pl.DataFrame, features: pl.DataFrame) -> pl.DataFrame:
    prioritised = features.filter(pl.col("priority").is_not_null(), pl.col("text") != "")
    latest_first = prioritised.sort("decided_at", "attempt_id", nulls_last=True).reverse()
    priorities = {normalised(text): priority for text, priority in latest_first.select("text", "priority").iter_rows()}
    texts = scores["text"].to_list()
    columns = scores.join(test.select("example_id", "origin"), on="example_id", how="left", maintain_order="left")
    return columns.select(
        pl.col("challenger_right").alias("right"),
        "confidence",
        (pl.col("decided_by") == PERSON).alias("abstained"),
        "master",
        pl.Series("priority", [priorities.get(normalised(text)) for text in texts], pl.String),
        pl.col("origin").alias("source"),
        pl.Series("language", [task_language(text) for text in texts], pl.String),
    )


def logged_decisions(
    attempts: pl.DataFrame, decisions: pl.DataFrame, scores: pl.DataFrame
) -> tuple[LoggedDecisions, list[dict[str, float]]]:
    """Logged decisions on held-out tasks, with the router's preferred decision for each.

    Tasks that the router leaves to a person are excluded: their outcome is not logged.
    """
    decided = scores.filter(pl.col("decided_by") != PERSON, pl.col("challenger").is_not_null())
    choices = {normalised(text): master for text, master in decided.select("text", "challenger").iter_rows()}
    by_time = decisions.filter(pl.col("propensity").is_not_null()).sort(
        "decided_at", "file", "byte_offset", nulls_last=True
    )
    first = by_time.unique("attempt_id", keep="first").select("attempt_id", "propensity")
    finished = attempts.filter(pl.col("success").is_not_null() & pl.col("cluster").is_in(list(choices))).join(
        first, on="attempt_id", how="left", maintain_order="left"
    )
    columns = (finished[name].to_list() for name in ("master", "success", "propensity", "cluster"))
    logged = LoggedDecisions(*columns)
    return logged, [{choices[cluster]: 1.0} for cluster in logged.clusters]


def deciding_models(decisions: pl.DataFrame) -> dict[str, int]:
    """Number of logged decisions by the DataVersion of the deciding router."""
    versioned = decisions.filter(pl.col("model_version").is_not_null() & ~pl.col("test_row"))
    return dict(versioned.group_by("model_version").len().sort("model_version").iter_rows())


def off_policy_table(estimate: Estimate | Refusal) -> pl.DataFrame:
    """Estimates as ``OFF_POLICY``; a refusal is one row without an estimate."""
    shared = {"items": estimate.items, "effective": estimate.effective}
    if isinstance(estimate, Refusal):
        return OFF_POLICY.frame([{"estimator": "none", **shared, "refused": estimate.reason}])
    estimators = {name: getattr(estimate, name) for name in ("logged", "ips", "snips", "doubly_robust")}
    return OFF_POLICY.frame(
        [
            {"estimator": name, **shared, "estimate": value.estimate, "low": value.low, "high": value.high}
            for name, value in estimators.items()
        ]
    )
