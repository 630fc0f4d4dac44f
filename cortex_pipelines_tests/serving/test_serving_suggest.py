"""`cortex suggest` on its own: what is wrong is named by its options."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from cortex_pipelines.cli.main import main
from cortex_pipelines.config import load_parameters
from cortex_pipelines.serving import project_gateway, tasks

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_a_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_ROOT", str(ROOT))
    closed = SimpleNamespace(close=lambda: None, datasets=load_parameters(ROOT).datasets)
    monkeypatch.setattr(project_gateway, "open_gateway", lambda *_: closed)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tests", "def f(): pass"], "--test-path: the file that the test goes into is missing"),
        (["architecture", "a shop"], "--request: the line that asks is missing"),
        (["naming", "def f(): pass"], "or name it as --name, which has to stand in the code"),
        (["documentation", "f", "--path", "a.txt"], "--path: text is not one of python"),
        (["documentation", "--file", "gone.py"], "File 'gone.py' does not exist"),
    ],
)
def test_what_is_wrong_is_named_by_its_option(words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(main, ["suggest", *words])
    assert result.exit_code == (2 if "gone.py" in words else 1), result.output
    assert sentence in result.stderr
    assert "context." not in result.stderr


def test_the_mark_of_unicode_in_a_file_is_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.py"
    path.write_text("def f():\n    return 1\n", encoding="utf-8-sig")
    requested = []

    def answered(*given: Any) -> Any:
        requested.append(given[3])
        return SimpleNamespace(as_json=dict)

    monkeypatch.setattr(tasks, "suggest", answered)
    result = CliRunner().invoke(main, ["suggest", "documentation", "--file", str(path)])
    assert result.exit_code == 0, result.output
    assert requested == ["def f():\n    return 1\n"]
