"""Requests from a file: an answer a line, and nothing half written."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cortex_pipelines.cli.main import main
from cortex_pipelines.config import load_parameters
from cortex_pipelines.serving import open_gateway, tasks
from cortex_pipelines.serving import open_gateway as opening
from cortex_pipelines_tests.serving import tinygateway

NAMING = {"model": "shop", "task": "naming", "input": "def <NAME>(a):\n    return a\n"}
LINES = (
    json.dumps({**NAMING, "alternatives": 0}),
    "",
    "{",
    json.dumps({**NAMING, "model": "shpo"}),
    json.dumps({**NAMING, "input": "def f(): pass"}),
    json.dumps({"task": "cooking", "input": "x"}),
)


@pytest.fixture
def batch(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_bytes((tinygateway.ROOT / "params.yaml").read_bytes())
    monkeypatch.setenv("CORTEX_ROOT", str(tmp_path))
    open_tiny = lambda *_: tinygateway.open_tiny(home, tmp_path)  # noqa: E731
    monkeypatch.setattr(opening, "open_gateway", open_tiny)
    file = tmp_path / "asked.jsonl"
    file.write_bytes("\n".join(LINES).encode() + b'\n{"task": "\xff"}\n')
    return file


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["predict-batch", *map(str, words)])


def test_each_line_gets_its_answer_or_its_error(batch: Path) -> None:
    out = batch.with_name("made.jsonl")
    result = run(batch, "--out", out)
    assert result.exit_code == 1
    assert "5 of 6 lines" in result.stderr
    rows = {row["line"]: row for row in map(json.loads, out.read_text().splitlines())}
    assert list(rows) == [1, 3, 4, 5, 6, 7]
    assert {"result", "confidence", "alternatives", "version"} <= set(rows[1])
    assert "error" not in rows[1]
    words = ("not JSON", "the nearest is shop", "put <NAME>", "task: ", "not JSON in UTF-8")
    for number, expected in zip((3, 4, 5, 6, 7), words, strict=True):
        assert expected in rows[number]["error"]


def test_an_interrupted_run_leaves_the_file_as_it_was(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cortex_pipelines.serving.http import tasks as answering

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    out = batch.with_name("made.jsonl")
    out.write_text("before")
    monkeypatch.setattr(answering, "answer_task", interrupted)
    assert run(batch, "--out", out).exit_code == 130
    assert out.read_text() == "before"
    assert not list(batch.parent.glob(".made*"))


def test_questions_are_not_overwritten_by_their_answers(tmp_path: Path) -> None:
    requests_path = tmp_path / "asked.jsonl"
    requests_path.write_text("{}\n")
    result = CliRunner().invoke(main, ["predict-batch", str(requests_path), "--out", str(requests_path)])
    assert result.exit_code == 2
    assert "is the file of questions" in result.stderr
    assert requests_path.read_text() == "{}\n"


ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_a_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_ROOT", str(ROOT))
    closed = SimpleNamespace(close=lambda: None, datasets=load_parameters(ROOT).datasets)
    monkeypatch.setattr(open_gateway, "open_gateway", lambda *_: closed)


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
        return tasks.Suggestion("", 1.0, (), 0.0, *[""] * 5)

    monkeypatch.setattr(tasks, "suggest", answered)
    result = CliRunner().invoke(main, ["suggest", "documentation", "--file", str(path)])
    assert result.exit_code == 0, result.output
    assert requested == ["def f():\n    return 1\n"]
