import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.evaluation.adapter.assets import code_adapter_evaluation
from cortex_pipelines.execution.sandbox import sandbox
from cortex_pipelines.versioning import on_node
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.evaluation import workshop as room
from cortex_pipelines_tests.evaluation.workshop import Workshop

FILES = {"a.py": "def one():\n    return 1\n"}
Evaluate = Callable[..., tuple[str | None, dict[str, Any]]]


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Number of cores and task of what went to a node: through pickle, as in a cluster."""
    sent: list[Any] = []

    def on_cluster(work: Callable[[Any], Any], item: Any, _: str, cores: int) -> Any:
        sent.append((cores, item))
        return pickle.loads(pickle.dumps(work(pickle.loads(pickle.dumps(item)))))

    monkeypatch.setattr(on_node, "on_cluster", on_cluster)
    return sent


@pytest.fixture
def evaluate(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Evaluate:
    """Evaluates here or, with ``clustered``, on a node; the hash of the files and the tables."""
    names = tuple(code_adapter_evaluation.parameters)

    def compute(*values: Any) -> Any:
        return on_node.compute(code_adapter_evaluation, dict(zip(names, values, strict=True)), "evaluation")

    monkeypatch.setattr(room, "code_adapter_evaluation", compute)
    base = tinymodel.pinned(workshop.root, str(workshop.root / "base"))
    monkeypatch.setattr(tinymodel, "pinned", lambda _: base)

    def run(clustered: bool, **changes: Any) -> tuple[str | None, dict[str, Any]]:
        monkeypatch.setattr(on_node, "is_clustered", lambda: clustered)
        cache = tmp_path / f"cache-{clustered}"
        repository = workshop.repository(FILES)
        tables, _ = workshop.tables(workshop.trained, cache=cache, repository=repository, **changes)
        return content_md5(workshop.outs[-1]), tables

    return run


def test_an_evaluation_on_a_node_gives_the_same_files_and_tables(
    evaluate: Evaluate, workshop: Workshop, tasks: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, tables = evaluate(False, items=4, generated_items=1, threads=1)
    assert not tasks
    workshop.observed.clear()
    there, tables_there = evaluate(True, items=4, generated_items=1, threads=1)
    ((cores, task),) = tasks
    assert there == here
    assert tables_there.keys() == tables.keys()
    assert all(tables_there[name].equals(table) for name, table in tables.items())
    assert tables["scores"].height
    assert workshop.observed["scoring_seconds"] > 0
    assert cores == 1
    assert not any("cache" in Path(path).name for path in task.paths)


def test_an_evaluation_stays_here_if_a_node_lacks_what_it_reads(
    evaluate: Evaluate, tasks: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cortex_pipelines")
    answers = iter([None, "no sandbox on this machine"])  # the driver's, and the node's
    monkeypatch.setattr(sandbox, "unavailable", lambda: next(answers, None))
    evaluate(True, items=1)
    assert len(tasks) == 1
    assert "a node has no sandbox" in caplog.text
    problems = [{"path": "problems.jsonl", "sha256": "0" * 64}]
    with pytest.raises(ValueError, match=r"problems.jsonl does not exist"):
        evaluate(True, items=1, benchmarks=problems)
    assert len(tasks) == 1
    assert "which has problems.jsonl" in caplog.text
