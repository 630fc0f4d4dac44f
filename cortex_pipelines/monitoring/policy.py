"""Whether to train a model again: rules over evidence, with the reasons in words, and the log of decisions."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from cortex_pipelines.monitoring.settings import RetrainingRule

Occasion = Literal["nightly", "weekly", "person"]  # who asks, which decides how long a training may take
_LOG = Path(".cortex") / "retraining.jsonl"


@dataclass(frozen=True)
class RetrainingDecision:
    retrain: bool
    reasons: tuple[str, ...]

    def describe(self) -> str:
        return f"{'train' if self.retrain else 'rest'}: {'; '.join(self.reasons)}"


def log_decision(root: Path, model: str, decision: RetrainingDecision, occasion: Occasion) -> None:
    decided_at = datetime.now(UTC).isoformat(timespec="seconds")
    line = {"at": decided_at, "by": occasion, "model": model, **asdict(decision)}
    path = root / _LOG
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def last_decisions(root: Path) -> list[str]:
    """The latest decision about each model, one line each, by name."""
    path = root / _LOG
    latest: dict[str, dict[str, Any]] = {}
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
        except ValueError:
            continue  # a kill left half of it
        latest[line["model"]] = line
    return [
        f"{name}: {RetrainingDecision(line['retrain'], tuple(line['reasons'])).describe()} ({line['by']}, {line['at']})"
        for name, line in sorted(latest.items())
    ]


@dataclass(frozen=True)
class RetrainingInputs:
    """Inputs to the retraining decision; None where something is not known.

    ``settings`` are those that a person changed since the last training, ``days`` the time since then;
    ``new`` counts what the champion has not seen, ``errors`` is the share of wrong or not retained
    answers and the lower end of its interval.
    """

    trained: bool
    champion: bool
    settings: tuple[str, ...] = ()
    days: float | None = None
    new: int | None = None
    new_share: float | None = None
    drifting: int = 0
    worse: bool = False
    errors: tuple[float, float] | None = None
    corrections: int | None = None
    forgotten: bool = False
    minutes: float | None = None


def should_retrain(inputs: RetrainingInputs, rule: RetrainingRule, most_minutes: int | None) -> RetrainingDecision:
    """Decide whether a model whose inputs changed is trained again.

    A model without a champion is trained as often as there is something new: nothing else can get it past its gate.
    What a person changed in the settings, or asked to be forgotten, is obeyed. Otherwise there has to be a reason, the
    last training has to be some days ago, and the cost has to be within the budget. ``most_minutes`` is the longest
    training that may begin now, None for any.
    """
    for_it = _reasons(inputs, rule)
    if not for_it:
        if inputs.new is None or inputs.new_share is None:
            words = "what the champion has not seen is not known, and nothing else calls for a training"
        else:
            words = f"{inputs.new:,} new ({inputs.new_share:.1%}, at {rule.new_share:.0%} it trains)"
            words += "" if inputs.drifting else ", no drift"
        return RetrainingDecision(False, (words,))
    obeyed = not inputs.champion or bool(inputs.settings) or inputs.forgotten
    if not obeyed and inputs.days is not None and 0 <= inputs.days < rule.rest_days:
        too_recent = f"but it was trained {inputs.days:.1f} days ago, and rests for {rule.rest_days}"
        return RetrainingDecision(False, (*for_it, too_recent))
    if most_minutes is not None and (inputs.minutes or 0) > most_minutes:
        cost = f"but it takes some {inputs.minutes:.0f} minutes, of at most {most_minutes} now"
        return RetrainingDecision(False, (*for_it, cost))
    return RetrainingDecision(True, for_it)


def _reasons(inputs: RetrainingInputs, rule: RetrainingRule) -> tuple[str, ...]:
    if not inputs.trained:
        return ("no model yet",)
    reasons = []
    if not inputs.champion:
        reasons.append("no champion yet, and something is new")
    if inputs.forgotten:
        reasons.append("something that it was made from is to be forgotten")
    if inputs.settings:
        reasons.append(f"settings changed: {', '.join(inputs.settings)}")
    if inputs.worse:
        reasons.append("the champion does worse than it did, by more than chance")
    if inputs.errors and inputs.errors[1] > rule.error_budget:
        reasons.append(
            f"the error budget of {rule.error_budget:.0%} is spent: {inputs.errors[0]:.0%}, and "
            f"at least {inputs.errors[1]:.0%}"
        )
    enough_new = (inputs.new or 0) >= rule.new_items
    if rule.drift and inputs.drifting and enough_new:
        features = "feature of what is new drifts" if inputs.drifting == 1 else "features of what is new drift"
        reasons.append(f"{inputs.drifting} {features}")
    if enough_new and inputs.new_share is not None and inputs.new_share >= rule.new_share:
        reasons.append(f"{inputs.new_share:.0%} is new ({inputs.new:,})")
    if rule.corrections is not None and (inputs.corrections or 0) >= rule.corrections:
        reasons.append(f"{inputs.corrections} corrections by people that it has not seen")
    if inputs.new and inputs.days is not None and inputs.days >= rule.most_days:
        reasons.append(f"the last training is {inputs.days:.0f} days ago, and {inputs.new} new")
    return tuple(reasons)
