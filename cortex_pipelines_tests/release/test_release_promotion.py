import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.release import ledger, promotion
from cortex_pipelines.release.gates import judge, read_metrics, read_verdict
from cortex_pipelines.release.settings import DeploymentSettings, GateSettings
from cortex_pipelines.versioning.champions import ChampionPin
from cortex_pipelines.versioning.project import read_yaml
from cortex_pipelines_tests.messages import missing, refusal
from cortex_pipelines_tests.parameters import sections

ROUTER = ledger.ReleasedModel("task_router", None)
ADAPTER = ledger.ReleasedModel("code_adapter", "demo")
MODELS = [ROUTER, ADAPTER]
AT = "2026-01-02T03:04:05+00:00"


def deployment(**changes: Any) -> DeploymentSettings:
    return DeploymentSettings.model_validate(sections()["deployment"] | changes)


def decided(root: Path, model: ledger.ReleasedModel, version: str, verdict: str = "promoted") -> None:
    folder = promotion.verdict_folder(root, model)
    folder.mkdir(parents=True, exist_ok=True)
    value = {"model_version": version, "verdict": verdict, "reason": "as measured"}
    (folder / "verdict.json").write_text(json.dumps(value))


def promoted(root: Path, model: ledger.ReleasedModel, version: str) -> ledger.LedgerEntry | None:
    decided(root, model, version)
    return promotion.promote(root, model, promotion.ReleaseAction("someone", AT, "better"))


def rolled_back(root: Path, model: ledger.ReleasedModel, to: str | None = None) -> ledger.LedgerEntry | None:
    return promotion.rollback(root, model, promotion.ReleaseAction("someone", AT, "slow"), to)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_promotions_and_rollbacks_follow_each_other(tmp_path: Path, model: ledger.ReleasedModel) -> None:
    ledger.ensure_keys(tmp_path, MODELS)
    for version in ("a", "b", "c"):
        assert promoted(tmp_path, model, version)
    assert ledger.champion(tmp_path, model) == ChampionPin("c", "b")
    rolled_back(tmp_path, model)
    assert ledger.champion(tmp_path, model) == ChampionPin("b", "a")
    rolled_back(tmp_path, model, "1.0.0")
    assert ledger.champion(tmp_path, model) == ChampionPin("a", None)
    rolled_back(tmp_path, model, "baseline")
    assert ledger.champion(tmp_path, model) == ChampionPin(None, None)
    assert "no champion to roll back" in refusal(ledger.ReleaseError, rolled_back, tmp_path, model, "1.0.0")
    assert [(line.action, line.version, line.previous) for line in ledger.ledger(tmp_path)] == [
        *(("promote", "a", None), ("promote", "b", "a"), ("promote", "c", "b")),
        *(("rollback", "b", "c"), ("rollback", "a", "b"), ("rollback", None, "a")),
    ]
    assert [line.number for line in ledger.ledger(tmp_path)] == [*("1.0.0", "2.0.0", "3.0.0", "2.0.0", "1.0.0"), None]
    (other,) = [candidate for candidate in MODELS if candidate != model]
    assert ledger.champion(tmp_path, other) == ChampionPin()


def test_a_line_of_the_ledger_says_who_when_and_why_and_comes_once(tmp_path: Path) -> None:
    entry = promoted(tmp_path, ROUTER, "a")
    assert entry == ledger.LedgerEntry(AT, "someone", "promote", "task_router", "a", None, "better", "1.0.0")
    assert ledger.ledger(tmp_path) == [entry]
    promoted(tmp_path, ROUTER, "a")
    assert (promoted(tmp_path, ROUTER, "a"), len(ledger.ledger(tmp_path))) == (None, 1)


def test_the_ledger_says_by_which_templates_prompts_were_made(tmp_path: Path) -> None:
    ledger.ensure_keys(tmp_path, MODELS)
    promoted(tmp_path, ADAPTER, "a")
    decided(tmp_path, ADAPTER, "b")
    promotion.promote(tmp_path, ADAPTER, promotion.ReleaseAction("someone", AT, "better"), prompts={"naming": "0123"})
    rolled_back(tmp_path, ADAPTER)
    lines = ledger.moves(tmp_path, ADAPTER)
    assert (ledger.prompts_of(lines, "a"), ledger.prompts_of(lines, "b")) == ({}, {"naming": "0123"})
    assert "prompts" not in lines[0].as_dict()


