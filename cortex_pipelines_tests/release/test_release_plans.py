import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cortex_pipelines.release import ledger
from cortex_pipelines.release.promotion import (
    ReleaseAction,
    advance,
    leave_undecided,
    model_roles,
    promote,
    rollback,
    verdict_folder,
)
from cortex_pipelines.release.settings import DeploymentSettings
from cortex_pipelines.versioning.champions import ChampionPin
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.lock_file import path_to, uncommitted
from cortex_pipelines.versioning.project import read_yaml, write_yaml
from cortex_pipelines_tests.messages import refusal
from cortex_pipelines_tests.parameters import load_cases, sections

CASES = load_cases(__file__)
ROOT = Path(__file__).parents[2]
MODEL = ledger.ReleasedModel("code_adapter", "demo")
ACT = ReleaseAction("someone", "2026-01-02T03:04:05+00:00", "better")
CODE = "cortex_pipelines/adapters"


def deployment(**changes: Any) -> DeploymentSettings:
    return DeploymentSettings.model_validate(sections()["deployment"] | changes)


def passed(root: Path, version: str) -> None:
    folder = verdict_folder(root, MODEL)
    folder.mkdir(parents=True, exist_ok=True)
    value = {"model_version": version, "verdict": "promoted", "reason": "as measured"}
    (folder / "verdict.json").write_text(json.dumps(value))


def promoted(root: Path, version: str, **changes: Any) -> ledger.LedgerEntry | None:
    passed(root, version)
    return promote(root, MODEL, ACT, deployment(**changes))


def test_a_canary_leaves_the_champion_and_becomes_it(tmp_path: Path) -> None:
    ledger.ensure_keys(tmp_path, [MODEL])
    promoted(tmp_path, "a")
    entry = promoted(tmp_path, "b", strategy="canary", share=0.25)
    assert entry.plan is not None
    assert (entry.action, entry.version, entry.previous) == ("canary", "b", "a")
    assert (entry.plan["strategy"], entry.plan["share"]) == ("canary", 0.25)
    assert ledger.champion(tmp_path, MODEL) == ChampionPin("a", None)
    roles = model_roles(tmp_path, MODEL)
    assert (roles["champion"], roles["canary"]) == ("a", "b")
    assert promoted(tmp_path, "b", strategy="canary", share=0.25) is None
    more = promoted(tmp_path, "b", strategy="canary", share=0.5)
    assert more.number == entry.number
    promotion = promoted(tmp_path, "b")
    assert (promotion.action, promotion.number) == ("promote", entry.number)
    assert ledger.champion(tmp_path, MODEL) == ChampionPin("b", "a")
    roles = model_roles(tmp_path, MODEL)
    assert (roles["canary"], roles["archived"]) == (None, ["a"])


@pytest.mark.parametrize(
    ("strategy", "then"), [("canary", "immediate"), ("shadow", "immediate"), ("blue-green", "blue-green")]
)
def test_what_gets_no_requests_is_not_tried_on_any(strategy: str, then: str) -> None:
    planned = deployment(strategy=strategy)
    assert (planned.untried().plan(), planned.strategy) == (deployment(strategy=then).plan(), strategy)


def test_a_rollback_ends_a_canary_and_the_champion_stays(tmp_path: Path) -> None:
    promoted(tmp_path, "a")
    promoted(tmp_path, "b", strategy="canary")
    entry = rollback(tmp_path, MODEL, ACT)
    assert (entry.version, entry.previous, entry.number) == ("a", "b", "1.0.0")
    assert ledger.champion(tmp_path, MODEL) == ChampionPin("a", None)
    assert ledger.canary(ledger.moves(tmp_path, MODEL)) is None
    ledger_bytes = (tmp_path / "releases.lock").read_bytes()
    assert (rollback(tmp_path, MODEL, ACT), (tmp_path / "releases.lock").read_bytes()) == (None, ledger_bytes)
    assert ledger.champions(ledger.moves(tmp_path, MODEL)) == ["a"], "b never was champion"


