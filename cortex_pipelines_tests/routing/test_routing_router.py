"""Decisions: the model where it is sure, else the rules, else a person."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cortex_pipelines.routing.encoder import SentenceEncoder
from cortex_pipelines.routing.head import Head
from cortex_pipelines.routing.router import (
    Router,
    RouterConfig,
    RouterError,
    TrainedModel,
    save_router,
)
from cortex_pipelines.routing.rules import parse_rules
from cortex_pipelines.routing.tasks import Task, TaskFileError, find_rules, read_tasks

PATTERNS = {
    "thresholds": {"single_expert": 0.7, "multi_expert": 0.6, "minimum_activation": 0.3},
    "experts": {
        "development": {"activation_keywords": ["fix", "bug"]},
        "legal": {"activation_keywords": ["contract", "licence"]},
        "security": {"activation_keywords": ["scan", "secrets"]},
    },
}
CONFIG = RouterConfig(
    masters=("cicd", "development", "security"),
    temperature=1.0,
    accept=0.6,
    supporting=0.25,
    fallback_master="cicd",
    max_tokens=32,
    batch=4,
    threads=1,
    encoder={"wheel": "x==1"},
)
IDENTITY = Head(((np.eye(3, dtype=np.float32), np.zeros(3, dtype=np.float32)),))


def never() -> SentenceEncoder:
    raise AssertionError("the embedding was given")


def decide(
    text: str, chances: list[float], config: RouterConfig = CONFIG
) -> tuple[str | None, str]:
    router = Router(TrainedModel(IDENTITY, config, never), parse_rules(PATTERNS, "x"), "cicd")
    logits = np.log(np.array([chances], dtype=np.float32))
    (decision,) = router.route_embedded([text], logits)
    assert decision.probabilities == pytest.approx(dict(zip(config.masters, chances, strict=True)))
    assert decision.confidence == decision.probabilities[str(decision.master)]
    json.dumps(decision.as_json())
    return decision.master, decision.decided_by


@pytest.mark.parametrize(
    ("text", "chances", "expected"),
    [
        ("fix the bug", [0.8, 0.1, 0.1], ("cicd", "model")),
        ("fix the bug", [0.5, 0.4, 0.1], ("development", "rules")),
        ("fix", [0.5, 0.4, 0.1], ("cicd", "person")),
        ("hello", [0.4, 0.3, 0.3], ("cicd", "person")),
        ("contract and licence", [0.4, 0.35, 0.25], ("cicd", "person")),
    ],
)
def test_who_decides(text: str, chances: list[float], expected: tuple[str, str]) -> None:
    assert decide(text, chances) == expected


def test_masters_that_could_help_are_named() -> None:
    router = Router(TrainedModel(IDENTITY, CONFIG, never), None, None)
    (decision,) = router.route_embedded(["x"], np.log(np.array([[0.3, 0.6, 0.1]], np.float32)))
    assert (decision.master, decision.supporting) == ("development", ("cicd",))
    assert router.by_rules("fix").decided_by == "person"


def test_the_rules_alone_decide_where_no_model_is_promoted(tmp_path: Path) -> None:
    file = tmp_path / "a" / "routing-patterns.json"
    file.parent.mkdir()
    file.write_text(json.dumps(PATTERNS))
    assert find_rules(tmp_path) == file
    router = Router.from_rules(file, "cicd")
    sure, unknown = router.route(["fix the bug, scan it", "hello"])
    assert (sure.master, sure.decided_by) == ("development", "rules")
    assert (unknown.master, unknown.decided_by, unknown.confidence) == ("cicd", "person", 0.0)
    assert Router.from_rules(file, None).route(["hello"])[0].master is None


def test_without_model_and_rules_there_is_no_router(tmp_path: Path) -> None:
    assert find_rules(tmp_path) is None
    with pytest.raises(RouterError, match="cortex run"):
        Router(None, None, None)


def test_a_router_is_the_same_after_being_written(tmp_path: Path, tiny_encoder: Path) -> None:
    random = np.random.default_rng(1)
    head = Head(((random.normal(size=(3, 32)).astype(np.float32), np.zeros(3, np.float32)),), 0.5)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save_router(tmp_path / name, head, replace(CONFIG, temperature=0.5), PATTERNS)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
    router = Router.load(tmp_path / "one", tiny_encoder)
    texts = ["fix the bug", "scan for secrets", ""]
    decisions = router.route(texts)
    embedded = SentenceEncoder(tiny_encoder, 32, 4, 1).encode(texts)
    expected = head.probabilities(embedded)
    for decision, row in zip(decisions, expected, strict=True):
        assert list(decision.probabilities.values()) == row.tolist()
    assert router.route(texts) == decisions
    assert router.rules is not None
    assert router.route([]) == []


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", None),
        ("config.json", "{"),
        ("config.json", "{}"),
        ("config.json", '{"masters": [], "more": 1}'),
        ("head.safetensors", None),
        ("head.safetensors", "x"),
    ],
)
def test_a_damaged_router_is_a_clear_error(tmp_path: Path, file: str, content: str | None) -> None:
    save_router(tmp_path, IDENTITY, CONFIG, None)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(content)
    with pytest.raises(RouterError, match=file):
        Router.load(tmp_path, tmp_path)


def test_tasks_are_read_in_order_with_their_ids(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_bytes(
        '{"task_id": 7, "task_title": "ä", "description": "no"}\n\n{"title": "b"}\r\n'
        '{"description": "c", "task_id": "x"}'.encode()
    )
    assert read_tasks(file) == [Task("7", "ä"), Task(None, "b"), Task("x", "c")]


@pytest.mark.parametrize("line", [b"{", b"[1]", b"{}", b'{"title": 3}', b"\xff", b"[" * 9999])
def test_a_bad_line_is_an_error_with_its_number(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_bytes(b'{"title": "fine"}\n\n' + line + b"\n")
    with pytest.raises(TaskFileError, match=r"tasks\.jsonl, line 3"):
        read_tasks(file)
    with pytest.raises(TaskFileError, match="cannot be read"):
        read_tasks(tmp_path / "none.jsonl")
