"""Drift of a project's code since its champion was trained, and what people keep of its answers."""

from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.feedback.metrics import LATEST_FIRST, table_cells
from cortex_pipelines.feedback.metrics import compute_metrics as interaction_figures
from cortex_pipelines.monitoring.drift_evidence import Encode, compare_with_examples, detect_changes
from cortex_pipelines.monitoring.task_drift import stream_table
from cortex_pipelines.pages import heading, listing, paragraph, table
from cortex_pipelines.schemas.datasets import CORRECTION, PERSON
from cortex_pipelines.schemas.vocabulary import SPLITS

_FILES = 20
_FILE = ["source", "path"]
_MIN_COMPLETIONS = 10  # completions of which it must be known what was retained before that spends an error budget
_ACCEPTED = pl.col("accepted") | pl.col("partly_accepted")
_RETAINED = pl.coalesce(LATEST_FIRST)
_INTERACTIONS = (
    "Interactions of people with this project's models, by month. What is retained is the aim; "
    "simulations do not count here."
)


def original_examples(dataset: Path) -> pl.DataFrame:
    """The examples of a completion data set that are the project's own code, not variants."""
    splits = [pl.read_parquet(dataset / f"{split}.parquet") for split in SPLITS]
    return pl.concat(splits).filter(pl.col("origin") == "original").sort("example_id")


def compare_code(
    training: pl.DataFrame, current: pl.DataFrame, commits: pl.DataFrame, encode: Encode
) -> tuple[dict[str, float], list[str]]:
    """Metrics and parts of a page: which code the champion was not trained on, and how it differs."""
    new = current.join(training, on="example_id", how="anti")
    removed = training.join(current, on="example_id", how="anti")
    files = _files(training, current, new, commits)
    figures = {
        "drifting": 0.0,
        "known": float(training.height),
        "new": float(new.height),
        "gone": float(removed.height),
        "new_share": new.height / max(current.height, 1),
        "worse": 0.0,
    }
    added = files.filter("added").height
    words = [
        f"{new.height:,} of {current.height:,} examples of today are new or changed "
        f"({figures['new_share']:.1%}); {removed.height:,} of {training.height:,} from then are "
        "gone.",
        f"They are in {files.height:,} files, {added:,} of which did not exist then.",
    ]
    earliest = files["last_commit"].min()
    if earliest is not None:
        words.append(f"The earliest of these files' last commits is of {_day(earliest)}.")
    parts = [heading("Code"), listing(words)]
    if files.height:
        rows = [
            (f"{source}/{path}", int(examples), "yes" if added else "", _day(last_commit))
            for source, path, examples, added, last_commit in files.head(_FILES)
            .select(*_FILE, "examples", "added", "last_commit")
            .iter_rows()
        ]
        parts.append(table(("file", "new examples", "new file", "last commit"), rows))
    if new.is_empty() or training.is_empty():
        return figures, parts
    columns = ("language", "kind", pl.col("completion").str.len_chars().alias("characters"))
    before, since = (examples.select(*columns, text="completion").to_dicts() for examples in (training, new))
    figures["drifting"], evidence = compare_with_examples(before, since, encode)
    return figures, [*parts, heading("The new examples beside those from then"), *evidence]


def _files(training: pl.DataFrame, current: pl.DataFrame, new: pl.DataFrame, commits: pl.DataFrame) -> pl.DataFrame:
    """Files with new examples: ``source, path, examples, added, last_commit``, most first."""
    last = (
        commits.select("source", "committed_at", path="paths")
        .explode("path")
        .group_by(_FILE)
        .agg(last_commit=pl.col("committed_at").max())
    )
    training_files = training.select(_FILE).unique().with_columns(known=True)
    return (
        new.group_by(_FILE)
        .agg(examples=pl.len())
        .join(training_files, on=_FILE, how="left")
        .join(last, on=_FILE, how="left")
        .with_columns(added=pl.col("known").is_null())
        .sort("examples", *_FILE, descending=[True, False, False])
    )


def unseen_corrections(training: Path | None, current: Path) -> int:
    """Corrections by people that a champion trained on that feedback data set (None: none) has not seen."""
    corrections = (pl.col("kind") == CORRECTION) & (pl.col("origin") == PERSON)
    new = pl.read_parquet(current / "train.parquet").filter(corrections)
    if training is not None:
        new = new.join(pl.read_parquet(training / "train.parquet"), on="example_id", how="anti")
    return new.height


def summarise_interactions(
    interactions: pl.DataFrame, project: str, champion: str
) -> tuple[dict[str, float], list[str]]:
    """Metrics and parts of a page: what people retained of this project's answers, over time."""
    project_rows = interactions.filter(~pl.col("simulated"), pl.col("project") == project).sort(
        "first_at", "completion_id", nulls_last=False
    )
    figures: dict[str, float] = {}
    parts = [heading("What people keep"), paragraph(_INTERACTIONS)]
    if project_rows.is_empty():
        return figures, [*parts, paragraph("None yet.")]
    dated = project_rows.with_columns(month=pl.col("first_at").dt.strftime("%Y-%m"))
    parts.append(table(*table_cells(interaction_figures(dated, groups=("month",)), "month")))
    champions = project_rows.filter(version=champion)
    answered = interaction_figures(champions, groups=("version",))
    retained = answered[0]["figures"]["retained_of_shown"] if answered else None
    shown_rows = champions.filter(pl.col("shown"), pl.col("characters") > 0)
    accepted = shown_rows.filter(_ACCEPTED)
    # those that were checked again after acceptance; all that were shown, if none was accepted
    informative = shown_rows if accepted.is_empty() else accepted.filter(_RETAINED.is_not_null())
    if retained is not None and informative.height >= _MIN_COMPLETIONS:
        figures["errors_since"] = 1 - retained["value"]
        if retained["high"] is not None:
            figures["errors_since_low"] = 1 - retained["high"]
    shown_rows = project_rows.filter(pl.col("shown"), pl.col("characters") > 0)
    # an accepted completion that was not checked again counts as the mean of those that were, so that editors which
    # never check change nothing; none counts if no accepted completion was checked
    looked_at = pl.when(_ACCEPTED).then(_RETAINED / pl.col("characters"))
    share = pl.when(_ACCEPTED).then(looked_at.fill_null(looked_at.mean())).otherwise(0)
    shares = shown_rows.select("first_at", share=share)
    shares = shares.clear() if shares["share"].has_nulls() else shares
    stream = detect_changes(shares["share"].to_list())
    figures["worse"] = float(any(change.since < change.before for change in stream[-1:]))
    parts += [
        paragraph("ADWIN over the share of characters retained of each completion shown:"),
        stream_table(stream, shares["first_at"].to_list()),
    ]
    return figures, parts


def _day(moment: Any) -> str:
    return "–" if moment is None else str(moment.date())
