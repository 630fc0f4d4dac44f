"""Analyse an experiment: a function of the log of its answers, valid at any time."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from cortex_pipelines.release.experiments.plan import ARMS, Arm, ExperimentSpec
from cortex_pipelines.statistics.sequential import MIN_UNITS, UnitSums, difference, lower_share, sample_ratio

Outcome = Literal["better", "worse", "no difference", "inconclusive", "guardrail", "invalid", "stopped"]
"""``better``, ``worse``: b compared with a; ``no difference``: less than the smallest one that matters;
``inconclusive``: none of these after the planned number of answers; ``guardrail``: b fails, withholds or is slow beyond
the tolerance; ``invalid``: users are not split as planned; ``stopped``: by a person or a promotion."""

RequestOutcome = Literal["answered", "failed", "refused", "left"]
"""``failed``: no answer, or the base model answered instead of an adapter; ``refused``: rejected by
the gateway; ``left``: the client disconnected."""

_ERROR = 0.05
_GUARD_ERROR = 0.01
_RATIO_ERROR = 0.01
_TAIL = 0.05
_MEASURES = ("good", "failed", "withheld", "slow")


@dataclass(frozen=True)
class ExperimentOutcome:
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class _Answer:
    arm: Arm
    unit: str
    became: RequestOutcome
    flagged: bool
    seconds: float
    vote: str | None = None

    def measures(self, plan: ExperimentSpec) -> dict[str, bool]:
        served = self.became in ("answered", "left")
        return {
            "good": self.vote == "up" if plan.metric == "accepted" else served and self.vote != "down",
            "failed": self.became == "failed",
            "withheld": self.became == "refused" or self.flagged,
            "slow": plan.slowest is not None and self.seconds > plan.slowest,
        }


@dataclass
class _ArmCounts:
    sums: dict[str, UnitSums] = field(default_factory=lambda: dict.fromkeys(_MEASURES, UnitSums()))
    units: dict[str, list[int]] = field(default_factory=dict)
    seconds: "array[float]" = field(default_factory=lambda: array("d"))

    def change(self, unit: str, count: int, steps: Mapping[str, int]) -> None:
        """Add to a unit's number of answers, and to its count of each measure."""
        before = self.units.get(unit, [0] * (1 + len(_MEASURES)))
        after = [before[0] + count]
        for position, name in enumerate(_MEASURES, 1):
            after.append(before[position] + steps[name])
            self.sums[name] = self.sums[name].with_change((before[0], before[position]), (after[0], after[-1]))
        self.units[unit] = after


class ExperimentCounts:
    def __init__(self, plan: ExperimentSpec) -> None:
        self.plan = plan
        self._answers: dict[str, _Answer] = {}
        self._arms = {arm: _ArmCounts() for arm in ARMS}

    def __contains__(self, answer: str) -> bool:
        return answer in self._answers

    def arm_of(self, answer: str) -> Arm:
        return self._answers[answer].arm

    def add(self, line: Mapping[str, Any]) -> None:
        """Count an answer, or a vote on one: repeated ones and votes on unknown answers not; the last vote counts."""
        name = line["id"]
        earlier = self._answers.get(name)
        if ("vote" in line) == (earlier is None):
            return
        if earlier is None:
            answer = _Answer(**{part: line[part] for part in ("arm", "unit", "became", "flagged", "seconds")})
            self._arms[answer.arm].seconds.append(answer.seconds)
        else:
            answer = replace(earlier, vote=line["vote"])
        before = earlier.measures(self.plan) if earlier else dict.fromkeys(_MEASURES, False)
        steps = {measure: has - before[measure] for measure, has in answer.measures(self.plan).items()}
        self._arms[answer.arm].change(answer.unit or name, 0 if earlier else 1, steps)
        self._answers[name] = answer

    def sums(self, measure: str) -> tuple[UnitSums, UnitSums]:
        first, second = (self._arms[arm].sums[measure] for arm in ARMS)
        return first, second

    def metrics(self) -> dict[str, Any]:
        plan, ratio = self.plan, self.ratio()
        low, high = self.interval("good")
        good = self.sums("good")
        arms = {}
        for arm in ARMS:
            arm_counts = self._arms[arm]
            counts = {name: int(arm_counts.sums[name].y) for name in _MEASURES}
            if plan.slowest is None:
                del counts["slow"]
            p95 = float(np.quantile(arm_counts.seconds, 1 - _TAIL)) if arm_counts.seconds else None
            answers = int(arm_counts.sums["good"].n)
            arms[arm] = {"users": len(arm_counts.units), "answers": answers, **counts, "p95": p95}
        return {
            "arms": arms,
            "difference": {"value": float(good[1].share - good[0].share), "low": low, "high": high},
            "sample_ratio": {"evidence": ratio, "limit": 1 / _RATIO_ERROR},
        }

    def ratio(self) -> float:
        """Evidence against the planned split of users; see ``sample_ratio``."""
        first, second = (len(self._arms[arm].units) for arm in ARMS)
        return float(sample_ratio(first, second, self.plan.share))

    def interval(self, measure: str, error: float = _ERROR, min_units: int = MIN_UNITS) -> Any:
        low, high = difference(*self.sums(measure), error, 2 * self.plan.smallest, min_units)
        return float(low), float(high)

    def result(self) -> ExperimentOutcome | None:
        """The outcome by the stopping rule; None while the experiment continues."""
        plan, good = self.plan, self.sums("good")
        if self.ratio() > 1 / _RATIO_ERROR:
            first, second = (len(self._arms[arm].units) for arm in ARMS)
            words = f"{second} of {first + second} users got b, where {plan.share:.0%} were planned"
            return ExperimentOutcome(
                "invalid", f"{words}: requests are lost or counted twice, so nothing can be concluded"
            )
        for measure in ("failed", "withheld"):
            low, high = self.interval(measure, _GUARD_ERROR, 2)
            if low > plan.tolerance:
                words = f"{self._shares(measure)}: {low:+.1%} to {high:+.1%}"
                return ExperimentOutcome("guardrail", f"{words}, where {plan.tolerance:.1%} is tolerated")
        slow = self.sums("slow")[1]
        if lower_share(slow, _GUARD_ERROR, 2 * plan.smallest) > _TAIL:
            words = f"{slow.y} of {slow.n} answers of b took longer than {plan.slowest:g} s"
            return ExperimentOutcome("guardrail", f"{words}, where {_TAIL:.0%} may")
        low, high = self.interval("good")
        words = f"{self._shares('good')}: {low:+.1%} to {high:+.1%}"
        if low > 0 or high < 0:
            return ExperimentOutcome("better" if low > 0 else "worse", words)
        # without votes both shares are 0 and nothing was compared
        if -plan.smallest < low and high < plan.smallest and any(sums.y for sums in good):
            return ExperimentOutcome("no difference", f"{words}, within {plan.smallest:.1%}")
        if sum(sums.n for sums in good) >= plan.most_answers:
            return ExperimentOutcome("inconclusive", f"{words}, which decides nothing")
        return None

    def _shares(self, measure: str) -> str:
        first, second = self.sums(measure)
        name = self.plan.metric if measure == "good" else measure
        return f"{name} {second.y} of {second.n} answers by b, {first.y} of {first.n} by a"
