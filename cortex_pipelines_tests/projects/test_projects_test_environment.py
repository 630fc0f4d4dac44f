import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from cortex_pipelines.cli.main import main
from cortex_pipelines.config import load_parameters
from cortex_pipelines_tests.execution.wheels import only_these
from cortex_pipelines_tests.integration.miniproject import MiniProject
from cortex_pipelines_tests.messages import missing


def cortex(*words: str, status: int = 0) -> Result:
    result = CliRunner().invoke(main, ["test-environment", *words])
    assert result.exit_code == status, result.output
    return result


@pytest.fixture
def root(data_made: MiniProject, monkeypatch: pytest.MonkeyPatch) -> Path:
    packages = {"pytest": ("9.0", "RUNS = True\n"), "needle": ("1.5", "EACH = 3\n")}
    only_these(data_made.root / "index", monkeypatch, packages)
    monkeypatch.chdir(data_made.root)
    return data_made.root


def test_an_environment_is_pinned_made_and_named(root: Path) -> None:
    project = next(iter(YAML(typ="safe").load((root / "params.yaml").read_text())["projects"]))
    output = cortex(project, "needle>=1").stderr
    assert f"2 packages in environments/{project}.txt, for:\n  needle>=1\n  pytest\n" in output
    pinned_lines = (root / "environments" / f"{project}.txt").read_text()
    assert missing(pinned_lines, "needle==1.5", "--hash=sha256:") == []
    load_parameters(root)  # raises where what was written is not valid
    settings = YAML(typ="safe").load((root / "params.yaml").read_text())["projects"][project]
    pins = settings["augmentation"]["test_environment"]
    assert pins["requirements"] == f"environments/{project}.txt"
    assert pins["sha256"] == hashlib.sha256(pinned_lines.encode()).hexdigest()
    (environment,) = (root / ".cortex" / "environments").iterdir()
    assert list(environment.glob("lib/*/site-packages/needle.py"))


def test_what_cannot_be_pinned_changes_nothing(root: Path) -> None:
    before = (root / "params.yaml").read_text()
    project = next(iter(YAML(typ="safe").load(before)["projects"]))
    assert "no project nobody; there is: " in cortex("nobody", status=1).output
    assert "is not a requirement such as" in cortex(project, "not a name", status=1).output
    assert "which come as wheels" in cortex(project, "a @ file:///a.whl", status=1).output
    assert "`uv pip compile` failed" in cortex(project, "needle>=2", status=1).output
    assert (root / "params.yaml").read_text() == before