def test_an_analysis_advances_only_what_is_canary_still(tmp_path: Path) -> None:
    promoted(tmp_path, "a")
    promoted(tmp_path, "b", strategy="canary", target="edge")
    undecided = leave_undecided(tmp_path, MODEL, ACT, "b")
    assert undecided.describe().endswith("undecided and stays canary: promote it or roll it back")
    assert (model_roles(tmp_path, MODEL)["canary"], advance(tmp_path, MODEL, ACT, "another")) == ("b", None)
    entry = advance(tmp_path, MODEL, ACT, "b")
    assert (entry.action, entry.version, entry.previous) == ("promote", "b", "a")
    assert entry.plan == {"strategy": "immediate", "target": "edge"}
    assert (ledger.champion(tmp_path, MODEL), model_roles(tmp_path, MODEL)["canary"]) == (ChampionPin("b", "a"), None)
    ledger_bytes = (tmp_path / "releases.lock").read_bytes()
    assert (advance(tmp_path, MODEL, ACT, "b"), leave_undecided(tmp_path, MODEL, ACT, "b")) == (None, None)
    assert (tmp_path / "releases.lock").read_bytes() == ledger_bytes


def test_a_shadow_is_a_canary_that_nobody_sees(tmp_path: Path) -> None:
    promoted(tmp_path, "a")
    entry = promoted(tmp_path, "b", strategy="shadow")
    assert "in the background only" in entry.describe()
    assert "share" not in (entry.plan or {})
    assert (model_roles(tmp_path, MODEL)["canary"], ledger.champion(tmp_path, MODEL).champion) == ("b", "a")


def test_what_a_plan_holds_depends_on_its_strategy() -> None:
    assert deployment().plan() == {"strategy": "immediate", "target": "local"}
    assert {"share", "analysis"} <= set(deployment(strategy="canary").plan())
    assert deployment().model_mib.edge == 16
    assert "share" in refusal(ValidationError, deployment, share=1.0)


def test_a_plan_reaches_the_ledger_and_not_the_pin(tmp_path: Path) -> None:
    ledger.ensure_keys(tmp_path, [MODEL])
    promoted(tmp_path, "a", target="edge")
    lock = read_yaml(tmp_path / "releases.lock")
    # evaluations depend on this key: with more in it, they would be stale
    assert lock["champions"]["code_adapter"]["demo"] == {"champion": "a", "previous": None}
    assert lock["ledger"][0]["plan"]["target"] == "edge"
    assert ledger.latest(ledger.moves(tmp_path, MODEL), "a", "plan") == lock["ledger"][0]["plan"]
    ledger.ensure_keys(tmp_path, [MODEL])
    assert read_yaml(tmp_path / "releases.lock") == lock


def test_a_version_is_found_by_number_or_hash(tmp_path: Path) -> None:
    for version in ("abc.dir", "abd.dir"):
        promoted(tmp_path, version)
    lines = ledger.moves(tmp_path, MODEL)
    assert ledger.numbers(lines) == {"abc.dir": "1.0.0", "abd.dir": "2.0.0"}
    resolved = [ledger.resolve(lines, reference) for reference in ("1.0.0", "abd", "baseline")]
    assert resolved == ["abc.dir", "abd.dir", None]
    for reference, words in (("ab", "more than one"), ("9.9.9", "never champion; known versions: base")):
        with pytest.raises(LookupError, match=words):
            ledger.resolve(lines, reference)


def test_a_rollback_to_the_champion_changes_nothing(tmp_path: Path) -> None:
    promoted(tmp_path, "a")
    assert (rollback(tmp_path, MODEL, ACT, "1.0.0"), len(ledger.moves(tmp_path, MODEL))) == (None, 1)


