"""Requests from a file: an answer a line, and nothing half written."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cortex_pipelines.config import load_parameters
from cortex_pipelines.serving import open_gateway
from cortex_pipelines.serving.http import tasks
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.serving import tinygateway

CASES = load_cases(__file__)
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
def batch(home: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(open_gateway, "open_gateway", lambda *_: tinygateway.open_tiny(home, project))
    file = project / "asked.jsonl"
    file.write_bytes("\n".join(LINES).encode() + b'\n{"task": "\xff"}\n')
    return file


def test_each_line_gets_its_answer_or_its_error(batch: Path) -> None:
    out = batch.with_name("made.jsonl")
    assert "5 of 6 lines" in cortex("predict-batch", str(batch), "--out", str(out), status=1).stderr
    rows = {row["line"]: row for row in map(json.loads, out.read_text().splitlines())}
    assert list(rows) == [1, 3, 4, 5, 6, 7]
    assert {"result", "confidence", "alternatives", "version"} <= set(rows[1])
    assert "error" not in rows[1]
    words = ("not JSON", "the nearest is shop", "put <NAME>", "task: ", "not JSON in UTF-8")
    for number, expected in zip((3, 4, 5, 6, 7), words, strict=True):
        assert expected in rows[number]["error"]


def test_an_interrupted_run_leaves_the_file_as_it_was(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    out = batch.with_name("made.jsonl")
    out.write_text("before")
    monkeypatch.setattr(tasks, "answer_task", interrupted)
    cortex("predict-batch", str(batch), "--out", str(out), status=130)
    assert out.read_text() == "before"
    assert not list(batch.parent.glob(".made*"))


def test_questions_are_not_overwritten_by_their_answers(project: Path) -> None:
    requests_path = project / "asked.jsonl"
    requests_path.write_text("{}\n")
    refused = cortex("predict-batch", str(requests_path), "--out", str(requests_path), status=2)
    assert "is the file of questions" in refused.stderr
    assert requests_path.read_text() == "{}\n"


@pytest.fixture
def loaded(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that has nothing but the parameters."""
    closed = SimpleNamespace(close=lambda: None, datasets=load_parameters(project).datasets)
    monkeypatch.setattr(open_gateway, "open_gateway", lambda *_: closed)


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(("words", "sentence"), CASES["what_is_wrong_is_named_by_its_option"])
def test_what_is_wrong_is_named_by_its_option(words: list[str], sentence: str) -> None:
    result = cortex("suggest", *words, status=2 if "gone.py" in words else 1)
    assert sentence in result.stderr
    assert "context." not in result.stderr


@pytest.mark.usefixtures("loaded")
def test_the_mark_of_unicode_in_a_file_is_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.py"
    path.write_text("def f():\n    return 1\n", encoding="utf-8-sig")
    requested = []

    def answered(*given: Any) -> Any:
        requested.append(given[3])
        return tasks.Suggestion("", 1.0, (), 0.0, *[""] * 5)

    monkeypatch.setattr(tasks, "suggest", answered)
    cortex("suggest", "documentation", "--file", str(path))
    assert requested == ["def f():\n    return 1\n"]
