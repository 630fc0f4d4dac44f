import json
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.prompts.templates import project_templates
from cortex_pipelines.release import promote
from cortex_pipelines.release.answering import Release
from cortex_pipelines.release.experiments.plan import append
from cortex_pipelines.release.experiments.running import experiment_log
from cortex_pipelines.release.ledger import LedgerEntry, ReleasedModel, ensure_keys, moves, record
from cortex_pipelines.release.promotion import verdict_folder
from cortex_pipelines.serving.catalogue import CatalogueSource
from cortex_pipelines.serving.project_catalogue import catalogue_stamp, read_catalogue
from cortex_pipelines.tracking.store import open_client
from cortex_pipelines.versioning.champions import ChampionPin
from cortex_pipelines.versioning.project import read_yaml, write_yaml
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
ROOT = Path(__file__).parents[2]
MODEL = ReleasedModel("code_adapter", "shop")
VERSIONS = {"1.0.0": "1" * 32 + ".dir", "1.1.0": "2" * 32 + ".dir"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shop = {"projects": {"shop": {"sources": [{"pypi": "flask==3.1.3"}]}}, "general": {"project": None}}
    write_yaml(tmp_path / "params.yaml", read_yaml(ROOT / "params.yaml") | shop)
    (tmp_path / "sources.lock").write_bytes((ROOT / "sources.lock").read_bytes())
    ensure_keys(tmp_path, [MODEL])
    before = None
    for number, version in VERSIONS.items():
        release = Release("adapter", "b" * 64, version).as_dict()
        words = ("2026-01-02T03:04:05+00:00", "anna", "promote", MODEL.name, version, before, "")
        entry = LedgerEntry(*words, number=number, plan={"strategy": "immediate"}, release=release)
        record(tmp_path, MODEL, ChampionPin(version, before), entry)
        before = version
    monkeypatch.setenv("CORTEX_ROOT", str(tmp_path))
    monkeypatch.setattr(promote, "follow_ledger", lambda *_: 0)  # MLflow's registry
    return tmp_path


def experiment_states(*words: str) -> list[dict[str, Any]]:
    return list(json.loads(cortex("experiment", "status", *words, "--json").stdout))


def test_an_experiment_from_start_to_stop(root: Path) -> None:
    assert "no experiment yet" in cortex("experiment", "status").stdout
    before = (root / "releases.lock").read_bytes()
    began = cortex("experiment", "start", "shop", "champion", "base", "--share", "0.2")
    assert "shop: 1.1.0 (a) against base (b), by the share accepted; b gets 20%" in began.stderr
    served = read_catalogue(root).models
    experiment = served["shop"].experiment
    ways = {arm: arm_settings.release.way for arm, arm_settings in experiment.arms.items()}
    assert (ways, served["shop@champion"].experiment) == ({"a": "adapter", "b": "base"}, None)
    answer = {"arm": "b", "unit": "", "became": "answered", "flagged": False, "seconds": 0.5}
    append(experiment_log(root).answers(experiment.plan), {"id": "1", **answer})
    append(experiment_log(root).answers(experiment.plan), {"id": "1", "vote": "up"})
    (running,) = experiment_states("shop")
    assert (running["state"], running["arms"]["b"]["good"]) == ("running", 1)
    assert "no project shpo; did you mean shop?" in cortex("experiment", "status", "shpo", status=1).stderr
    again = cortex("experiment", "start", "shop", "base", "base", status=1)
    assert "is under the experiment shop-" in again.stderr
    stopped = cortex("experiment", "stop", "shop", "--why", "seen enough").stdout
    assert ": stopped, seen enough" in stopped
    assert "  b base: 1 users, 1 of 1 accepted, 0 failed, 0 withheld, 95 % within 0.50 s" in stopped
    assert "nothing to stop" in cortex("experiment", "stop", "shop", status=1).stderr
    assert (read_catalogue(root).models["shop"].experiment, cortex("experiment", "status").stdout) == (None, stopped)
    assert (root / "releases.lock").read_bytes() == before, "nothing was promoted"


def test_a_rollback_ends_the_experiment(root: Path) -> None:
    cortex("experiment", "start", "shop", "1.1.0", "1.0.0", "--metric", "answered")
    cortex("rollback", MODEL.name, "--why", "slow")
    (state,) = experiment_states()
    assert (state["state"], state["reason"]) == ("stopped", f"{MODEL.name}: 1.0.0 is champion again")


@pytest.mark.parametrize(("words", "sentence"), CASES["what_is_refused"])
def test_what_is_refused(root: Path, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in cortex("experiment", "start", *words, status=1).stderr
    assert not experiment_log(root).path.exists()


def test_templates_are_compared_as_they_are_when_it_begins(root: Path) -> None:
    file = root / "prompts" / "brief" / "architecture.jinja"
    file.parent.mkdir(parents=True)
    file.write_text("{{ request }}\n")
    brief = project_templates(root).variant("brief")
    began = cortex("experiment", "start", "shop", "champion", "champion+brief").stderr
    assert f"1.1.0 (a) against 1.1.0+brief@{brief.version} (b)" in began
    experiment = read_catalogue(root).models["shop"].experiment
    versions = {arm: arm_settings.templates.version for arm, arm_settings in experiment.arms.items()}
    assert (versions, experiment.arms["a"].release) == ({"a": "", "b": brief.version}, experiment.arms["b"].release)
    file.write_text("{{ given }}\n")
    assert read_catalogue(root).models["shop"].experiment is None, "it waits"


def test_what_is_released_says_that_templates_have_changed_since(root: Path) -> None:
    source = CatalogueSource(lambda: read_catalogue(root), lambda: catalogue_stamp(root))
    assert source.current.models["shop"].notice == ""
    assert source.current.models["shop"].details["prompts"]["chat"]
    file = root / "prompts" / "naming.jinja"
    file.parent.mkdir()
    file.write_text("{{ example }}!\n")
    served = source.current.models["shop"]
    assert served.notice.endswith("than when it was released: naming")
    assert served.templates["naming"].origin == "prompts/naming.jinja"
    custom_templates = project_templates(root).project_versions
    version = VERSIONS["1.1.0"]
    words = ("2026-01-03T03:04:05+00:00", "anna", "promote", MODEL.name, version, None, "again")
    record(root, MODEL, ChampionPin(version, None), LedgerEntry(*words, number="1.1.0", prompts=custom_templates))
    assert source.current.models["shop"].notice == ""
    file.write_text("{{ prompt }}")
    assert source.current.models["shop"].templates["naming"].text == "{{ example }}!\n", "as before"
    refused = cortex("promote", MODEL.name, status=1).stderr
    assert "prompts/naming.jinja: prompt is not known here" in refused
    assert refused.endswith("the champion stays\n")


def test_a_promotion_notes_and_registers_the_templates(root: Path) -> None:
    version = "3" * 32 + ".dir"
    folder = verdict_folder(root, MODEL)
    folder.mkdir(parents=True)
    verdict = {"model_version": version, "verdict": "promoted", "reason": "better"}
    (folder / "verdict.json").write_text(json.dumps(verdict))
    (root / "prompts").mkdir()
    (root / "prompts" / "naming.jinja").write_text("{{ example }}!\n")
    templates = project_templates(root)
    cortex("promote", MODEL.name, "--why", "better")
    (*_, line) = moves(root, MODEL)
    assert (line.version, line.prompts) == (version, templates.project_versions)
    (stored,) = open_client(root).search_prompt_versions("prompt-naming")
    assert stored.tags["template"] == templates["naming"].version


def test_the_templates_are_listed_and_printed(root: Path) -> None:
    listing = json.loads(cortex("prompts", "--json").stdout)
    assert {row["from"] for row in listing} == {"package"}
    printed = cortex("prompts", "worker").stdout
    file = root / "prompts" / "short" / "worker.jinja"
    file.parent.mkdir(parents=True)
    file.write_text(printed.replace("{{ task }}", "Task: {{ task }}"))
    (row,) = [row for row in json.loads(cortex("prompts", "--variant", "short", "--json").stdout)
              if row["from"] != "package"]  # fmt: skip
    assert (row["name"], row["from"]) == ("worker", "prompts/short/worker.jinja")
    assert row["version"] in cortex("prompts", "--variant", "short").stdout
    assert "no template walker; there is architecture" in cortex("prompts", "walker", status=1).stderr
