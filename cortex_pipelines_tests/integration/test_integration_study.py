import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from cortex_pipelines.cli.main import main
from cortex_pipelines.evaluation.adapter.measures.multiple_choice import KINDS
from cortex_pipelines.orchestration.adapter_study import study_project
from cortex_pipelines.orchestration.adapter_study import study_project as orchestrated
from cortex_pipelines.orchestration.adapter_study.results import (
    BitsSaved,
    ProjectResult,
    QuestionResults,
    corrected_p_values,
    curve_table,
    means,
    read_recorded_results,
    read_results,
    write_results,
)
from cortex_pipelines.orchestration.adapter_study.study_project import create_study
from cortex_pipelines.orchestration.runs import RunOutcome
from cortex_pipelines.projects import update_pins
from cortex_pipelines.projects.parameter_file import round_trip
from cortex_pipelines.versioning.dvc import stages
from cortex_pipelines.versioning.project import ProjectError, read_yaml
from cortex_pipelines_tests.integration.miniproject import MiniProject, without_root_variable
from cortex_pipelines_tests.messages import refusal
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)


@pytest.mark.long
def test_a_study_compares_each_adapter_with_every_way_and_with_anothers(finished_copy: MiniProject) -> None:
    result = finished_copy.cortex("study", "adapters", str(finished_copy.root), "--tokens", "3000")
    lines = [line for line in result.stdout.splitlines() if line.startswith("|")]
    rows = [line.split("|")[1].strip() for line in lines]
    assert rows[:4] == rows[8:12] == ["project", "---", "alpha", "beta"]
    assert (rows[4:8], rows[12]) == (["bits saved per byte", "---", "alpha", "beta"], "mean over projects")
    results = json.loads((finished_copy.root / "study.json").read_text())
    for project in results["projects"]:
        assert {"base", "adapter", "other adapter", "both"} <= set(project["bits"])
        assert set(project["gains"]) == {
            *(f"adapter over {way}" for way in ("base", "context", "other adapter")),
            "both over context",
        }
        assert set(project["questions"]["shown"]["correct"]) == {"base", "context", "adapter", "both"}
        assert set(project["first_lines"]) == {"base", "context", "adapter", "both"}
        assert (
            sum(project["questions"][kind]["items"] for kind in KINDS if kind in project["questions"])
            == (project["questions"]["all"]["items"])
        )
    assert "bits saved: adapter" in results["means"]
    table = CliRunner().invoke(main, ["study", "table", str(finished_copy.root / "study.json")])
    assert table.exit_code == 0, table.output
    assert "\n".join(lines) == "\n".join(line for line in table.output.splitlines() if line)
    version = finished_copy.version("code_adapter_evaluation@alpha")
    with contextlib.chdir(finished_copy.root.parent), without_root_variable():
        again = CliRunner().invoke(main, ["study", "adapters", finished_copy.root.name])
    assert again.exit_code == 0, again.output
    assert "code_adapter_evaluation" not in again.stderr  # nothing is evaluated again
    assert finished_copy.version("code_adapter_evaluation@alpha") == version


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("flask", "first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text("def f():\n    return 1\n")
    template = {
        "profile": "standard",
        "projects": {name: {"sources": [{"directory": str(tmp_path / name)}]} for name in ("flask", "first", "second")},
        "general": {"project": "flask"},
        "coordination": {"logs": "logs", "sample": False},
        "adapters": {"canaries": 0},
    }
    path = tmp_path / "listed.yaml"
    round_trip().dump(template, path)
    monkeypatch.setattr(study_project, "PROJECTS", path)
    return tmp_path


def test_a_study_begins_with_the_chosen_projects_and_the_control(sources: Path) -> None:
    folder = sources / "study"
    clone = {"clone": sources / "second"}
    limits: dict[str, dict[str, Any]] = {"adapters": {"max_tokens": 5000}}
    sentences = list(create_study(folder, ["first"], clone, limits))
    assert any("clone" in sentence for sentence in sentences)
    parameters = round_trip().load(folder / "params.yaml")
    assert list(parameters["projects"]) == ["flask", "first", "clone"]
    assert parameters["adapters"] == {"canaries": 0, "max_tokens": 5000}
    pins = (folder / "sources.lock").read_text()
    assert list(create_study(folder, [], {}, {})) == []  # it resumes with the same settings
    assert (folder / "sources.lock").read_text() == pins
    with pytest.raises(ProjectError, match="--repo first: the study has another project"):
        list(create_study(folder, [], {"first": sources / "second"}, {}))
    assert list(create_study(folder, ["clone"], clone, {})) == []
    assert list(create_study(folder, ["second"], {}, {})) == ["pinned: projects.second"]
    assert list(read_yaml(folder / "sources.lock")["projects"]) == sorted(["flask", "first", "clone", "second"])


def test_a_study_that_was_cut_short_when_it_began_goes_on(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sources / "study"
    with monkeypatch.context() as patched:
        patched.setattr(stages, "write", _fail)
        assert "out of reach" in refusal(OSError, list, create_study(folder, ["first"], {}, {}))
    with monkeypatch.context() as patched:
        patched.setattr(update_pins, "resolve_pins", _fail)
        assert "out of reach" in refusal(OSError, list, create_study(folder, [], {}, {}))
    assert "pinned: projects.first" in list(create_study(folder, [], {}, {}))
    assert read_yaml(folder / "sources.lock")["projects"].keys() == {"first", "flask"}


@pytest.mark.parametrize(
    ("file", "content", "sentence"), CASES["what_was_begun_and_is_damaged_is_said_before_hours_of_work"]
)
def test_what_was_begun_and_is_damaged_is_said_at_once(sources: Path, file: str, content: str, sentence: str) -> None:
    folder = sources / "study"
    list(create_study(folder, ["first"], {}, {}))
    (folder / file).write_text(content)
    with pytest.raises(ProjectError, match=sentence):
        list(create_study(folder, ["first"], {}, {}))


def test_other_sizes_than_those_of_the_beginning_are_refused(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestrated, "run_study", lambda *_: RunOutcome())
    words = ["study", "adapters", str(sources / "study"), "--project", "first"]
    began = CliRunner().invoke(main, [*words, "--items", "50"])
    assert began.exit_code == 0, began.output
    assert "no project has results yet" in began.stderr
    assert "| project |" not in began.stdout
    for command in (words, [*words, "--items", "50"]):
        assert CliRunner().invoke(main, command).exit_code == 0
    other = CliRunner().invoke(main, [*words, "--items", "7"])
    assert other.exit_code == 1
    assert "was begun with evaluation.items: 50, not 7; leave that option out" in other.stderr


def test_two_runs_of_a_study_keep_each_others_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both read study.json before one of them writes it."""
    monkeypatch.setattr(study_project, "read_json", lambda _: {"known": 1.0})
    monkeypatch.setattr(pl, "read_parquet", lambda _: pl.DataFrame())
    monkeypatch.setattr(study_project, "_project_result", lambda _, name, *__: make_result(name))
    reading = threading.Barrier(2)

    def slowly(root: Path) -> list[ProjectResult]:
        results = read_recorded_results(root)
        with contextlib.suppress(threading.BrokenBarrierError):
            reading.wait(1)  # for the other one, which has to wait its turn
        return results

    monkeypatch.setattr(study_project, "read_recorded_results", slowly)
    project: Any = SimpleNamespace(root=tmp_path, output=lambda *_: tmp_path)
    with ThreadPoolExecutor() as both:
        list(both.map(lambda name: study_project.record_result(project, name), ("alpha", "beta")))
    assert [results.name for results in read_recorded_results(tmp_path)] == ["alpha", "beta"]


def _fail(*_: Any) -> None:
    raise OSError("out of reach")


@pytest.mark.parametrize(("words", "sentence"), CASES["what_cannot_be_studied_is_said_before_anything_is_made"])
def test_what_cannot_be_studied_is_said_before_all_is_made(words: list[str], sentence: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    result = CliRunner().invoke(main, ["study", "adapters", str(folder), *words])
    assert result.exit_code != 0
    assert sentence in result.stderr
    assert not folder.exists()


def make_result(name: str, adapter: float = 0.9, p: float = 0.04, budget: int = 1000) -> ProjectResult:
    questions = {"all": QuestionResults(9, {"base": 0.5, "adapter": 0.6})}
    return ProjectResult(
        *(name, "python", 10, budget, budget, 2.0, 9, 0),
        *({"base": 1.0, "adapter": adapter}, {}, {"base": 0.1, "adapter": 0.3}, questions),
        *({"adapter over base": BitsSaved(0.1, 0.0, 0.2, p)}, None, "adapter"),
    )


def test_projects_count_alike_in_a_mean_and_budgets_are_a_curve() -> None:
    both = means([make_result("small", 0.9), make_result("large", 0.7)])
    saved = both["bits saved: adapter"]
    assert saved.estimate == pytest.approx(0.2)
    assert saved.low is not None
    assert saved.low < 0 < saved.estimate  # two projects say little
    assert both["questions answered, all: adapter"].estimate == pytest.approx(0.1)
    assert both["first lines written right: adapter"].estimate == pytest.approx(0.2)
    assert means([make_result("small", 0.9)])["bits saved: adapter"].low is None
    measured = [make_result("a", 0.9), make_result("a", 0.8, budget=2000), make_result("b", 0.7)]
    assert means(measured)["bits saved: adapter"].estimate == pytest.approx(0.25)
    lines = curve_table(measured).splitlines()[2:]
    assert [line.split(" | ")[1] for line in lines] == ["1,000", "2,000"]
    assert lines[-1].endswith("-0.100 bits per byte in 2 min |")
    assert curve_table([make_result("a"), make_result("b")]) == ""
    bare = [replace(make_result("a", budget=budget), bits={}) for budget in (1000, 2000)]
    assert "not known: too few completions" in curve_table(bare)


def test_results_of_several_machines_are_one_table_and_other_files_are_refused(tmp_path: Path) -> None:
    files = []
    for number, studied in enumerate(([make_result("a", p=0.02)], [make_result("b", p=0.03)])):
        (tmp_path / str(number)).mkdir()
        files.append(write_results(tmp_path / str(number), studied))
    both = read_results(files)
    assert both == [make_result("a", p=0.02), make_result("b", p=0.03)]
    assert corrected_p_values(both, "adapter over base") == {"a": 0.04, "b": 0.04}
    result = CliRunner().invoke(main, ["study", "table", *map(str, files), "--pictures", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "| a | python | 10 | 1,000 | 9 | 1.000 | 0.900 | adapter |" in result.output
    assert "| a | +0.100 (+0.000 to +0.200) |" in result.output
    assert b"questions answered" in (tmp_path / "study-answered.svg").read_bytes()
    path = tmp_path / "study.json"
    for text in ("{", "[]", '{"projects": [{"name": "a"}]}'):
        path.write_text(text)
        assert "is not a study.json" in refusal(ProjectError, read_results, [path])
    write_results(tmp_path, [make_result("a")])
    assert "a is in another file as well" in refusal(ProjectError, read_results, [path, path])
    assert "no project" in refusal(ProjectError, list, create_study(tmp_path / "study", ["nobody"], {}, {}))


def test_a_smaller_budget_is_not_measured_again(finished_copy: MiniProject, monkeypatch: pytest.MonkeyPatch) -> None:
    write_results(finished_copy.root, [make_result("alpha", budget=500), make_result("alpha"), make_result("beta")])
    studied_projects = []

    def studied(root: Path, name: str, other: str | None, report: Any) -> RunOutcome:
        tokens = round_trip().load((root / "params.yaml").read_text())["adapters"]["max_tokens"]
        studied_projects.append((name, other, tokens))
        return RunOutcome()

    monkeypatch.setattr(orchestrated, "_study_project", studied)
    monkeypatch.setattr(orchestrated, "_run_asset", lambda *_: RunOutcome())
    orchestrated.run_study(finished_copy.root, [500, 1000], lambda _: None)
    assert studied_projects == [("beta", "alpha", 500), ("alpha", "beta", 1000), ("beta", "alpha", 1000)]


@pytest.mark.parametrize(("words", "names"), CASES["projects_that_were_not_chosen_wait"])
def test_unnamed_ones_wait(words: list[str], names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studied_projects = []

    def studied(root: Path, name: str, other: str | None, report: Any) -> RunOutcome:
        studied_projects.append(name)
        return RunOutcome()

    monkeypatch.setattr(study_project, "create_study", lambda *_: iter(()))
    monkeypatch.setattr(orchestrated, "open_location", lambda root: (None, None))
    monkeypatch.setattr(orchestrated, "studied_projects", lambda _: ["alpha", "beta", "shop"])
    monkeypatch.setattr(orchestrated, "assign_controls", lambda _: {})
    monkeypatch.setattr(orchestrated, "_run_asset", lambda *_: RunOutcome())
    monkeypatch.setattr(orchestrated, "_study_project", studied)
    result = CliRunner().invoke(main, ["study", "adapters", str(tmp_path), *words])
    assert result.exit_code == 0, result.output
    assert studied_projects == names
