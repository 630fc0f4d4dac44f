"""The step of ``action.yml`` that checks, run as GitHub runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cortex_pipelines_tests.integration.miniproject import git

ROOT = Path(__file__).parents[2]
SMELLY = "def f(a=[]):\n    return a\n"


@pytest.mark.parametrize(
    ("base", "form", "status", "message", "findings"),
    [
        ("origin/main", "sarif", 0, "1 findings in 1 files", "findings=true\n"),
        ("", "github", 0, "::warning ", "findings=true\n"),
        ("origin/gone", "sarif", 2, "::error::cortex check could not be run", ""),
    ],
)
def test_the_action_checks_what_a_pull_request_changes(
    base: str, form: str, status: int, message: str, findings: str, tmp_path: Path
) -> None:
    steps = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["runs"]["steps"]
    (step,) = [step for step in steps if step.get("id") == "check"]
    clone, temporary = tmp_path / "clone", tmp_path / "temporary"
    (temporary / "cortex").mkdir(parents=True)
    (temporary / "cortex" / "bin").symlink_to(Path(sys.executable).parent)
    clone.mkdir()
    git(clone, "init", "-q")
    (clone / "old.py").write_text(SMELLY)
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "before")
    git(clone, "update-ref", "refs/remotes/origin/main", "HEAD")
    (clone / "new.py").write_text(SMELLY)
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "the change")
    output = tmp_path / "output"
    output.touch()
    inputs = {"PATHS": ". new.py", "BASE": base, "ARGUMENTS": "--ignore naming", "FORMAT": form}
    runner = {"RUNNER_TEMP": str(temporary), "GITHUB_OUTPUT": str(output)}
    process = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        env=os.environ | inputs | runner, cwd=clone, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == status, process.stderr
    assert message in process.stdout + process.stderr
    assert output.read_text() == findings
    if form == "sarif" and findings:
        (result,) = json.loads((temporary / "cortex-check.sarif").read_text())["runs"][0]["results"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "new.py"
