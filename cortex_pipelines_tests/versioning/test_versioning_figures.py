import json

import pytest

from cortex_pipelines.versioning.dvc import stages
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines.versioning.graph import AssetMetrics
from cortex_pipelines.versioning.parameters import project_file
from cortex_pipelines.versioning.project import Project, ProjectError
from cortex_pipelines_tests.versioning.toy import FIGURES, Workbench, toy_parameters

METRICS = "data/digest/digest.json"


def with_figures(bench: Workbench, figures: dict[str, AssetMetrics]) -> Project:
    return Project(bench.root, bench.project().graph, toy_parameters, figures)


def text(bench: Workbench) -> str:
    return (bench.root / "dvc.yaml").read_text()


def test_metrics_and_plots_are_shown_and_compared(bench: Workbench) -> None:
    bench.repro()
    bench.commit()
    metrics = json.loads(bench.dvc("metrics", "show", "--json"))
    assert metrics[""]["data"][METRICS]["data"] == {"total": 4, "code": "", "suffix": "!"}
    bench.edit("sources.lock", lambda values: values["projects"]["a"].append("three"))
    bench.repro()
    assert json.loads(bench.dvc("metrics", "diff", "--json"))[METRICS]["total"] == {"old": 4, "new": 5, "diff": 1}
    (point,) = json.loads(bench.dvc("plots", "diff", "--json"))["data"]["digest/course"]
    points = {(value["rev"], value["step"]): value["total"] for value in point["content"]["data"]["values"]}
    assert (points["HEAD", 1], points["workspace", 1]) == (4, 5)


def test_an_experiment_sets_a_parameter_and_is_listed_with_its_figures(bench: Workbench) -> None:
    bench.repro()
    bench.commit()
    bench.experiment("quiet", "loudness.suffix=?", "pages.width=3")
    assert bench.project().section("loudness").suffix == "?"
    assert (bench.root / "data" / "page" / "a" / "page.txt").read_text().endswith("---")
    (base,) = [row for row in json.loads(bench.dvc("exp", "show", "--json")) if row["experiments"]]
    (experiment,) = base["experiments"]
    (revision,) = experiment["revs"]
    assert (revision["name"], revision["data"]["metrics"][METRICS]["data"]["total"]) == ("quiet", 4)
    assert revision["data"]["params"][project_file("a")]["data"]["loudness"] == {"suffix": "?"}


def test_no_stage_changes_when_other_figures_are_shown(bench: Workbench) -> None:
    bench.repro()
    before = bench.lock()
    project = with_figures(bench, {})
    stages.write(project)
    assert "metrics:" not in text(bench)
    assert bench.dvc("status", "--json") == "{}"
    assert not any(view.changed for view in dvc_views(project))
    stages.write(with_figures(bench, FIGURES | {"page": AssetMetrics(("page.txt",))}))
    assert bench.dvc("status", "--json") == "{}"
    bench.repro()
    assert bench.lock() == before


def test_what_is_shown_follows_the_projects(bench: Workbench) -> None:
    def listed_files() -> list[str]:
        return [line for line in text(bench).splitlines() if line.startswith("- data/page")]

    figures = {"page": AssetMetrics(("page.json",))}
    stages.write(with_figures(bench, figures))
    assert listed_files() == ["- data/page/a/page.json", "- data/page/b/page.json"]
    bench.edit("params.yaml", lambda values: values["projects"].update(c={"title": "c"}))
    project = with_figures(bench, figures)
    stages.check_stages(project)
    with pytest.raises(ProjectError, match="run `cortex dvc-yaml`"):
        stages.check(project)
    stages.follow_projects(project)
    stages.check(project)
    assert listed_files()[-1] == "- data/page/c/page.json"


@pytest.mark.parametrize("edit", ["# by hand\n", "artifacts: {}\n", "stages: {}\n"])
def test_whatever_else_stands_in_the_file_is_an_error(bench: Workbench, edit: str) -> None:
    (bench.root / "dvc.yaml").write_text(text(bench) + edit)
    edited = text(bench)
    for check in (stages.check, stages.check_stages):
        with pytest.raises(ProjectError, match="run `cortex dvc-yaml`"):
            check(bench.project())
    stages.follow_projects(bench.project())
    assert text(bench) == edited, "it is left for a person to look at"
