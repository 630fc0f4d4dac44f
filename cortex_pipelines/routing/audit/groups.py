"""Fairness of a router across groups: by master, priority, source, language."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.routing.dataset.labels import normalised
from cortex_pipelines.schemas.routing import AUDIT_GROUPS, OFF_POLICY
from cortex_pipelines.statistics.intervals import Interval, paired_bootstrap, wilson
from cortex_pipelines.statistics.off_policy import Estimate, LoggedDecisions, Refusal
from cortex_pipelines.statistics.significance import holm

ATTRIBUTES = ("master", "priority", "source", "language")
NOT_KNOWN = "not known"


@dataclass(frozen=True)
class AuditGroup:
    """Held-out tasks with the same value of an attribute.

    ``p_accuracy`` is that it is served no worse than the rest.
    """

    attribute: str
    value: str
    items: int
    accuracy: Interval
    confidence: float
    overconfidence: Interval
    abstention: Interval
    p_accuracy: float | None
    p_abstention: float | None
    warnings: tuple[str, ...]


def audit_groups(tasks: pl.DataFrame, min_items: int, settings: EvaluationSettings) -> list[AuditGroup]:
    """All groups, ordered by attribute and value; those below ``min_items`` are shown only, not tested.

    Columns of ``tasks``: ``right``, ``abstained`` (Boolean), ``confidence`` (0 to 1) and ``ATTRIBUTES``.
    """
    rows = []
    for attribute in ATTRIBUTES:
        tasks_with_value = tasks.with_columns(pl.col(attribute).fill_null(NOT_KNOWN))
        values = sorted(tasks_with_value[attribute].unique().to_list())
        groups = [_group(tasks_with_value, attribute, value, settings) for value in values]
        rows += _with_warnings(groups, min_items, 1 - settings.confidence)
    return rows


def _group(tasks: pl.DataFrame, attribute: str, value: str, settings: EvaluationSettings) -> AuditGroup:
    group = tasks.filter(pl.col(attribute) == value)
    others = tasks.filter(pl.col(attribute) != value)
    right, abstained = int(group["right"].sum()), int(group["abstained"].sum())
    gaps = group["confidence"].to_numpy() - group["right"].to_numpy().astype(float)
    return AuditGroup(
        attribute=attribute,
        value=value,
        items=group.height,
        accuracy=wilson(right, group.height, settings.confidence),
        confidence=float(group["confidence"].to_numpy().mean()),
        overconfidence=paired_bootstrap(
            gaps.tolist(), resamples=settings.resamples, confidence=settings.confidence, seed=settings.seed
        ),
        abstention=wilson(abstained, group.height, settings.confidence),
        p_accuracy=_p_fewer(right, group.height, int(others["right"].sum()), others.height),
        p_abstention=_p_fewer(
            group.height - abstained, group.height, others.height - int(others["abstained"].sum()), others.height
        ),
        warnings=(),
    )


def _p_fewer(successes: int, trials: int, other_successes: int, other_trials: int) -> float | None:
    """P-value that a group succeeds less often than the rest: one-sided Fisher's exact test."""
    from scipy.stats import hypergeom

    if not other_trials:
        return None
    total, good = trials + other_trials, successes + other_successes
    return float(hypergeom.cdf(successes, total, good, trials))


def _with_warnings(groups: Sequence[AuditGroup], min_items: int, alpha: float) -> list[AuditGroup]:
    tested = [group for group in groups if group.items >= min_items]
    worse = rejected([group.p_accuracy for group in tested], alpha)
    abstaining = rejected([group.p_abstention for group in tested], alpha)
    warnings: dict[str, list[str]] = {group.value: [] for group in groups}
    for group, less_accurate, abstains_more in zip(tested, worse, abstaining, strict=True):
        group_warnings = warnings[group.value]
        group_warnings += ["right less often than the rest"] if less_accurate else []
        group_warnings += ["left to a person more often than the rest"] if abstains_more else []
        group_warnings += ["more confident than right"] if group.overconfidence.low > 0 else []
    return [AuditGroup(**{**vars(group), "warnings": tuple(warnings[group.value])}) for group in groups]


def rejected(p_values: Sequence[float | None], alpha: float) -> list[bool]:
    """Hypotheses rejected at family-wise error rate ``alpha`` (Holm); missing p-values are none."""
    corrected = iter(holm([p for p in p_values if p is not None]))
    return [p is not None and next(corrected) <= alpha for p in p_values]


def largest_gap(groups: Sequence[AuditGroup], attribute: str, min_items: int) -> float | None:
    accuracies = [g.accuracy.estimate for g in groups if g.attribute == attribute and g.items >= min_items]
    return float(np.max(accuracies) - np.min(accuracies)) if len(accuracies) > 1 else None


_SCRIPTS = {
    "CYRILLIC": "cyrillic",
    "GREEK": "greek",
    "ARABIC": "arabic",
    "HEBREW": "hebrew",
    "CJK": "chinese or japanese",
    "HIRAGANA": "japanese",
    "KATAKANA": "japanese",
    "HANGUL": "korean",
    "DEVANAGARI": "hindi",
    "THAI": "thai",
}
_WORDS = {
    "english": "the a an of to in on for and or is are not with from by when that this all be it "
    "we does how what which why add fix after before without until into too",
    "german": "der die das und oder ist sind nicht mit von für wenn dass ein eine den dem des zu "
    "im auf bei nach vor ohne wird werden alle wie warum auch",
    "french": "le la les des du et ou est sont pas avec dans pour par quand que qui une un aux "
    "sur sans après avant tous comment pourquoi",
    "spanish": "el los las del y es son con para por cuando que una un en sin después antes todos cómo porque al se lo",
    "portuguese": "o os as do da dos das e é são não com para por quando que uma um em no na sem "
    "depois antes todos como ao",
    "italian": "il lo gli della del e è sono non con per quando che una un nel nella senza dopo "
    "prima tutti come perché",
    "dutch": "de het een en of is zijn niet met van voor als dat op bij na zonder alle hoe waarom",
}
_MARKER_WORDS = {name: frozenset(words.split()) for name, words in _WORDS.items()}


