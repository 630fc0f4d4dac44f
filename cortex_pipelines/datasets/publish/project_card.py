"""What a project's data sets teach, and what is wrong with them, in a table and a sentence (``cortex card``)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from cortex_pipelines.datasets.mix import FEWEST_HELD_OUT, distance, strata, with_tests
from cortex_pipelines.datasets.publish.card import DIVERGENT
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.extraction.test_cases import tests_beside_code
from cortex_pipelines.schemas.datasets import MANIFEST
from cortex_pipelines.schemas.extraction import CODE_UNITS
from cortex_pipelines.schemas.vocabulary import SPLITS

PURPOSES = {
    "completion": "complete code",
    "refactoring": "find and mend faults",
    "naming": "name things",
    "architecture": "keep the structure",
    "documentation": "document",
    "tests": "write tests",
    "feedback": "heed corrections",
}
"""What each task teaches, in words; the data set of a task is ``TASK_dataset``."""
_BYTES_PER_TOKEN = 3.5  # of SmolLM2 on code; an estimate saves the tokenizer
_COLUMNS = cs.by_name("unit_id", "language", "path", "kind", "prompt", "completion", require_all=False)
_UNIT_COLUMNS = ("unit_id", "language", "context")


def project_card(data: Path, project: str, settings: DatasetSettings) -> list[dict[str, Any]]:
    """One row for each task and split of a project's data sets under ``data``; tasks that were not built are absent.

    ``tokens`` are estimated from bytes, ``tests`` is a share of the rows, ``distance`` is in bits to train, and
    ``answerable`` is the share of the task's candidates whose answer can be known, and ``in_mix`` that of its rows
    which the mix (or a limit) admits; the others were left out.
    """
    rows: list[dict[str, Any]] = []
    units = data / "code_units" / project
    of_tests = tests_beside_code(CODE_UNITS.read(units, *_UNIT_COLUMNS)) if units.exists() else frozenset()
    for task in PURPOSES:
        folder = data / f"{task}_dataset" / project
        if not (folder / "train.parquet").exists():
            continue
        frames = {split: pl.scan_parquet(folder / f"{split}.parquet").select(_COLUMNS).collect() for split in SPLITS}
        tables = {split: with_tests(frame, of_tests) for split, frame in frames.items()}
        manifest = pl.read_parquet(folder / f"{MANIFEST.name}.parquet")
        counts = dict(manifest.group_by("left_out").agg(pl.col("count").sum()).iter_rows())
        unknowable = sum(count for reason, count in counts.items() if reason and reason.startswith("unanswerable"))
        used, beyond = counts.get(None, 0), counts.get("sample", 0)
        answerable = sum(counts.get(reason, 0) for reason in (None, "sample", "injected_share", "shows_held_out"))
        for split, frame in tables.items():
            columns = strata(frame)
            row = {
                "task": task,
                "split": split,
                "rows": frame.height,
                "tokens": round(int(columns["bytes"].sum()) / _BYTES_PER_TOKEN),
                "tests": round(int(columns["test"].sum()) / max(frame.height, 1), 3),
                "languages": _shares(frame, "language"),
                "kinds": _shares(frame, "kind"),
                "distance": round(distance(frame, tables["train"]), 3),
                "in_mix": round(used / max(used + beyond, 1), 3),
                "answerable": round(answerable / (answerable + unknowable), 3) if answerable + unknowable else None,
            }
            rows.append(row | {"warnings": list(_warnings(row, project, settings))})
    return rows


def _shares(frame: pl.DataFrame, column: str) -> dict[str, float]:
    counts = frame.group_by(column).len().sort("len", column, descending=[True, False])
    return {value: round(count / frame.height, 3) for value, count in counts.iter_rows()}


def _warnings(row: dict[str, Any], project: str, settings: DatasetSettings) -> Iterator[str]:
    held_out = row["split"] != "train"
    if not row["rows"]:
        yield f"empty; data/{row['task']}_dataset/{project}/card.md says why"
    elif held_out and row["rows"] < FEWEST_HELD_OUT:
        yield f"{row['rows']} rows are few to judge by; from {FEWEST_HELD_OUT} on, a difference of a tenth shows"
    if row["rows"] and row["task"] != "tests" and row["tests"] > settings.mix.max_test_share + DIVERGENT:
        yield f"{row['tests']:.0%} of it is test code"
    if held_out and row["distance"] > DIVERGENT:
        yield f"other languages or tests than train: a distance of {row['distance']:.2f} bits"
    if row["rows"] and row["in_mix"] < 0.5 and not held_out and settings.max_train is None:
        yield f"{1 - row['in_mix']:.0%} of the rows are left out for the mix, as product code is scarce (datasets.mix)"
    if row["answerable"] is not None and row["answerable"] < 0.5 and not held_out:
        yield f"of {1 - row['answerable']:.0%} of the candidates the answer cannot be known; they are left out"


def summary(project: str, rows: list[dict[str, Any]]) -> str:
    """A sentence that says what a model learns from these rows."""
    parts = [
        f"to {PURPOSES[row['task']]} ({row['rows']:,} examples, {row['tests']:.0%} of them from tests)"
        for row in rows
        if row["split"] == "train" and row["rows"]
    ]
    tokens = sum(row["tokens"] for row in rows if row["split"] == "train")
    lessons = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)
    if not parts:
        return f"{project} has no training data yet."
    return f"From {project} a model can learn {lessons}: about {tokens:,} tokens in all."
