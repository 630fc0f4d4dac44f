from pathlib import Path

import pytest

from cortex_pipelines.projects.create import create_project
from cortex_pipelines.versioning.root import ProjectError
from cortex_pipelines_tests.messages import refusal


@pytest.mark.parametrize("name", ["what?", "feature%2Fshop"])
def test_a_folder_that_no_database_can_lie_in_is_refused(tmp_path: Path, name: str) -> None:
    assert name in refusal(ProjectError, list, create_project(tmp_path / name / "models"))
    assert list(tmp_path.iterdir()) == []
