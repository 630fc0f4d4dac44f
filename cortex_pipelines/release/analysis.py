"""Whether a canary is as reliable as the champion: a pure function of counts and rules.

The rule follows Argo's AnalysisTemplate (success, failure, inconclusive, a minimum count). Repeatedly checking one
interval would eventually find any canary worse, so it is checked whenever the count has doubled, each time with half of
the remaining error probability: the total stays below ``_ERROR``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cortex_pipelines.statistics.intervals import wilson

Conclusion = Literal["success", "failure", "inconclusive"]

_ERROR = 0.05


@dataclass(frozen=True)
class Count:
    """``failed``: answers that failed, could not be given by this version, or were voted down."""

    answered: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Analysis:
    """``success``: worse by less than the margin; ``failure``: worse; else ``inconclusive``."""

    conclusion: Conclusion
    reason: str


def look_of(answered: int, min_answers: int) -> int:
    return int(math.log2(answered / min_answers)) + 1 if answered >= min_answers else 0


def analyse(canary: Count, champion: Count, rules: Mapping[str, Any]) -> Analysis | None:
    """Analyse a canary; None while it has to continue."""
    min_answers, max_answers = int(rules["least_answers"]), int(rules["most_answers"])
    look = look_of(min(canary.answered, champion.answered), min_answers)
    if look:
        low, high = _difference(canary, champion, 1 - _ERROR / 2**look)
        comparison = f"{_share(canary)}, the champion {_share(champion)}: {low:+.1%} to {high:+.1%}"
        if low > 0:
            return Analysis("failure", f"fails in {comparison}")
        if high < float(rules["margin"]):
            return Analysis("success", f"fails in {comparison}, within {rules['margin']:.1%}")
    if canary.answered >= max_answers:
        comparison = f"{_share(canary)}, the champion {_share(champion)}"
        return Analysis("inconclusive", f"fails in {comparison}, which decides nothing")
    return None


def _difference(canary: Count, champion: Count, confidence: float) -> tuple[float, float]:
    """Interval of the difference of two proportions (Newcombe 1998, method 10)."""
    first = wilson(canary.failed, canary.answered, confidence)
    second = wilson(champion.failed, champion.answered, confidence)
    difference = first.estimate - second.estimate
    below = math.hypot(first.estimate - first.low, second.high - second.estimate)
    above = math.hypot(first.high - first.estimate, second.estimate - second.low)
    return difference - below, difference + above


def _share(count: Count) -> str:
    return f"{count.failed} of {count.answered} answers"
