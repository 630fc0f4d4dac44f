"""What the router leaves to a person waits in a queue, and the answer becomes a label."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any
from unittest.mock import Mock

import pytest

from cortex_pipelines import jsonl
from cortex_pipelines.config import load_parameters
from cortex_pipelines.coordination.logs import read_logs, take_coordination_pin
from cortex_pipelines.feedback.project_feedback import gateway_log
from cortex_pipelines.jsonl import json_object
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, logs_key
from cortex_pipelines.routing.dataset.labels import labelled_tasks
from cortex_pipelines.routing.serving.router import Decision
from cortex_pipelines.serving import reviews
from cortex_pipelines.serving.reviews import FILE, LOG, decide, review_queue
from cortex_pipelines.versioning.project import ProjectError, read_yaml, write_yaml
from cortex_pipelines_tests.command import cortex

ROOT = Path(__file__).parents[2]
AT = "2026-05-04T03:02:01+00:00"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "logs").mkdir()
    values = read_yaml(ROOT / "params.yaml") | {"coordination": {"logs": "logs", "sample": False}}
    write_yaml(tmp_path / "params.yaml", values)
    monkeypatch.setenv("CORTEX_ROOT", str(tmp_path))
    return tmp_path


def decision(first: float, second: float, against: int = 0, abstained: bool = True) -> Decision:
    evidence: list[dict[str, Any]] = [{"master": "cicd"}] * against
    evidence += [{"master": "security"}] * (4 - against)
    return Decision(
        "security", first, 1.0, (), (), "person" if abstained else "kernel", tuple(evidence),
        abstained, 1.0, "v1", {"security": first, "cicd": second},
    )  # fmt: skip


def waiting() -> list[dict[str, Any]]:
    return list(json.loads(cortex("review", "--json").stdout))


def test_the_most_informative_comes_first_and_without_secrets(root: Path) -> None:
    queue = review_queue(root)
    assert "no task waits" in cortex("review").stdout
    decisions = [
        decision(0.8, 0.1),
        decision(0.5, 0.45),
        decision(0.8, 0.1, against=4),
        decision(0.9, 0.1, abstained=False),
        decision(0.9, 0.0),
    ]
    queue.add(["clear", "even", "against", "sure", "mail ann@corp-mail.com about the build"], decisions, AT)
    queue.add(["clear"], [decision(0.8, 0.1)], "2026-06-01T00:00:00+00:00")
    rows = waiting()
    assert [row["text"] for row in rows[:3]] == ["against", "even", "clear"]
    assert (rows[0]["uncertainty"], rows[0]["disagreement"], rows[2]["asked"], rows[2]["at"]) == (0.3, 1.0, 2, AT)
    assert len(rows) == 4
    assert "ann@corp" not in (gateway_log(root).parent / FILE).read_text()
    assert "against" in cortex("review").stdout


def test_an_answer_is_a_label_with_its_author_and_the_text_goes(root: Path) -> None:
    queue = review_queue(root)
    queue.add(["rotate the build key", "other"], [decision(0.5, 0.45)] * 2, AT)
    task = next(row["id"] for row in waiting() if row["text"] != "other")
    assert f"{task} belongs to cicd" in cortex("review", task, "cicd", "--by", "anna").stderr
    params = load_parameters(root)
    pin = take_coordination_pin(root / "logs", root, params.privacy)
    events = read_logs(root / "logs", pin, params.coordination, params.privacy).events
    (label,) = labelled_tasks(events)
    assert (label.text, label.master, label.source) == ("rotate the build key", "cicd", "outcome")
    (payload,) = events["payload"]
    assert author_pseudonym("anna", logs_key(params.privacy)) in payload
    assert "anna" not in (root / "logs" / LOG).read_text()
    # it does not wait any more, nor when it is asked again before the next router knows it
    queue.add(["rotate the build key"], [decision(0.5, 0.45)], AT)
    assert [row["text"] for row in waiting()] == ["other"]


def test_what_cannot_be_decided_is_said_in_a_sentence(root: Path) -> None:
    review_queue(root).add(["one"], [decision(0.5, 0.45)], AT)
    (task,) = (row["id"] for row in waiting())
    assert "no open task nothing" in cortex("review", "nothing", "cicd", status=1).output
    assert "no master garden; the router knows security, cicd" in (cortex("review", task, "garden", status=1).output)
    for words in ((task,), (task, "cicd", "--drop"), ("--drop",)):
        assert "TASK" in cortex("review", *words, status=2).output
    values = read_yaml(root / "params.yaml")
    write_yaml(root / "params.yaml", values | {"coordination": {"logs": "logs", "sample": True}})
    assert "the logs are a sample" in cortex("review", task, "cicd", status=1).output
    assert not (root / "logs" / LOG).exists()
    path = gateway_log(root).parent / FILE
    path.write_text(path.read_text() + '{"id": "cut')
    cortex("review", task, "--drop")
    assert waiting() == []
    assert "one" not in path.read_text()


def recorded(root: Path) -> list[str]:
    return [json.loads(line)["ideal_expert"] for line in (root / "logs" / LOG).read_text().splitlines()]


def test_a_text_is_kept_once_and_not_again_after_the_decision(root: Path) -> None:
    queue, path = review_queue(root), gateway_log(root).parent / FILE
    for first in (0.9, 0.8, 0.5):
        queue.add(["rotate the key", "other", "rotate the key"], [decision(first, 0.45)] * 3, AT)
    assert path.read_text().count("rotate the key") == 1
    row = next(row for row in waiting() if row["text"] == "rotate the key")
    assert (row["asked"], row["uncertainty"]) == (6, 0.95)  # of the newest decision
    cortex("review", row["id"], "--drop")
    before = path.read_bytes()
    queue.add(["rotate the key"], [decision(0.5, 0.45)], AT)
    assert path.read_bytes() == before
    assert b"rotate" not in before


def test_of_a_long_queue_only_what_is_new_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, other, unsure = review_queue(root), review_queue(root), decision(0.5, 0.45)
    queue.add([f"task {number}" for number in range(50)], [unsure] * 50, AT)
    queue.add(["task 3"], [unsure], AT)
    parse = Mock(side_effect=json_object)
    monkeypatch.setattr("cortex_pipelines.serving.reviews.json_object", parse)
    other.add(["task 7", "new"], [unsure] * 2, AT)
    assert parse.call_count >= 51
    parse.reset_mock()
    queue.add(["task 3", "new"], [unsure] * 2, AT)
    assert parse.call_count <= 4  # of the other one and its own last
    rows = {row["text"]: row["asked"] for row in waiting()}
    assert (len(rows), rows["task 3"], rows["task 7"], rows["new"]) == (51, 3, 2, 2)


def test_texts_that_came_back_before_go_with_the_next_decision(root: Path) -> None:
    queue, path = review_queue(root), gateway_log(root).parent / FILE
    queue.add(["one"], [decision(0.5, 0.45)], AT)
    line, (task,) = path.read_text(), (row["id"] for row in waiting())
    cortex("review", task, "--drop")
    path.write_text(path.read_text() + line)
    queue.add(["two"], [decision(0.5, 0.45)], AT)
    cortex("review", waiting()[0]["id"], "--drop")
    assert [set(json.loads(row)) for row in path.read_text().splitlines()] == [{"id"}] * 2


def test_of_several_people_who_decide_at_once_one_does(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    review_queue(root).add(["one"], [decision(0.5, 0.45)], AT)
    (task,) = (row["id"] for row in waiting())
    begun = Barrier(4, timeout=60)

    def pseudonym(author: str, key: bytes | None) -> str:
        begun.wait()
        return author

    monkeypatch.setattr(reviews, "author_pseudonym", pseudonym)

    def reviewed_by(master: str) -> str:
        try:
            return decide(root, task, master, "anna").name
        except ProjectError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(reviewed_by, ["security", "cicd"] * 2))
    assert (answers, len(recorded(root))) == ([f"no open task {task}; `cortex review` lists them"] * 3 + [LOG], 1)


def test_a_kill_between_the_record_and_the_queue_leaves_one_answer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    review_queue(root).add(["one", "two"], [decision(0.5, 0.45)] * 2, AT)
    first, second = (row["id"] for row in waiting())
    with monkeypatch.context() as patched:
        patched.setattr(jsonl, "atomic_file", _killed)
        for task in (first, second):
            with pytest.raises(KeyboardInterrupt):
                decide(root, task, "security", "anna")
    assert {row["id"] for row in waiting()} == {first, second}  # nothing is lost
    assert "belongs to security" in cortex("review", first, "security").stderr
    assert f"{second} was decided before" in cortex("review", second, "cicd", status=1).output.replace("\n", " ")
    assert (waiting(), recorded(root)) == ([], ["security", "security"])


@contextmanager
def _killed(path: Path) -> Iterator[Path]:
    yield path.with_name("scratch")
    raise KeyboardInterrupt


def test_a_text_is_shown_as_it_was_typed(root: Path) -> None:
    text = "[bug] :bug: [/api/users] wants list[int]"
    review_queue(root).add([text], [decision(0.5, 0.45)], AT)
    words = cortex("review").stdout.split()
    assert set(text.split()) <= set(words)
