import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.release.gates import Count, GateError, Verdict, analyse, decide, look_of
from cortex_pipelines.release.settings import GateSettings

BETTER = {"improvement": 0.1, "improvement_low": 0.05, "improvement_high": 0.15, "items": 40}
WORSE = {"improvement": -0.1, "improvement_low": -0.2, "improvement_high": -0.01, "items": 40}
UNCHANGED = {"improvement": 0.0, "improvement_low": 0.0, "improvement_high": 0.0, "items": 40}
TOO_FEW: tuple[dict[str, float], ...] = ({}, {"items": 0, "clusters": 0}, {**BETTER, "items": 9})


def gate(**changes: Any) -> GateSettings:
    plain = {"figure": "improvement", "smallest_improvement": 0.02, "smallest_items": 10, "guards": {}}
    return GateSettings.model_validate({**plain, "guards": {}, **changes})


def verdict(metrics: dict[str, float], **changes: Any) -> Verdict:
    return decide(metrics, gate(**changes))


def guard(name: str, at_least: float | None = None, at_most: float | None = None) -> dict[str, Any]:
    return {"guards": {name: {"at_least": at_least, "at_most": at_most}}}


OWN_LOW = guard("own_low", at_least=0.0)
CONTROL = guard("own_improvement_low", at_least=0.0)


@pytest.mark.parametrize(
    ("metrics", "changes", "expected", "words"),
    [
        (BETTER, {}, "promoted", "better: 0.1, and its interval, 0.05 to 0.15"),
        (BETTER | {"hand_written_sample": 1.0}, {}, "promoted", "hand-written sample"),
        (BETTER, {"smallest_improvement": 0.06}, "kept", "does not lie above the smallest worth shipping, 0.06"),
        (BETTER | {"improvement_low": -0.01}, {}, "kept", ""),
        (WORSE, {}, "refused", "significantly worse"),
        (UNCHANGED, {"smallest_improvement": 0}, "kept", ""),
        *((few, guard("accuracy", at_least=0.5), "kept", "10 are needed") for few in TOO_FEW),
        # clusters are the evidence where items come in them
        (BETTER | {"clusters": 9}, {}, "kept", ""),
        (BETTER | {"clusters": 10}, {}, "promoted", ""),
        (BETTER | {"own_improvement_low": -0.02}, CONTROL, "kept", "not shown that it learnt this project"),
        (BETTER, CONTROL, "kept", "general.project has to name a project of the same language"),
        # a guard on the low end of an interval keeps and does not refuse
        (BETTER | {"own_low": 0.1}, OWN_LOW, "promoted", ""),
        (
            BETTER | {"own_low": -0.1},
            OWN_LOW,
            "kept",
            "not shown: own: the interval begins at -0.1, and must not begin below 0",
        ),
        (BETTER, OWN_LOW, "kept", ""),
        (WORSE | {"own_low": -0.1}, OWN_LOW, "refused", ""),
    ],
)
def test_verdict_and_reason(metrics: dict[str, float], changes: dict[str, Any], expected: str, words: str) -> None:
    decision = verdict(metrics, **changes)
    assert decision.verdict == expected
    assert words in decision.reason


def test_a_verdict_has_the_figures_that_the_settings_name_as_plain_data() -> None:
    assert verdict(BETTER).figures == {**BETTER, "smallest_improvement": 0.02}
    assert verdict({**BETTER, "hand_written_sample": 1.0}).figures["hand_written_sample"] == 1.0
    assert "sample" not in verdict({**BETTER, "hand_written_sample": 0.0}).reason
    metrics = {"gain": 0.1, "gain_low": 0.05, "gain_high": 0.2, "items": 40}
    decision = verdict(metrics, figure="gain")
    assert (decision.verdict, decision.figures["improvement_high"]) == ("promoted", 0.2)
    with pytest.raises(GateError, match=r"no gain, gain_low, gain_high; .* improvement_high, "):
        verdict(BETTER, figure="gain")
    decision = verdict({**BETTER, "accuracy": 0.4}, **guard("accuracy", at_least=0.5))
    plain = json.loads(json.dumps(decision.as_dict()))
    assert plain["verdict"] == "refused"
    assert plain["guards"] == [{"name": "accuracy", "value": 0.4, "at_least": 0.5, "at_most": None, "passed": False}]


@pytest.mark.parametrize(
    ("limits", "value", "passed", "words"),
    [
        (guard("accuracy", at_least=0.5), 0.5, True, ""),
        (guard("accuracy", at_least=0.5), 0.4, False, "accuracy: 0.4, where at least 0.5 is allowed"),
        (guard("accuracy", at_most=0.5), 0.5, True, ""),
        (guard("accuracy", at_most=0.5), 0.6, False, "accuracy: 0.6, where at most 0.5 is allowed"),
        (guard("accuracy", at_least=0.1), float("nan"), False, "accuracy: nan"),
        (guard("ece", at_most=0.1), 0.6, False, "not measured: ece"),
    ],
)
def test_guards(limits: dict[str, Any], value: float, passed: bool, words: str) -> None:
    decision = verdict({**BETTER, "accuracy": value}, **limits)
    assert decision.verdict == ("promoted" if passed else "refused")
    assert [guard_result.passed for guard_result in decision.guards] == [passed]
    assert words in decision.reason


numbers = st.floats(-1, 1)


@given(st.tuples(numbers, numbers, numbers).map(sorted), numbers.map(abs))
def test_never_promoted_unless_the_whole_interval_is_above_zero(interval: list[float], smallest: float) -> None:
    names = ("improvement_low", "improvement", "improvement_high")
    metrics = {**dict(zip(names, interval, strict=True)), "items": 100.0}
    decision = verdict(metrics, smallest_improvement=smallest)
    assert (decision.verdict == "promoted") == (interval[0] >= smallest and interval[0] > 0)
    assert (decision.verdict == "refused") == (interval[2] < 0)


RULES = {"least_answers": 50, "most_answers": 400, "margin": 0.05}


@pytest.mark.parametrize(
    ("canary", "champion", "conclusion"),
    [
        (Count(49, 49), Count(900, 0), None),
        (Count(50, 20), Count(900, 9), "failure"),
        (Count(100, 0), Count(49, 0), None),
        (Count(200, 0), Count(900, 9), "success"),
        (Count(100, 4), Count(900, 9), None),
        (Count(400, 25), Count(900, 30), "inconclusive"),
        (Count(400, 0), Count(10, 0), "inconclusive"),
        (Count(50, 50), Count(50, 50), None),
    ],
)
def test_the_rule(canary: Count, champion: Count, conclusion: str | None) -> None:
    analysis = analyse(canary, champion, RULES)
    assert (analysis.conclusion if analysis else None) == conclusion
    if analysis:
        assert f"{canary.failed} of {canary.answered} answers" in analysis.reason


def test_looking_often_withdraws_no_good_canary() -> None:
    """Of canaries as reliable as the champion, at most one in twenty may be withdrawn."""
    chance, withdrawn, runs = random.Random(0), 0, 400
    for _ in range(runs):
        failed = [0, 0]
        for answered in range(1, 801):
            for position in (0, 1):
                failed[position] += chance.random() < 0.1
            if look_of(answered, 50) > look_of(answered - 1, 50):
                counts = [Count(answered, each) for each in failed]
                analysis = analyse(counts[0], counts[1], {**RULES, "most_answers": 10_000})
                if analysis and analysis.conclusion == "failure":
                    withdrawn += 1
                    break
    assert withdrawn / runs <= 0.05
