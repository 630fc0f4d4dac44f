"""Feedback candidates: corrections by people, and completions that they kept.

A correction is asked for as a code review is: the code as a model wrote it, and the code as a
person put it. A completion that was kept is what a model wrote, so it is marked as that, bounded,
and never held out. Either belongs to a file of the project and is on that file's side of the split;
the file is named by the editor, or else it is one in which the text stands.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from cortex_pipelines.datasets.assemble.build import Tables, finished_tables
from cortex_pipelines.datasets.assemble.manifest import is_empty
from cortex_pipelines.datasets.filters.decontamination import Fingerprints
from cortex_pipelines.datasets.prompts.unit_text import LINE_COMMENTS, Place
from cortex_pipelines.datasets.settings import DatasetSettings, FeedbackExampleSettings
from cortex_pipelines.datasets.tasks.changes import change_candidates, sides_of
from cortex_pipelines.datasets.tasks.statements import code_before
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.datasets.feedback import (
    CORRECTION,
    FEEDBACK_DATASET,
    MODEL,
    PERSON,
    REQUEST,
    RETAINED,
    SIMULATION,
    TITLE,
)
from cortex_pipelines.schemas.vocabulary import SPLITS

NAME = "feedback_dataset"
OF_FILES = ("source", "path", "language", "revision", "licence", "trainable", "text")
"""Columns of REPOSITORY_FILES that are read."""
OF_INTERACTIONS = (
    *("completion_id", "simulated", "project", "path", "accepted", "edited", "characters"),
    *("retained_1h", "retained_commit", "original", "corrected"),
)
"""Columns of INTERACTIONS that are read."""

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
    """Tables of the feedback data set; without any feedback the manifest says so in an entry.

    Args:
        interactions: INTERACTIONS, which holds those of projects that have consented alone.
        files: REPOSITORY_FILES of the project.
        splits: UNIT_SPLITS of the project.
        benchmarks: What must not be trained on.
        project: Its name.
        examples: What may be trained on.
        settings: Sizes and shares.
        cache: Cached results of unchanged texts; the tables are the same without it.
    """
    rows = _changes(interactions.filter(pl.col("project") == project), files, splits, settings)
    changes = rows.drop("prompt").with_columns(
        pl.lit(REQUEST).alias("request"), pl.lit(TITLE).alias("title")
    )
    made = change_candidates(changes, files, splits, benchmarks, settings)
    prompts = dict(rows.drop_nulls("prompt").select("unit_id", "prompt").iter_rows())
    own = pl.col("unit_id").replace_strict(prompts, default=None, return_dtype=_S)
    elsewhere = pl.col("split") != "train"
    simulated = (pl.col("origin") == SIMULATION) & (elsewhere | (not examples.simulated))
    by_model = (pl.col("kind") == RETAINED) & (elsewhere | (not examples.max_retained))
    why = (
        pl.when(simulated)
        .then(pl.lit("feedback_simulated"))
        .when(by_model)
        .then(pl.lit("feedback_by_model"))
    )
    candidates = made.with_columns(
        pl.when(pl.col("prompt").is_not_null()).then(pl.coalesce(own, "prompt")).alias("prompt"),
        pl.coalesce(why, "not_made").alias("not_made"),
    )
    bounds = {**settings.max_by_kind.get(NAME, {}), RETAINED: examples.max_retained}
    bounded = settings.model_copy(update={"max_by_kind": {NAME: bounds}})
    return finished_tables(
        NAME, FEEDBACK_DATASET, candidates, project, bounded, cache, nothing=_NONE
    )


def in_words(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """For the data card: whose words are trained on, and why there is nothing."""
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


def _changes(
    interactions: pl.DataFrame, files: pl.DataFrame, splits: pl.DataFrame, settings: DatasetSettings
) -> pl.DataFrame:
    """Corrections and kept completions with the file that each belongs to, in order."""
    about = {(row["source"], row["path"]): row for row in files.iter_rows(named=True)}
    place_of = _finder(about, sides_of(splits))
    latest = pl.max_horizontal("retained_1h", "retained_commit")
    whole = pl.col("accepted") & ~pl.col("edited") & (latest == pl.col("characters"))
    corrected = pl.col("corrected").is_not_null()
    chosen = interactions.filter(corrected | (whole & pl.col("original").is_not_null()))
    rows = [
        _change(row, about, place_of, settings)
        for row in chosen.sort("completion_id").iter_rows(named=True)
    ]
    return pl.DataFrame(rows, schema=_CHANGES, orient="row")


def _change(
    row: Mapping[str, Any],
    about: Mapping[Place, Mapping[str, Any]],
    place_of: Callable[[str | None, str], Place | None],
    settings: DatasetSettings,
) -> dict[str, Any]:
    corrected = row["corrected"] is not None
    before = row["original"] if corrected else ""
    after = row["corrected"] if corrected else row["original"]
    place = place_of(row["path"], after)
    file = about[place] if place else None
    why_not = None
    if before is None:
        why_not = "feedback_without_original"
    elif file is None or not (corrected or after in file["text"]):
        why_not = "feedback_without_file"
    kind, written_by = (CORRECTION, PERSON) if corrected else (RETAINED, MODEL)
    parts = (kind, *(place or ("", row["path"] or "")), before or "", after)
    return {
        "unit_id": hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32],
        "source": place[0] if place else None,
        "path": place[1] if place else row["path"],
        "language": file["language"] if file else None,
        "revision": file["revision"] if file else None,
        "before": before or "",
        "after": after,
        "prompt": None if corrected or file is None else _prompt(file, after, settings),
        "kind": kind,
        "origin": SIMULATION if row["simulated"] else written_by,
        "why_not": why_not,
    }


def _finder(
    about: Mapping[Place, Mapping[str, Any]], sides: Mapping[Place, tuple[str, str]]
) -> Callable[[str | None, str], Place | None]:
    """Finds the file of a text: by its path, or else one that holds it; held-out files first."""

    def order(place: Place) -> tuple[int, Place]:
        side = sides.get(place)
        return -SPLITS.index(side[0]) if side else 0, place

    places = sorted(about, key=order)

    def place_of(path: str | None, text: str) -> Place | None:
        named = next((place for place in places if place[1] == path), None)
        words = text.strip()
        holding = (place for place in places if words and words in about[place]["text"])
        return named or next(holding, None)

    return place_of


def _prompt(file: Mapping[str, Any], text: str, settings: DatasetSettings) -> str:
    """The path and the code before a text in its file."""
    head = f"{LINE_COMMENTS.get(file['language'], '#')} {file['path']}\n"
    code = str(file["text"]).partition(text)[0].encode()
    return head + code_before(code, len(code), settings.max_prompt_bytes - len(head.encode()))
