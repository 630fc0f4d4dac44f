"""Promotion gates, ``verdict.json``, and the analysis of a canary: functions of metrics and settings."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cortex_pipelines.release.settings import GateSettings

MEANINGS = {
    "improvement_over_base": "the bits per byte saved over the base, all tasks together",
    "own_improvement_low": "that it learnt this project (bits per byte saved on its code beyond those on other code)",
    "gain_over_untrained_low": "that training pays (bits per byte saved over the best way without it: the base, with "
    "or without similar code in the prompt)",
    "exposure_by_gain": "the bits by which planted strings are remembered",
    "extraction_beyond_base": "the share of rare training lines that only the adapter completes word by word",
}
"""What the profiles guard, in words: of a low end (``…_low``) the claim that it is evidence for."""

_WAYS_TO_MEASURE = {
    "own_improvement_low": "general.project has to name a project of the same language that stands "
    "for all other code, such as one that `cortex add --control other pypi:flask==3.1.3` adds"
}
"""Remedy for a metric that was not measured; by default, change the evaluation's settings."""

SAMPLE = "Measured on a hand-written sample: the path works, nothing else is shown"


@dataclass(frozen=True)
class GuardResult:
    name: str
    value: float | None
    at_least: float | None
    at_most: float | None
    passed: bool

    @property
    def limits(self) -> str:
        bounds = (("at least", self.at_least), ("at most", self.at_most))
        return " and ".join(f"{word} {limit:g}" for word, limit in bounds if limit is not None)


@dataclass(frozen=True)
class Verdict:
    """``promoted``: sufficiently better; ``kept``: not shown to be better, so the champion stays; ``refused``:
    worse, or a guard is broken. A broken guard on the low end of an interval (``…_low``) means that the evidence is
    missing, so the verdict is ``kept``.
    """

    verdict: Literal["promoted", "kept", "refused"]
    reason: str
    figures: dict[str, float]
    guards: tuple[GuardResult, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class GateError(ValueError):
    pass


def decide(metrics: Mapping[str, float], gate: GateSettings) -> Verdict:
    """The gate's verdict on an evaluation.

    Of the flat metrics the gate's ``figure`` with ``_low`` and ``_high`` compares the challenger with its reference;
    ``items``, or ``clusters`` if items are not independent, is the sample size; guarded metrics go by their names;
    ``hand_written_sample`` is mentioned in the reason. Raises ``GateError`` if items were measured, but not the figure.
    """
    figures = {name: float(metrics[name]) for name in ("items", "clusters") if name in metrics}
    if figures.get("items"):
        names = {f"improvement{end}": f"{gate.figure}{end}" for end in ("", "_low", "_high")}
        missing = [name for name in names.values() if name not in metrics]
        if missing:
            raise GateError(
                f"the evaluation's metrics.json has no {', '.join(missing)}; correct `figure` in the "
                f"release section of params.yaml to one of its names: {', '.join(sorted(metrics))}"
            )
        figures |= {name: float(metrics[key]) for name, key in names.items()}
    guards = tuple(
        GuardResult(name, value, limits.at_least, limits.at_most, limits.allows(value))
        for name, limits in sorted(gate.guards.items())
        for value in [metrics.get(name)]
    )
    figures["smallest_improvement"] = gate.smallest_improvement
    verdict, reason = _judge(figures, gate, guards)
    if metrics.get("hand_written_sample"):
        reason += f". {SAMPLE}"
        figures["hand_written_sample"] = 1.0
    return Verdict(verdict, reason, figures, guards)


def _judge(
    figures: Mapping[str, float], gate: GateSettings, guards: tuple[GuardResult, ...]
) -> tuple[Literal["promoted", "kept", "refused"], str]:
    support = int(figures.get("clusters", figures.get("items", 0)))
    if support < gate.smallest_items:
        return "kept", (f"{support} independent held-out items, {gate.smallest_items} are needed to compare")
    broken = [guard for guard in guards if not guard.passed]
    # a guard that an interval has to lie above a limit asks for evidence
    refusing = [guard for guard in broken if not guard.name.endswith("_low") or guard.at_least is None]
    if refusing:
        return "refused", f"a limit is broken: {'; '.join(map(describe_guard, refusing))}"
    low, high = figures["improvement_low"], figures["improvement_high"]
    interval = f"{figures['improvement']:.4g}, and its interval, {low:.4g} to {high:.4g},"
    smallest = f"the smallest worth shipping, {gate.smallest_improvement:g}"
    if high < 0:
        return "refused", f"significantly worse: {interval} lies below zero"
    if broken:
        return "kept", "; ".join(map(describe_guard, broken))
    # also above zero: a model that changes nothing is not worth promoting, whatever the setting
    if low >= gate.smallest_improvement and low > 0:
        return "promoted", f"significantly better: {interval} lies above {smallest}"
    return "kept", f"no sufficient improvement: {interval} does not lie above {smallest}"


def describe_guard(guard: GuardResult) -> str:
    """A guard that is not met, in words: what was found and what is asked for."""
    words = MEANINGS.get(guard.name, guard.name.removesuffix("_low").replace("_", " "))
    if guard.value is None:
        remedy = _WAYS_TO_MEASURE.get(guard.name, "have the evaluation measure it")
        return f"not measured: {words}: {remedy}; or take {guard.name} out of the release section of params.yaml"
    if guard.name.endswith("_low") and guard.at_least is not None:
        claim = f" {words}" if guard.name in MEANINGS else f": {words}"
        return (
            f"not shown{claim}: the interval begins at {guard.value:.3g}, and must not begin below {guard.at_least:g}"
        )
    return f"{words}: {guard.value:.3g}, where {guard.limits} is allowed"


FILE = "verdict.json"


def judge(metrics: Mapping[str, float | None], model_version: str, gate: GateSettings, out: Path) -> Verdict:
    """Apply the gate to an evaluation and write the verdict."""
    verdict = decide({name: value for name, value in metrics.items() if value is not None}, gate)
    text = json.dumps({"model_version": model_version, **verdict.as_dict()}, indent=1, sort_keys=True)
    (out / FILE).write_text(text + "\n", encoding="utf-8")
    return verdict


def read_metrics(evaluation: Path) -> dict[str, float | None]:
    loaded: dict[str, float | None] = json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"))
    return loaded


def read_verdict(folder: Path) -> dict[str, Any] | None:
    path = folder / FILE
    loaded: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return loaded


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
    shares = [f"{count.failed} of {count.answered} answers" for count in (canary, champion)]
    words = f"fails in {shares[0]}, the champion {shares[1]}"
    if look:
        # interval of the difference of two proportions (Newcombe 1998, method 10)
        confidence = 1 - _ERROR / 2**look
        from cortex_pipelines.statistics.intervals import wilson  # scipy is slow to import

        first = wilson(canary.failed, canary.answered, confidence)
        second = wilson(champion.failed, champion.answered, confidence)
        difference = first.estimate - second.estimate
        low = difference - math.hypot(first.estimate - first.low, second.high - second.estimate)
        high = difference + math.hypot(first.high - first.estimate, second.estimate - second.low)
        comparison = f"{words}: {low:+.1%} to {high:+.1%}"
        if low > 0:
            return Analysis("failure", comparison)
        if high < float(rules["margin"]):
            return Analysis("success", f"{comparison}, within {rules['margin']:.1%}")
    if canary.answered >= max_answers:
        return Analysis("inconclusive", f"{words}, which decides nothing")
    return None