@pytest.mark.parametrize("verdict", ["kept", "refused"])
def test_what_the_gate_has_not_passed_stays_challenger(tmp_path: Path, verdict: str) -> None:
    decided(tmp_path, ROUTER, "a", verdict)
    assert not promotion.may_be_promoted(tmp_path, ROUTER)
    with pytest.raises(ledger.ReleaseError, match=f"the gate's verdict is {verdict}: as measured"):
        promotion.promote(tmp_path, ROUTER, promotion.ReleaseAction("someone", AT, "wishful"))
    assert ledger.ledger(tmp_path) == []


def test_what_is_too_slow_is_served_by_decision_alone(tmp_path: Path) -> None:
    asked: list[str] = []

    def too_slow(version: str) -> str:
        asked.append(version)
        return "40 tokens took 700 ms"

    ledger.ensure_keys(tmp_path, MODELS)
    act = promotion.ReleaseAction("someone", AT, "quick enough")
    decided(tmp_path, ADAPTER, "a", "kept")
    with pytest.raises(ledger.ReleaseError, match="verdict is kept"):
        promotion.promote(tmp_path, ADAPTER, act, too_slow=too_slow)
    assert asked == [], "a model that is held back anyway is not measured"
    decided(tmp_path, ADAPTER, "a")
    sentence = refusal(ledger.ReleaseError, promotion.promote, tmp_path, ADAPTER, act, too_slow=too_slow)
    assert missing(sentence, "code_adapter-demo: 40 tokens took 700 ms; the champion stays", "--despite-gate") == []
    assert (asked, ledger.ledger(tmp_path)) == (["a"], [])
    entry = promotion.promote(tmp_path, ADAPTER, act, despite_gate=True, too_slow=too_slow)
    assert entry is not None
    assert "although its gate says 40 tokens took 700 ms: quick enough" in str(entry.despite_gate)


def test_without_a_verdict_nothing_moves(tmp_path: Path) -> None:
    assert not promotion.may_be_promoted(tmp_path, ROUTER)
    with pytest.raises(ledger.ReleaseError, match="run `cortex run` first"):
        promotion.promote(tmp_path, ROUTER, promotion.ReleaseAction("someone", AT, "wishful"))
    roles = promotion.model_roles(tmp_path, ROUTER)
    assert {role: value for role, value in roles.items() if value} == {"model": "task_router"}


def test_a_version_rolled_back_is_promoted_again_by_name_alone(tmp_path: Path) -> None:
    promoted(tmp_path, ROUTER, "a")
    promoted(tmp_path, ROUTER, "b")
    rolled_back(tmp_path, ROUTER)
    assert ledger.was_rolled_back(ledger.ledger(tmp_path), "b")
    assert not ledger.was_rolled_back(ledger.ledger(tmp_path), "a")
    assert not ledger.was_rolled_back(ledger.ledger(tmp_path), "new")
    assert not promotion.may_be_promoted(tmp_path, ROUTER)
    decided(tmp_path, ROUTER, "c")
    assert promotion.may_be_promoted(tmp_path, ROUTER), "another version may"
    assert promoted(tmp_path, ROUTER, "b")
    assert not ledger.was_rolled_back(ledger.ledger(tmp_path), "b")


def test_keys_come_and_go_with_projects_and_champions_stay(tmp_path: Path) -> None:
    ledger.ensure_keys(tmp_path, MODELS)
    champions = {"code_adapter": {"demo": None}, "task_router": None}
    assert read_yaml(tmp_path / "releases.lock") == {"champions": champions, "ledger": []}
    promoted(tmp_path, ADAPTER, "a")
    modified_ns = (tmp_path / "releases.lock").stat().st_mtime_ns
    ledger.ensure_keys(tmp_path, MODELS)
    assert (tmp_path / "releases.lock").stat().st_mtime_ns == modified_ns
    more = [*MODELS, ledger.ReleasedModel("code_adapter", "more")]
    ledger.ensure_keys(tmp_path, more)
    assert ledger.champion(tmp_path, ADAPTER).champion == "a"
    ledger.ensure_keys(tmp_path, [ROUTER])
    assert read_yaml(tmp_path / "releases.lock")["champions"] == {"task_router": None}
    assert len(ledger.ledger(tmp_path)) == 1, "what happened stays on record"


