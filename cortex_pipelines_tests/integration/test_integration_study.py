"""A study of adapters: begun from a list, run, gone on with, and told in one table."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cortex_pipelines.cli.main import main
from cortex_pipelines.operations import study
from cortex_pipelines.operations.projects.parameter_file import round_trip
from cortex_pipelines.operations.study import Gain, Studied, begin_study, means
from cortex_pipelines.versioning.project import ProjectError
from cortex_pipelines_tests.integration.miniproject import MiniProject, without_root_variable


@pytest.mark.slow
def test_a_study_compares_each_adapter_with_every_way_and_with_anothers(own: MiniProject) -> None:
    done = own.cortex("study", "adapters", str(own.root))
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["alpha", "beta"]
    known = json.loads((own.root / "study.json").read_text())
    for one in known["projects"]:
        assert {"base", "adapter", "other adapter", "n-grams", "both"} <= set(one["bits"])
        assert set(one["gains"]) == {"base", "context", "other adapter", "n-grams"}
        assert set(one["correct"]) == {"base", "context", "adapter", "both"}
    assert "bits saved over the base: adapter" in known["means"]
    version = own.version("code_adapter_evaluation@alpha")
    with contextlib.chdir(own.root.parent), without_root_variable():
        again = CliRunner().invoke(main, ["study", "adapters", own.root.name])
    assert again.exit_code == 0, again.output
    assert "code_adapter_evaluation" not in again.stderr  # nothing is evaluated again
    assert own.version("code_adapter_evaluation@alpha") == version


def test_a_study_begins_with_the_chosen_projects_and_the_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("flask", "first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text("def f():\n    return 1\n")
    listed = {
        "profile": "standard",
        "projects": {
            name: {"sources": [{"directory": str(tmp_path / name)}]}
            for name in ("flask", "first", "second")
        },
        "general": {"project": "flask"},
        "coordination": {"logs": "logs", "sample": False},
    }
    path = tmp_path / "listed.yaml"
    round_trip().dump(listed, path)
    monkeypatch.setattr(study, "PROJECTS", path)
    limits: dict[str, dict[str, Any]] = {"adapters": {"max_tokens": 5000}}
    folder = tmp_path / "study"
    clone = {"clone": tmp_path / "second"}
    sentences = list(begin_study(folder, ["first"], clone, limits))
    assert any("clone" in sentence for sentence in sentences)
    written = round_trip().load(folder / "params.yaml")
    assert list(written["projects"]) == ["flask", "first", "clone"]
    assert written["adapters"] == {"max_tokens": 5000}
    pins = (folder / "sources.lock").read_text()
    assert list(begin_study(folder, [], {}, {})) == []  # it goes on as it was begun
    assert (folder / "sources.lock").read_text() == pins


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--project", "nothing"], "no project nothing in the study; there is: itsdangerous"),
        (["--project", "flask"], "no project flask in the study"),
        (["--repo", "mine=/nowhere"], "--repo mine: no folder /nowhere"),
        (["--repo", "/nowhere"], "give NAME=PATH"),
    ],
)
def test_what_cannot_be_studied_is_said_before_anything_is_made(
    words: list[str], sentence: str, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    result = CliRunner().invoke(main, ["study", "adapters", str(folder), *words])
    assert result.exit_code != 0
    assert sentence in result.stderr
    assert not folder.exists()


def test_every_project_counts_alike_in_a_mean() -> None:
    def one(name: str, adapter: float, lines: int) -> Studied:
        gain = {"base": Gain(0.1, 0.0, 0.2, 0.04)}
        bits = {"base": 1.0, "adapter": adapter}
        return Studied(name, "python", lines, 9, 9, bits, {"base": 0.5}, gain, None, "adapter")

    both = means([one("small", 0.9, 10), one("large", 0.7, 10_000)])
    saved = both["bits saved over the base: adapter"]
    assert saved.estimate == pytest.approx(0.2)
    assert saved.low is not None
    assert saved.low < 0 < saved.estimate  # two projects say little
    assert means([one("small", 0.9, 10)])["bits saved over the base: adapter"].low is None


def test_an_unknown_project_in_a_study_is_an_error_of_the_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no project"):
        list(begin_study(tmp_path / "study", ["nobody"], {}, {}))
