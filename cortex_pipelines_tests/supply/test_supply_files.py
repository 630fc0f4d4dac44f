"""`make lint` accepts the workflows and the container, and reports defects put into them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def passes(*command: str) -> bool:
    process = subprocess.run([BIN / command[0], *command[1:]], capture_output=True, text=True)
    # more than 1 is a tool's own trouble, but zizmor's 11 to 14: the worst of its findings
    assert process.returncode in (0, 1, 11, 12, 13, 14), process.stdout + process.stderr
    return process.returncode == 0


WORSE = {
    "an action by its tag": (r"@[0-9a-f]{40} # v", "@v"),
    "every right": (r"permissions:( {}|\n  contents: read)", "permissions: write-all"),
    "the token left on disk": (r"persist-credentials: false", "path: x"),
}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_pin_actions_and_have_few_rights(tmp_path: Path, path: Path) -> None:
    zizmor = ("zizmor", "--offline", "--persona", "pedantic", "--quiet", "--no-progress", str(tmp_path))
    changed = tmp_path / ".github" / "workflows" / path.name
    changed.parent.mkdir(parents=True)
    text = path.read_text(encoding="utf-8")
    changed.write_text(text, encoding="utf-8")
    assert passes(*zizmor)
    for defect, (pattern, worse) in WORSE.items():
        changed.write_text(re.sub(pattern, worse, text, count=1), encoding="utf-8")
        assert not passes(*zizmor), defect


def test_container_is_as_hadolint_wants_it_and_not_root(tmp_path: Path) -> None:
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    changed = tmp_path / "Containerfile"
    changed.write_text(text.replace("USER 10001", "USER root"), encoding="utf-8")

    assert passes("hadolint", str(ROOT / "Containerfile"))
    assert not passes("hadolint", str(changed))