# a weak label, for the audit only: short titles often contain no distinctive word
def task_language(text: str) -> str | None:
    letters = [char for char in text if char.isalpha()]
    scripts = Counter(_script(char) for char in letters if not char.isascii())
    script, count = scripts.most_common(1)[0] if scripts else (None, 0)
    if script is not None and count * 2 > len(letters):
        return script
    words = ["".join(c for c in word if c.isalpha()) for word in text.casefold().split()]
    votes = {name: sum(word in markers for word in words) for name, markers in _MARKER_WORDS.items()}
    best = max(votes.values())
    first = [name for name, count in votes.items() if count == best]
    return first[0] if best and len(first) == 1 else None


def _script(char: str) -> str | None:
    return _SCRIPTS.get(unicodedata.name(char, "").split(" ")[0].split("-")[0])


PERSON = "person"
"""What the scores say of a task that the router leaves to a person."""


def audited_tasks(scores: pl.DataFrame, test: pl.DataFrame, features: pl.DataFrame) -> pl.DataFrame:
    priorities = _by_text(features.filter(pl.col("priority").is_not_null()), "priority")
    rows = [
        {
            "right": row["challenger_right"],
            "confidence": row["confidence"],
            "abstained": row["decided_by"] == PERSON,
            "master": row["master"],
            "priority": priorities.get(normalised(row["text"])),
            "source": row["origin"],
            "language": task_language(row["text"]),
        }
        for row in scores.join(test.select("example_id", "origin"), on="example_id", how="left").iter_rows(named=True)
    ]
    schema = {"right": pl.Boolean, "confidence": pl.Float64, "abstained": pl.Boolean}
    texts = dict.fromkeys(("master", "priority", "source", "language"), pl.String)
    return pl.DataFrame(rows, schema={**schema, **texts}, orient="row")


def logged_decisions(
    attempts: pl.DataFrame, decisions: pl.DataFrame, scores: pl.DataFrame
) -> tuple[LoggedDecisions, list[dict[str, float]]]:
    """Logged decisions on held-out tasks, with the router's preferred decision for each.

    Tasks that the router leaves to a person are excluded: their outcome is not logged.
    """
    choices = {
        normalised(row["text"]): row["challenger"]
        for row in scores.filter(pl.col("decided_by") != PERSON).iter_rows(named=True)
        if row["challenger"] is not None
    }
    with_propensity = decisions.filter(pl.col("propensity").is_not_null()).sort(
        "decided_at", "file", "byte_offset", nulls_last=True
    )
    propensity: dict[str, float] = {}
    for row in with_propensity.iter_rows(named=True):
        propensity.setdefault(row["attempt_id"], row["propensity"])
    attempts_with_outcome = attempts.filter(pl.col("success").is_not_null() & pl.col("cluster").is_in(list(choices)))
    logged = LoggedDecisions(
        actions=attempts_with_outcome["master"].to_list(),
        rewards=attempts_with_outcome["success"].to_list(),
        propensities=[propensity.get(attempt_id) for attempt_id in attempts_with_outcome["attempt_id"]],
        clusters=attempts_with_outcome["cluster"].to_list(),
    )
    return logged, [{choices[cluster]: 1.0} for cluster in logged.clusters]


def deciding_models(decisions: pl.DataFrame) -> dict[str, int]:
    versioned = decisions.filter(pl.col("model_version").is_not_null() & ~pl.col("test_row"))
    counts = versioned.group_by("model_version").len().sort("model_version")
    return dict(counts.iter_rows())


def groups_table(groups: list[AuditGroup]) -> pl.DataFrame:
    return AUDIT_GROUPS.frame(
        [
            {
                "attribute": group.attribute,
                "value": group.value,
                "items": group.items,
                "accuracy": group.accuracy.estimate,
                "accuracy_low": group.accuracy.low,
                "accuracy_high": group.accuracy.high,
                "confidence": group.confidence,
                "overconfidence": group.overconfidence.estimate,
                "overconfidence_low": group.overconfidence.low,
                "overconfidence_high": group.overconfidence.high,
                "abstention": group.abstention.estimate,
                "abstention_low": group.abstention.low,
                "abstention_high": group.abstention.high,
                "warnings": list(group.warnings),
            }
            for group in groups
        ]
    )


def off_policy_table(estimate: Estimate | Refusal) -> pl.DataFrame:
    shared = {"items": estimate.items, "effective": estimate.effective}
    empty = {"estimate": None, "low": None, "high": None}
    if isinstance(estimate, Refusal):
        return OFF_POLICY.frame([{"estimator": "none", **shared, **empty, "refused": estimate.reason}])
    return OFF_POLICY.frame(
        [
            {
                **{"estimator": name, **shared, "refused": None},
                **{"estimate": estimator.estimate, "low": estimator.low, "high": estimator.high},
            }
            for name, estimator in (
                ("logged", estimate.logged),
                ("ips", estimate.ips),
                ("snips", estimate.snips),
                ("doubly_robust", estimate.doubly_robust),
            )
        ]
    )


def _by_text(features: pl.DataFrame, column: str) -> dict[str, str]:
    by_text: dict[str, str] = {}
    for row in features.sort("decided_at", "attempt_id", nulls_last=True).iter_rows(named=True):
        if row["text"]:
            by_text.setdefault(normalised(row["text"]), row[column])
    return by_text