def git(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.org")
    subprocess.run(["git", "-C", str(root), *identity, *words], check=True, capture_output=True)


def commit_project(root: Path) -> str:
    (root / CODE).mkdir(parents=True)
    (root / CODE / "lora.py").write_text("RANK = 8\n")
    weights = root / "data" / "code_adapter" / "demo"
    weights.mkdir(parents=True)
    (weights / "adapter_model.safetensors").write_bytes(bytes(2_000_000))
    version = str(content_md5(weights))
    code = {"path": CODE, "md5": str(content_md5(root / CODE))}
    adapter = {"path": "data/code_adapter/demo", "md5": version}
    stages = {
        "words@demo": stage("data/words/demo", "w.dir"),
        "words@other": stage("data/words/other", "o.dir"),
        "code_adapter@demo": stage("data/code_adapter/demo", version, code, {"path": "data/words", "md5": "w"}),
        "code_adapter_release@demo": stage("data/code_adapter_release/demo", "r.dir", adapter),
    }
    write_yaml(root / "dvc.lock", {"stages": stages})
    passed(root, version)
    (root / ".gitignore").write_text("data/\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "all")
    return version


def stage(out: str, md5: str, *deps: dict[str, str]) -> dict[str, Any]:
    return {"deps": list(deps), "outs": [{"path": out, "md5": md5}]}


def test_committed_code_is_promoted_along_the_way_of_its_stage(tmp_path: Path) -> None:
    version = commit_project(tmp_path)
    stages = read_yaml(tmp_path / "dvc.lock")["stages"]
    assert path_to(stages, "code_adapter_release@demo") == [
        *("code_adapter@demo", "code_adapter_release@demo", "words@demo", "words@other")
    ]
    assert path_to(stages, "nothing") == []
    (tmp_path / "README.md").write_text("not code\n")
    messages: list[str] = []
    entry = promote(tmp_path, MODEL, ACT, deployment(), messages.append)
    assert (entry.version, entry.number, messages) == (version, "1.0.0", [])
    assert entry.made_from is not None


@pytest.mark.parametrize("name", ["lora.py", "new.py"])
def test_uncommitted_code_is_refused(tmp_path: Path, name: str) -> None:
    commit_project(tmp_path)
    (tmp_path / CODE / name).write_text("RANK = 16\n")
    with pytest.raises(ledger.ReleaseError, match=f"not committed: {CODE}/{name}; commit it"):
        promote(tmp_path, MODEL, ACT)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "another rank")
    with pytest.raises(ledger.ReleaseError, match=r"code that differs from the checked-out commit: .*adapters;"):
        promote(tmp_path, MODEL, ACT)
    assert ledger.moves(tmp_path, MODEL) == []


def test_where_there_is_no_repository_it_is_said_and_allowed(tmp_path: Path) -> None:
    commit_project(tmp_path)
    (tmp_path / ".git").rename(tmp_path / "no-git")
    messages: list[str] = []
    assert uncommitted(tmp_path, [CODE]) is None
    assert promote(tmp_path, MODEL, ACT, None, messages.append) is not None
    assert messages == ["code_adapter-demo: no git repository, so whether its code is committed was not checked"]


def test_a_model_that_is_too_large_for_its_target_is_refused(tmp_path: Path) -> None:
    commit_project(tmp_path)
    sizes = deployment().model_dump()["model_mib"] | {"embedded": 1.5}
    small = deployment(target="embedded", model_mib=sizes)
    assert "1.9 MiB, the target embedded allows 1.5" in refusal(
        ledger.ReleaseError, promote, tmp_path, MODEL, ACT, small
    )
    assert promote(tmp_path, MODEL, ACT, deployment(model_mib=sizes)) is not None


KILLED = CASES["KILLED"]


def test_a_promotion_that_is_killed_changes_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    promoted(tmp_path, "a")
    before = (tmp_path / "releases.lock").read_bytes()
    passed(tmp_path, "b")
    process = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, check=False)
    assert (process.returncode, (tmp_path / "releases.lock").read_bytes()) == (-signal.SIGKILL, before)
    entry = promoted(tmp_path, "b")
    assert entry is not None
    assert ledger.champion(tmp_path, MODEL) == ChampionPin("b", "a")
