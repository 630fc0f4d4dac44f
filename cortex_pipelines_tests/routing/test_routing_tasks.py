"""Tasks in, decisions out: a line for a line, and ids as they were."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.routing.serving.router import Router
from cortex_pipelines.routing.serving.tasks import Task, TaskFileError, find_rules, read_tasks, route_lines

RULES = {
    "thresholds": {"single_expert": 0.7, "multi_expert": 0.6, "minimum_activation": 0.3},
    "experts": {"development": {"activation_keywords": ["fix", "bug"]}},
}
KEYS = [
    "task_id",
    "master",
    "confidence",
    "in_scope",
    "supporting",
    "alternatives",
    "decided_by",
    "evidence",
    "abstained",
    "latency_ms",
    "model_version",
    "routed_to",
    "propensity",
    "policy",
]


@pytest.fixture(scope="module")
def by_rules(tmp_path_factory: pytest.TempPathFactory) -> Router:
    file = tmp_path_factory.mktemp("rules") / "routing-patterns.json"
    file.write_text(json.dumps(RULES))
    return Router.from_rules(file, None)


def test_tasks_are_read_in_order_with_their_ids(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_bytes(
        '{"task_id": 7.0, "task_title": "ä", "description": "no"}\r\n{"title": " ", "text": "b"}\n'
        '{"description": "c", "task_id": "ö"}\n\n'.encode()
    )
    assert read_tasks(file) == [Task("7.0", "ä"), Task("null", "b"), Task('"ö"', "c")]
    file.write_bytes(b"\n")
    assert read_tasks(file) == []
    with pytest.raises(TaskFileError, match="cannot be read"):
        read_tasks(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"[1]", "a list"),
        (b"1", "a number"),
        (b"{}", "no text"),
        (b'{"title": 3}', "no text"),
        (b"\xff", "not JSON"),
        (b"[" * 99999, "not JSON"),
        (b'{"task_id": {"a": 1}, "title": "x"}', "nested"),
        (b'{"task_id": NaN, "title": "x"}', "not JSON"),
    ],
)
def test_a_bad_line_is_an_error_at_its_place(tmp_path: Path, by_rules: Router, line: bytes, words: str) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_bytes(b'{"title": "fix"}\n' + line + b'\n{"task_id": 2, "title": "fix"}\n')
    first, bad, last = map(json.loads, route_lines(by_rules, read_tasks(file)))
    assert first["master"] == last["master"] == "development"
    assert last["task_id"] == 2
    assert words in bad["error"]
    assert "line 2" in bad["error"]


def test_an_id_is_kept_where_the_text_is_missing(tmp_path: Path, by_rules: Router) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text('{"task_id": "t-9"}\n')
    (answer,) = map(json.loads, route_lines(by_rules, read_tasks(file)))
    assert answer["task_id"] == "t-9"
    assert set(answer) == {"task_id", "error"}


@pytest.mark.parametrize("written", ["1", "1.0", "1e2", "-0", "123456789012345678901", '"é"'])
def test_ids_come_back_as_they_were_written(tmp_path: Path, by_rules: Router, written: str) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text(f'{{"task_id": {written}, "title": "fix the bug"}}\n')
    (line,) = route_lines(by_rules, read_tasks(file))
    assert line.startswith(f'{{"task_id": {written}, "master": "development"')
    assert list(json.loads(line)) == KEYS


identifiers = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(0, 1e9))


@given(st.lists(st.tuples(identifiers, st.text()), max_size=8))
def test_any_ids_and_texts_come_back_in_order(
    by_rules: Router, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[object, str]]
) -> None:
    file = tmp_path_factory.mktemp("tasks") / "tasks.jsonl"
    lines = [json.dumps({"task_id": task_id, "title": text}) for task_id, text in rows]
    file.write_text("".join(f"{line}\n" for line in lines))
    lines_out = route_lines(by_rules, read_tasks(file))
    assert [json.loads(line)["task_id"] for line in lines_out] == [task_id for task_id, _ in rows]
    for line in lines_out:
        line.encode("utf-8")
        assert "\n" not in line


def test_rules_are_found_nearest_to_the_top(tmp_path: Path) -> None:
    assert find_rules(tmp_path) is None
    for folder in ("b", "a/deep"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "routing-patterns.json").write_text("{}")
    assert find_rules(tmp_path) == tmp_path / "b" / "routing-patterns.json"
