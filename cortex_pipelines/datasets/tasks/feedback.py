"""Feedback candidates: corrections by people, and completions that they kept.

A correction has the form of a code review: the code of the model, and the code of a person. A completion that people
kept was written by a model, so it is marked as such, limited in number, and never held out. Both are in the split of
their file, which is named by the editor or found by its text.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from cortex_pipelines.datasets.assemble.build import Tables, finish_tables
from cortex_pipelines.datasets.assemble.selection import is_empty
from cortex_pipelines.datasets.decontamination import Fingerprints
from cortex_pipelines.datasets.settings import DatasetSettings, FeedbackExampleSettings
from cortex_pipelines.datasets.tasks.changes import change_candidates, splits_by_file
from cortex_pipelines.datasets.tasks.completion import code_before
from cortex_pipelines.datasets.unit_text import LINE_COMMENTS, FileKey
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.datasets import (
    CORRECTION,
    CORRECTION_REQUEST,
    CORRECTION_TITLE,
    FEEDBACK_DATASET,
    MODEL,
    PERSON,
    RETAINED,
    SIMULATION,
)
from cortex_pipelines.schemas.vocabulary import SPLITS

NAME = "feedback_dataset"
FILE_COLUMNS = ("source", "path", "language", "revision", "licence", "trainable", "text")
"""Columns read from REPOSITORY_FILES."""
INTERACTION_COLUMNS = (
    *("completion_id", "simulated", "project", "path", "accepted", "edited", "characters"),
    *("retained_1h", "retained_commit", "original", "corrected"),
)
"""Columns read from INTERACTIONS."""

_NONE = "feedback_none"
_S = pl.String
_CHANGES = pl.Schema(
    {
        **dict.fromkeys(("unit_id", "source", "path", "language", "revision"), _S),
        **dict.fromkeys(("before", "after", "prompt", "kind", "origin", "why_not"), _S),
    }
)


def feedback_tables(
    interactions: pl.DataFrame,
    files: pl.DataFrame,
    splits: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    project: str,
    examples: FeedbackExampleSettings,
    settings: DatasetSettings,
    cache: RowCache | None = None,
) -> Tables:
    """Tables of the feedback data set; without feedback, the manifest says so."""
    rows = _select_changes(interactions.filter(pl.col("project") == project), files, splits, settings)
    changes = rows.drop("prompt").with_columns(
        pl.lit(CORRECTION_REQUEST).alias("request"), pl.lit(CORRECTION_TITLE).alias("title")
    )
    change_rows = change_candidates(changes, files, splits, benchmarks, settings)
    prompts = dict(rows.drop_nulls("prompt").select("unit_id", "prompt").iter_rows())
    file_prompts = pl.col("unit_id").replace_strict(prompts, default=None, return_dtype=_S)
    held_out = pl.col("split") != "train"
    simulated = (pl.col("origin") == SIMULATION) & (held_out | (not examples.simulated))
    by_model = (pl.col("kind") == RETAINED) & (held_out | (not examples.max_retained))
    exclusion = pl.when(simulated).then(pl.lit("feedback_simulated")).when(by_model).then(pl.lit("feedback_by_model"))
    candidates = change_rows.with_columns(
        pl.when(pl.col("prompt").is_not_null()).then(pl.coalesce(file_prompts, "prompt")).alias("prompt"),
        pl.coalesce(exclusion, "not_made").alias("not_made"),
    )
    bounds = {**settings.max_by_kind.get(NAME, {}), RETAINED: examples.max_retained}
    bounded = settings.model_copy(update={"max_by_kind": {NAME: bounds}})
    return finish_tables(NAME, FEEDBACK_DATASET, candidates, bounded, cache, empty_reason=_NONE)


def card_notes(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """Notes for the data card: authors of the completions, or reason for their absence."""
    if is_empty(tables, _NONE):
        return [
            "There is no feedback yet: no interaction of this project has a correction or was kept "
            "as it was (feedback.consent names the projects whose interactions are kept)."
        ]
    train = tables[SPLITS[0]]["origin"]
    counts = {origin: train.eq(origin).sum() for origin in (PERSON, MODEL, SIMULATION)}
    return [
        f"In train, {counts[PERSON]} are written by people, {counts[MODEL]} by a model and only "
        f"kept by people (feedback_examples.max_retained), and {counts[SIMULATION]} come from a "
        "simulation (feedback_examples.simulated). Only what people wrote is held out."
    ]


def _select_changes(
    interactions: pl.DataFrame, files: pl.DataFrame, splits: pl.DataFrame, settings: DatasetSettings
) -> pl.DataFrame:
    file_splits = splits_by_file(splits, settings)

    def held_out_first(file_key: FileKey) -> tuple[int, FileKey]:
        split = file_splits.get(file_key)
        return -SPLITS.index(split[0]) if split else 0, file_key

    by_key = {(row["source"], row["path"]): row for row in files.iter_rows(named=True)}
    files_by_key = {file_key: by_key[file_key] for file_key in sorted(by_key, key=held_out_first)}
    latest = pl.max_horizontal("retained_1h", "retained_commit")
    accepted_unchanged = pl.col("accepted") & ~pl.col("edited") & (latest == pl.col("characters"))
    corrected = pl.col("corrected").is_not_null()
    selected = interactions.filter(corrected | (accepted_unchanged & pl.col("original").is_not_null()))
    rows = [_change(row, files_by_key, settings) for row in selected.sort("completion_id").iter_rows(named=True)]
    return pl.DataFrame(rows, schema=_CHANGES, orient="row")


def _change(
    row: Mapping[str, Any], files_by_key: Mapping[FileKey, Mapping[str, Any]], settings: DatasetSettings
) -> dict[str, Any]:
    """The change that an interaction stands for, of the first file with its path, or else with its text."""
    corrected = row["corrected"] is not None
    before = row["original"] if corrected else ""
    after = row["corrected"] if corrected else row["original"]
    by_path = (file_key for file_key in files_by_key if file_key[1] == row["path"])
    stripped = after.strip()
    by_text = (file_key for file_key, file in files_by_key.items() if stripped and stripped in file["text"])
    file_key = next(by_path, None) or next(by_text, None)
    file = files_by_key[file_key] if file_key else None
    why_not = None
    if before is None:
        why_not = "feedback_without_original"
    elif file is None or not (corrected or after in file["text"]):
        why_not = "feedback_without_file"
    kind, written_by = (CORRECTION, PERSON) if corrected else (RETAINED, MODEL)
    parts = (kind, *(file_key or ("", row["path"] or "")), before or "", after)
    prompt = None
    if file is not None and not corrected:
        head = f"{LINE_COMMENTS.get(file['language'], '#')} {file['path']}\n"
        code = str(file["text"]).partition(after)[0].encode()
        prompt = head + code_before(code, len(code), settings.max_prompt_bytes - len(head.encode()))
    return {
        "unit_id": hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32],
        "source": file_key[0] if file_key else None,
        "path": file_key[1] if file_key else row["path"],
        "language": file["language"] if file else None,
        "revision": file["revision"] if file else None,
        "before": before or "",
        "after": after,
        "prompt": prompt,
        "kind": kind,
        "origin": SIMULATION if row["simulated"] else written_by,
        "why_not": why_not,
    }