def test_a_verdict_is_written_and_read_back(tmp_path: Path) -> None:
    evaluation, out = tmp_path / "evaluation", tmp_path / "out"
    evaluation.mkdir()
    out.mkdir()
    metrics = {"gain": 0.3, "gain_low": 0.2, "gain_high": 0.4, "items": 50, "unknown": None}
    (evaluation / "metrics.json").write_text(json.dumps(metrics))
    gate = GateSettings(figure="gain", smallest_improvement=0.1, smallest_items=10, guards={})
    assert read_verdict(out) is None
    judge(read_metrics(evaluation), "v1", gate, out)
    content = read_verdict(out)
    assert (content["model_version"], content["verdict"]) == ("v1", "promoted")
    first = (out / "verdict.json").read_bytes()
    judge(read_metrics(evaluation), "v1", gate, out)
    assert (out / "verdict.json").read_bytes() == first


@given(acts=st.lists(st.sampled_from(["a", "b", "c", "canary a", "canary b", "back"]), max_size=12))
def test_a_rollback_undoes_the_last_act_once(tmp_path_factory: pytest.TempPathFactory, acts: list[str]) -> None:
    root = tmp_path_factory.mktemp("releases")
    lines = 0
    for act in acts:
        before, running = ledger.champion(root, ROUTER), ledger.canary(ledger.moves(root, ROUTER))
        entry = _perform(root, act)
        pin = ledger.champion(root, ROUTER)
        lines += entry is not None
        ledger_bytes = (root / "releases.lock").read_bytes() if lines else b""
        if act != "back" or entry:
            assert _perform(root, act) is None, "a second time nothing happens"
        assert ((root / "releases.lock").read_bytes() if lines else b"") == ledger_bytes
        assert len(ledger.ledger(root)) == lines
        if entry is None:
            assert pin == before
        elif entry.action == "promote":
            assert pin == ChampionPin(act, before.champion)
        elif entry.action == "canary" or running:
            assert pin == before
        else:
            assert pin.champion == before.previous
            assert ledger.was_rolled_back(ledger.ledger(root), str(before.champion))
    given_numbers = ledger.numbers(ledger.moves(root, ROUTER))
    assert len(set(given_numbers.values())) == len(given_numbers)


def _perform(root: Path, act: str) -> ledger.LedgerEntry | None:
    if act == "back":
        if ledger.champion(root, ROUTER).champion is None and not ledger.canary(ledger.moves(root, ROUTER)):
            return None
        return rolled_back(root, ROUTER)
    version = act.removeprefix("canary ")
    decided(root, ROUTER, version)
    settings = deployment(strategy="canary") if act.startswith("canary") else None
    return promotion.promote(root, ROUTER, promotion.ReleaseAction("someone", AT, "better"), settings)


def test_a_person_may_serve_what_the_gate_held_back_and_the_ledger_says_so(tmp_path: Path) -> None:
    ledger.ensure_keys(tmp_path, MODELS)
    decided(tmp_path, ADAPTER, "a", "kept")
    act = promotion.ReleaseAction("ann", AT, "the team likes it")
    promotion.promote(tmp_path, ADAPTER, act, deployment(strategy="canary"), despite_gate=True)
    canary = promotion.advance(tmp_path, ADAPTER, promotion.ReleaseAction("gateway", AT, "success"), "a")
    decision = "served by decision of ann on 2026-01-02, although its gate says kept: the team likes it"
    assert canary is not None
    assert decision in canary.describe()
    assert promotion.model_roles(tmp_path, ADAPTER)["despite_gate"] == decision
    rolled_back(tmp_path, ADAPTER)
    assert promotion.model_roles(tmp_path, ADAPTER)["despite_gate"] is None
    promotion.promote(tmp_path, ADAPTER, act, despite_gate=True)
    decided(tmp_path, ADAPTER, "b")
    promotion.promote(tmp_path, ADAPTER, act, despite_gate=True)
    assert ledger.overridden_gate(ledger.moves(tmp_path, ADAPTER), "b") == "", "what passed needs no decision"
