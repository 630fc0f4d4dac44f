"""A project's champion against its code today, and against what people keep of its answers."""

from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.feedback.metrics import LATEST_FIRST
from cortex_pipelines.feedback.metrics import compute_metrics as interaction_figures
from cortex_pipelines.feedback.report import table_cells
from cortex_pipelines.monitoring.change_detection import changes
from cortex_pipelines.monitoring.drift_evidence import Encode, what_moved
from cortex_pipelines.monitoring.task_drift import stream_table
from cortex_pipelines.pages import heading, listing, paragraph, table
from cortex_pipelines.schemas.datasets.feedback import CORRECTION, PERSON
from cortex_pipelines.schemas.vocabulary import SPLITS

_FILES = 20
_FILE = ["source", "path"]
_FEWEST = 10
"""Completions of which it must be known what was retained before that spends an error budget."""

_TAKEN = pl.col("accepted") | pl.col("partly_accepted")
_RETAINED = pl.coalesce(LATEST_FIRST)
_INTERACTIONS = (
    "Interactions of people with this project's models, by month. What is retained is the aim; "
    "simulations do not count here."
)


def original_examples(dataset: Path) -> pl.DataFrame:
    """The examples of a completion data set that stand in the project so: no variants."""
    sides = [pl.read_parquet(dataset / f"{side}.parquet") for side in SPLITS]
    return pl.concat(sides).filter(pl.col("origin") == "original").sort("example_id")


def watch_code(
    then: pl.DataFrame, now: pl.DataFrame, commits: pl.DataFrame, encode: Encode
) -> tuple[dict[str, float], list[str]]:
    """Figures and parts of a page: which code the champion was not trained on, and how it differs.

    Args:
        then: ``original_examples`` of the data set of the champion's training.
        now: The same of today's data set.
        commits: ``schemas.REPOSITORY_COMMITS``.
        encode: Texts to vectors of length 1.
    """
    new = now.join(then, on="example_id", how="anti")
    gone = then.join(now, on="example_id", how="anti")
    files = _files(then, now, new, commits)
    figures = {
        "drifting": 0.0,
        "known": float(then.height),
        "new": float(new.height),
        "gone": float(gone.height),
        "new_share": new.height / max(now.height, 1),
        "worse": 0.0,
    }
    added = files.filter("added").height
    words = [
        f"{new.height:,} of {now.height:,} examples of today are new or changed "
        f"({figures['new_share']:.1%}); {gone.height:,} of {then.height:,} from then are gone.",
        f"They stand in {files.height:,} files, {added:,} of which did not exist then.",
    ]
    earliest = files["last_commit"].min()
    if earliest is not None:
        words.append(f"The earliest of these files' last commits is of {_day(earliest)}.")
    parts = [heading("Code"), listing(words)]
    if files.height:
        rows = [
            (
                f"{row['source']}/{row['path']}",
                int(row["examples"]),
                "yes" if row["added"] else "",
                _day(row["last_commit"]),
            )
            for row in files.head(_FILES).iter_rows(named=True)
        ]
        parts.append(table(("file", "new examples", "new file", "last commit"), rows))
    if new.is_empty() or then.is_empty():
        return figures, parts
    drift, moved = what_moved(_records(then), _records(new), encode)
    figures["drifting"] = float(sum(feature.drift for feature in drift.features))
    return figures, [*parts, heading("The new examples beside those from then"), *moved]


def _files(
    then: pl.DataFrame, now: pl.DataFrame, new: pl.DataFrame, commits: pl.DataFrame
) -> pl.DataFrame:
    """Files with new examples: ``source, path, examples, added, last_commit``, most first."""
    last = (
        commits.select("source", "committed_at", path="paths")
        .explode("path")
        .group_by(_FILE)
        .agg(last_commit=pl.col("committed_at").max())
    )
    known = then.select(_FILE).unique().with_columns(known=True)
    return (
        new.group_by(_FILE)
        .agg(examples=pl.len())
        .join(known, on=_FILE, how="left")
        .join(last, on=_FILE, how="left")
        .with_columns(added=pl.col("known").is_null())
        .sort("examples", *_FILE, descending=[True, False, False])
    )


def _records(examples: pl.DataFrame) -> list[dict[str, Any]]:
    characters = pl.col("completion").str.len_chars().alias("characters")
    return examples.select("language", "kind", characters, text="completion").to_dicts()


def unseen_corrections(then: Path | None, now: Path) -> int:
    """Corrections by people to train on that the champion was not trained on.

    Args:
        then: The feedback data set of the champion's training; None if it had none.
        now: Today's.
    """
    corrections = (pl.col("kind") == CORRECTION) & (pl.col("origin") == PERSON)
    new = pl.read_parquet(now / "train.parquet").filter(corrections)
    if then is not None:
        new = new.join(pl.read_parquet(then / "train.parquet"), on="example_id", how="anti")
    return new.height


def watch_interactions(
    interactions: pl.DataFrame, project: str, champion: str
) -> tuple[dict[str, float], list[str]]:
    """Figures and parts of a page: what people retained of this project's answers, over time.

    Args:
        interactions: ``schemas.INTERACTIONS``.
        project: The project.
        champion: Version of its champion.
    """
    own = interactions.filter(~pl.col("simulated"), pl.col("project") == project).sort(
        "first_at", "completion_id", nulls_last=False
    )
    figures: dict[str, float] = {}
    parts = [heading("What people keep"), paragraph(_INTERACTIONS)]
    if own.is_empty():
        return figures, [*parts, paragraph("None yet.")]
    dated = own.with_columns(month=pl.col("first_at").dt.strftime("%Y-%m"))
    parts.append(table(*table_cells(interaction_figures(dated, groups=("month",)), "month")))
    champions = own.filter(version=champion)
    answered = interaction_figures(champions, groups=("version",))
    retained = answered[0]["figures"]["retained_of_shown"] if answered else None
    if retained is not None and _known(champions) >= _FEWEST:
        figures["errors_since"] = 1 - retained["value"]
        if retained["high"] is not None:
            figures["errors_since_low"] = 1 - retained["high"]
    shares = _shares(own)
    stream = changes(shares["share"].to_list())
    figures["worse"] = float(any(change.since < change.before for change in stream[-1:]))
    parts += [
        paragraph("ADWIN over the share of characters retained of each completion shown:"),
        stream_table(stream, shares["first_at"].to_list()),
    ]
    return figures, parts


def _shares(own: pl.DataFrame) -> pl.DataFrame:
    """Time and share of retained characters of each completion shown, in order.

    What was taken and not looked at again counts as the mean of what was, so that editors which
    never look change nothing; without any that was, only of completions that were not taken is
    anything known, and there is no stream.
    """
    shown = own.filter(pl.col("shown"), pl.col("characters") > 0)
    looked_at = pl.when(_TAKEN).then(_RETAINED / pl.col("characters"))
    shares = shown.select(
        "first_at", share=pl.when(_TAKEN).then(looked_at.fill_null(looked_at.mean())).otherwise(0)
    )
    return shares.clear() if shares["share"].has_nulls() else shares


def _known(own: pl.DataFrame) -> int:
    """Completions that say what people retain: looked at again, or shown if none was taken."""
    shown = own.filter(pl.col("shown"), pl.col("characters") > 0)
    taken = shown.filter(_TAKEN)
    return shown.height if taken.is_empty() else taken.filter(_RETAINED.is_not_null()).height


def _day(moment: Any) -> str:
    return "–" if moment is None else str(moment.date())
