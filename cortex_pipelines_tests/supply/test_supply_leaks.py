"""The repository's own check for secrets, as `make lint` runs it."""

import random
import string
import subprocess
import sys
from pathlib import Path

import pytest

from cortex_pipelines_tests.integration.miniproject import git

ROOT = Path(__file__).parents[2]
LETTERS = string.ascii_letters + string.digits
# generated here: a key in this file would be reported
KEY, OTHER = ("ghp_" + "".join(random.Random(seed).choices(LETTERS, k=36)) for seed in (1, 2))


def leaks(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, str(ROOT / ".ci" / "leaks.py"), *arguments, str(root))
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "settings.py").write_text(f"import os\n\nTOKEN = '{KEY}'\n")
    return tmp_path


def test_a_planted_key_fails_the_check_and_is_not_printed(repository: Path) -> None:
    assert leaks(repository).returncode == 0, "untracked files are ignored"

    git(repository, "add", ".")
    process = leaks(repository)

    assert process.returncode == 1, process.stderr
    assert process.stdout.startswith("settings.py:3: ")
    assert KEY[4:] not in process.stdout


def test_what_is_allowed_is_one_value_not_a_file(repository: Path) -> None:
    git(repository, "add", ".")
    assert leaks(repository, "--accept").returncode == 0
    assert leaks(repository).returncode == 0

    with (repository / "settings.py").open("a") as file:
        file.write(f"SPARE = '{OTHER}'\n")
    process = leaks(repository)

    assert process.returncode == 1, process.stderr
    assert process.stdout.startswith("settings.py:4: ")
    assert process.stdout.count("settings.py") == 1


def test_this_repository_is_clean() -> None:
    process = leaks(ROOT)

    assert process.returncode == 0, process.stdout + process.stderr
