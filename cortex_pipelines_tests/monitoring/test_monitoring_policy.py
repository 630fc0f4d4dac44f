from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cortex_pipelines.monitoring.policy import (
    RetrainingDecision,
    RetrainingInputs,
    last_decisions,
    log_decision,
    should_retrain,
)
from cortex_pipelines.monitoring.settings import RetrainingRule

CASES = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
RULE = RetrainingRule(
    new_share=0.1, new_items=50, corrections=20, drift=True, error_budget=0.4, rest_days=2, most_days=30
)
QUIET = RetrainingInputs(trained=True, champion=True, days=5.0, new=10, new_share=0.02, minutes=60.0)


@pytest.mark.parametrize(("changed", "reason"), CASES["test_each_reason_suffices_and_is_said"])
def test_each_reason_suffices_and_is_said(changed: dict[str, Any], reason: str) -> None:
    decision = should_retrain(replace(QUIET, **changed), RULE, 360)
    assert decision.retrain
    assert len(decision.reasons) == 1
    assert reason in decision.describe()


@pytest.mark.parametrize("changed", CASES["test_without_a_reason_it_rests_and_says_how_far_it_is"])
def test_without_a_reason_it_rests_and_says_how_far_it_is(changed: dict[str, Any]) -> None:
    decision = should_retrain(replace(QUIET, **changed), RULE, 360)
    assert not decision.retrain
    assert decision.describe().startswith("rest: ")


def test_rest_and_cost_hold_a_training_back() -> None:
    due = replace(QUIET, new=500, new_share=0.5)
    assert should_retrain(replace(due, days=-3650.0), RULE, 360).retrain, "a clock was ahead during the last training"
    early = should_retrain(replace(due, days=1.0), RULE, 360)
    assert early.describe() == ("rest: 50% is new (500); but it was trained 1.0 days ago, and rests for 2")
    dear = should_retrain(replace(due, minutes=400.0), RULE, 360)
    assert dear.describe().endswith("but it takes some 400 minutes, of at most 360 now")
    assert should_retrain(replace(due, minutes=400.0), RULE, None).retrain
    # what a person changed, and a model without a champion, does not rest; it may cost too much
    for changed in ({"settings": ("adapters",)}, {"champion": False}, {"forgotten": True}):
        assert should_retrain(replace(due, days=0.1, **changed), RULE, 360).retrain
        assert not should_retrain(replace(due, minutes=400.0, **changed), RULE, 360).retrain


def test_switched_off_reasons_do_not_count() -> None:
    rule = RULE.model_copy(update={"drift": False, "corrections": None})
    decision = should_retrain(replace(QUIET, drifting=3, new=60, corrections=99), rule, None)
    assert decision.describe() == "rest: 60 new (2.0%, at 10% it trains)"


def test_decisions_are_kept_and_the_latest_is_told(tmp_path: Path) -> None:
    assert last_decisions(tmp_path) == []
    log_decision(tmp_path, "b", RetrainingDecision(False, ("nothing new",)), "nightly")
    log_decision(tmp_path, "a", RetrainingDecision(True, ("all is new", "it is old")), "weekly")
    log_decision(tmp_path, "b", RetrainingDecision(True, ("drift",)), "person")
    with (tmp_path / ".cortex" / "retraining.jsonl").open("a") as file:
        file.write('{"model": "a", "ret')
    first, second = last_decisions(tmp_path)
    assert first.startswith("a: train: all is new; it is old (weekly, 20")
    assert second.startswith("b: train: drift (person, 20")
