"""Requests from a file: an answer a line, and nothing half written."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cortex_pipelines.cli.main import main
from cortex_pipelines.serving import project_gateway as opening
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
    from cortex_pipelines.serving.http import batch as answering

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
