"""Give records the task and master that only other records of the same task id name."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from cortex_pipelines.words import folded_words

_TASK_KINDS = ("decision", "outcome", "event")
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


def join_by_id(events: pl.DataFrame) -> pl.DataFrame:
    """A frame of ``COORDINATION_EVENTS`` in which each id means one task, and outcomes have a master.

    Ids that start again in each file get its name. An outcome that names no master is that of the last decision
    before it with its id. A record without a text has that of the others with its id, if these, or those of
    them that name a master, have only one.
    """
    columns = ("file", "byte_offset", "kind", "task_id", "text", "master", "occurred_at", "test_row")
    rows = (
        events.select(columns)
        .with_row_index("row")
        .filter(pl.col("kind").is_in(_TASK_KINDS) & pl.col("task_id").is_not_null())
    )
    by_id: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.sort("file", "byte_offset").iter_rows(named=True):
        by_id[row["task_id"]].append(row)
    ids, texts, masters, test_rows = (events[name].to_list() for name in ("task_id", "text", "master", "test_row"))
    for task_id, file in _restarted(by_id):
        name = f"{task_id} in {file}"
        by_id[name] = [row for row in by_id[task_id] if row["file"] == file]
        by_id[task_id] = [row for row in by_id[task_id] if row["file"] != file]
        for row in by_id[name]:
            ids[row["row"]] = name
    for records in by_id.values():
        with_text = [row for row in records if row["text"] and not row["test_row"]]
        with_text = [row for row in with_text if row["master"]] or with_text
        if len({" ".join(folded_words(row["text"])) for row in with_text}) == 1:
            for row in records:
                texts[row["row"]] = row["text"] or with_text[0]["text"]
        decided = [row for row in records if row["master"] is not None]
        decided.sort(key=lambda row: row["occurred_at"] or _LONG_AGO)
        for row in records:
            if decided and row["kind"] == "outcome" and row["master"] is None:
                decision = _last_before(row, decided)
                masters[row["row"]] = decision["master"]
                test_rows[row["row"]] = row["test_row"] or decision["test_row"]
    changed = {"task_id": ids, "text": texts, "master": masters, "test_row": test_rows}
    return events.with_columns(pl.Series(name, cells, events.schema[name]) for name, cells in changed.items())


def _restarted(by_id: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[tuple[str, str]]:
    """Ids with a file each in which they mean another task, if most of the ids that several files have do."""
    several, restarted = 0, []
    for task_id, records in by_id.items():
        texts: dict[str, set[str]] = defaultdict(set)
        for row in records:
            if row["text"]:
                texts[row["file"]].add(" ".join(folded_words(row["text"])))
        if len(texts) > 1:
            several += 1
            if len(set().union(*texts.values())) == sum(map(len, texts.values())):
                restarted += [(task_id, file) for file in texts]
    return restarted if 2 * len({task_id for task_id, _ in restarted}) > several else []


def _last_before(outcome: Mapping[str, Any], decided: Sequence[dict[str, Any]]) -> dict[str, Any]:
    time = outcome["occurred_at"]
    before = [row for row in decided if time is None or row["occurred_at"] is None or row["occurred_at"] <= time]
    return (before or decided[:1])[-1]
