import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.release.gates import GateError, Verdict, decide
from cortex_pipelines.release.settings import GateSettings

BETTER = {"improvement": 0.1, "improvement_low": 0.05, "improvement_high": 0.15, "items": 40}


def gate(**changes: Any) -> GateSettings:
    plain = {"figure": "improvement", "smallest_improvement": 0.02, "smallest_items": 10, "guards": {}}
    return GateSettings.model_validate({**plain, "guards": {}, **changes})


def verdict(metrics: dict[str, float], **changes: Any) -> Verdict:
    return decide(metrics, gate(**changes))


def guard(name: str, at_least: float | None = None, at_most: float | None = None) -> dict[str, Any]:
    return {"guards": {name: {"at_least": at_least, "at_most": at_most}}}


def test_clear_of_the_smallest_improvement_is_promoted() -> None:
    decision = verdict(BETTER)
    assert decision.verdict == "promoted"
    assert "0.1, interval 0.05 to 0.15" in decision.reason
    assert decision.figures == {**BETTER, "smallest_improvement": 0.02}


def test_a_verdict_on_a_sample_says_that_it_is_one() -> None:
    decision = verdict({**BETTER, "hand_written_sample": 1.0})
    assert decision.verdict == "promoted"
    assert "hand-written sample" in decision.reason
    assert decision.figures["hand_written_sample"] == 1.0
    assert "sample" not in verdict({**BETTER, "hand_written_sample": 0.0}).reason


def test_better_but_by_too_little_is_kept() -> None:
    decision = verdict(BETTER, smallest_improvement=0.06)
    assert decision.verdict == "kept"
    assert "does not lie above the smallest worth shipping, 0.06" in decision.reason


def test_an_interval_around_zero_is_kept() -> None:
    assert verdict({**BETTER, "improvement_low": -0.01}).verdict == "kept"


def test_an_interval_below_zero_is_refused() -> None:
    worse = {"improvement": -0.1, "improvement_low": -0.2, "improvement_high": -0.01, "items": 40}
    decision = verdict(worse)
    assert decision.verdict == "refused"
    assert "significantly worse" in decision.reason


def test_a_model_that_changes_nothing_is_kept_even_if_nothing_is_asked_for() -> None:
    unchanged = {"improvement": 0.0, "improvement_low": 0.0, "improvement_high": 0.0, "items": 40}
    assert verdict(unchanged, smallest_improvement=0).verdict == "kept"


@pytest.mark.parametrize("metrics", [{}, {"items": 0, "clusters": 0}, {**BETTER, "items": 9}])
def test_too_little_evidence_is_kept(metrics: dict[str, float]) -> None:
    decision = verdict(metrics, **guard("accuracy", at_least=0.5))
    assert decision.verdict == "kept"
    assert "10 are needed" in decision.reason


def test_the_figure_is_the_one_that_the_settings_name() -> None:
    metrics = {"gain": 0.1, "gain_low": 0.05, "gain_high": 0.2, "items": 40}
    decision = verdict(metrics, figure="gain")
    assert decision.verdict == "promoted"
    assert decision.figures["improvement_high"] == 0.2


def test_a_figure_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(GateError, match=r"no gain, gain_low, gain_high; .* improvement_high, "):
        verdict(BETTER, figure="gain")


def test_clusters_are_the_evidence_where_items_come_in_them() -> None:
    assert verdict({**BETTER, "clusters": 9}).verdict == "kept"
    assert verdict({**BETTER, "clusters": 10}).verdict == "promoted"


@pytest.mark.parametrize(
    ("limits", "value", "passed", "words"),
    [
        (guard("accuracy", at_least=0.5), 0.5, True, ""),
        (guard("accuracy", at_least=0.5), 0.4, False, "accuracy is 0.4, must be at least 0.5"),
        (guard("accuracy", at_most=0.5), 0.5, True, ""),
        (guard("accuracy", at_most=0.5), 0.6, False, "accuracy is 0.6, must be at most 0.5"),
        (guard("accuracy", at_least=0.1), float("nan"), False, "accuracy is nan"),
        (guard("ece", at_most=0.1), 0.6, False, "ece was not measured"),
    ],
)
def test_guards(limits: dict[str, Any], value: float, passed: bool, words: str) -> None:
    decision = verdict({**BETTER, "accuracy": value}, **limits)
    assert decision.verdict == ("promoted" if passed else "refused")
    assert [guard_result.passed for guard_result in decision.guards] == [passed]
    assert words in decision.reason


def test_a_verdict_is_plain_data() -> None:
    decision = verdict({**BETTER, "accuracy": 0.4}, **guard("accuracy", at_least=0.5))
    plain = json.loads(json.dumps(decision.as_dict()))
    assert plain["verdict"] == "refused"
    assert plain["guards"] == [{"name": "accuracy", "value": 0.4, "at_least": 0.5, "at_most": None, "passed": False}]


numbers = st.floats(-1, 1)


@given(st.tuples(numbers, numbers, numbers).map(sorted), numbers.map(abs))
def test_never_promoted_unless_the_whole_interval_is_above_zero(interval: list[float], smallest: float) -> None:
    names = ("improvement_low", "improvement", "improvement_high")
    metrics = {**dict(zip(names, interval, strict=True)), "items": 100.0}
    decision = verdict(metrics, smallest_improvement=smallest)
    assert (decision.verdict == "promoted") == (interval[0] >= smallest and interval[0] > 0)
    assert (decision.verdict == "refused") == (interval[2] < 0)


def test_a_broken_guard_of_the_profiles_says_what_it_guards() -> None:
    limits = guard("own_improvement_low", at_least=0.0)
    reason = verdict({**BETTER, "own_improvement_low": -0.02}, **limits).reason
    assert "gain on the project's own code beyond that on other code" in reason


def test_a_missing_control_says_how_to_get_one() -> None:
    reason = verdict(BETTER, **guard("own_improvement_low", at_least=0.0)).reason
    assert "general.project has to name a project of the same language" in reason


def test_a_guard_on_the_low_end_of_an_interval_keeps_and_does_not_refuse() -> None:
    limits = guard("own_low", at_least=0.0)
    assert verdict({**BETTER, "own_low": 0.1}, **limits).verdict == "promoted"
    decision = verdict({**BETTER, "own_low": -0.1}, **limits)
    assert decision.verdict == "kept"
    assert decision.reason == "guard not met: own_low is -0.1, must be at least 0"
    assert verdict(BETTER, **limits).verdict == "kept"
    worse = {"improvement": -0.1, "improvement_low": -0.2, "improvement_high": -0.01, "items": 40}
    assert verdict({**worse, "own_low": -0.1}, **limits).verdict == "refused"
