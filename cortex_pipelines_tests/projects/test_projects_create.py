from pathlib import Path

import pytest

from cortex_pipelines.projects import create
from cortex_pipelines.projects.create import create_project
from cortex_pipelines.versioning.root import ProjectError
from cortex_pipelines_tests.messages import refusal


@pytest.mark.parametrize("name", ["what?", "feature%2Fshop"])
def test_a_folder_that_no_database_can_lie_in_is_refused(tmp_path: Path, name: str) -> None:
    assert name in refusal(ProjectError, list, create_project(tmp_path / name / "models"))
    assert list(tmp_path.iterdir()) == []


def test_no_project_is_made_in_the_repository_of_the_package() -> None:
    folder = Path(create.__file__).parents[2] / "models"
    assert "in the repository of this package" in refusal(ProjectError, list, create_project(folder))
    assert not folder.exists()


def test_a_pipeline_or_parameters_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages:\n  prepare:\n    cmd: ./prepare\n")
    assert "pipeline of your own" in refusal(ProjectError, list, create_project(tmp_path))
    (tmp_path / "dvc.yaml").rename(tmp_path / "params.yaml")
    assert "is not a project's" in refusal(ProjectError, list, create_project(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_what_git_ignores_already_stays_and_what_is_private_is_added(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.log\n.venv/")
    sentences = list(create_project(tmp_path))
    assert any(sentence.startswith(".gitignore: __pycache__/ .cortex/") for sentence in sentences)
    lines = (tmp_path / ".gitignore").read_text().splitlines()
    assert lines[:2] == ["*.log", ".venv/"]
    assert lines.count(".venv/") == 1
    assert {".cortex/", ".mlflow/", ".dagster/*"} <= set(lines)
