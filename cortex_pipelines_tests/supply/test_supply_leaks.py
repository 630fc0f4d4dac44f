"""The repository's own check for secrets, as `make lint` runs it on all that is tracked."""

import random
import runpy
import string
from pathlib import Path

import pytest

from cortex_pipelines_tests.integration.miniproject import git

SCRIPT = Path(__file__).parents[2] / ".ci" / "leaks.py"
LETTERS = string.ascii_letters + string.digits
# generated here: a key in this file would be reported
KEY, OTHER = ("ghp_" + "".join(random.Random(seed).choices(LETTERS, k=36)) for seed in (1, 2))


def test_a_planted_key_fails_the_check_until_it_is_allowed_and_is_not_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = runpy.run_path(str(SCRIPT))["main"]

    def leaks(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["leaks.py", *arguments, str(tmp_path)])
        return main(), capsys.readouterr().out

    git(tmp_path, "init", "-q")
    (tmp_path / "settings.py").write_text(f"import os\n\nTOKEN = '{KEY}'\n")
    assert leaks() == (0, ""), "untracked files are ignored"

    git(tmp_path, "add", ".")
    status, printed = leaks()
    assert status == 1
    assert printed.startswith("settings.py:3: ")
    assert KEY[4:] not in printed

    assert leaks("--accept")[0] == 0
    assert leaks() == (0, "")

    with (tmp_path / "settings.py").open("a") as file:
        file.write(f"SPARE = '{OTHER}'\n")
    status, printed = leaks()
    assert status == 1, "what is allowed is one value, not a file"
    assert printed.startswith("settings.py:4: ")
    assert printed.count("settings.py") == 1
