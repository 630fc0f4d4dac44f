"""Data card of a data set, as Markdown and HTML, computed from the data."""

import json
import re
from collections.abc import Mapping, Sequence
from math import fsum
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines import pages
from cortex_pipelines.datasets.mix import distance
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.schemas.datasets import MANIFEST
from cortex_pipelines.schemas.vocabulary import SPLITS

Tables = Mapping[str, pl.DataFrame]
_SHOWN_CHARS = 700
_COUNTED = ("kind", "task", "origin", "language", "purpose", "error_type", "refactoring", "smell")
_CATEGORY_NOTE = "Rows by what their units are for. The labels come from rules."
_COMPLEXITY_NOTE = "Rows by the cyclomatic complexity of their units (McCabe's bands)."
_CAPS_NOTE = (
    "Every split has the same mix of languages and of product and test code (datasets.mix); what exceeds it or a cap "
    "is left out. In train a row stays the more readily the higher its weight: the quality of its unit."
)
UNLIKE = "unlike_splits"
"""Metric: number of held-out splits whose languages and share of tests differ from those of train."""
DIVERGENT = 0.05  # bits
LIMITS = (
    "Labels, purposes and smells come from rules and are weak.",
    "Near-duplicates are told by tokens; code that does the same in other words is not found.",
    "Errors were put in on purpose: what is learnt from them need not hold for real ones.",
    "Code of one project says little about another; a held-out project is the better judge.",
)


class CardSection:
    """A section with heading; ``blocks``: text, a list of strings, a frame (a table), or ``(caption, code)``."""

    def __init__(self, title: str, *blocks: Any) -> None:
        self.title = title
        self.blocks = blocks


def write_card(
    out: Path, name: str, purpose: str, tables: Tables, settings: DatasetSettings, *extra: CardSection
) -> None:
    """Write ``card.md``, ``report.html`` and ``metrics.json`` of a data set."""
    parts = _parts(purpose, tables, settings, extra)
    lines, html = [f"# {name}", ""], []
    for part in parts:
        lines += [f"## {part.title}", ""]
        html.append(pages.heading(part.title))
        for block in part.blocks:
            lines += [*_markdown_block(block), ""]
            html.append(_html_block(block))
    (out / "card.md").write_text("\n".join(lines), encoding="utf-8")
    (out / "report.html").write_text(pages.page(name, html), encoding="utf-8")
    (out / "metrics.json").write_text(_metrics(tables), encoding="utf-8")


def sizes(tables: Tables, column: str) -> pl.DataFrame:
    """Row counts by value of a column, one column per split, largest first."""
    counts_by_split = [
        tables[split].group_by(column).agg(pl.len().alias(split)).cast({column: pl.String}) for split in SPLITS
    ]
    table = counts_by_split[0]
    for other in counts_by_split[1:]:
        table = table.join(other, on=column, how="full", coalesce=True, nulls_equal=True)
    filled = table.with_columns(pl.col(split).fill_null(0) for split in SPLITS)
    return (
        filled.with_columns(pl.sum_horizontal(*SPLITS).alias("all"))
        .sort(["all", column], descending=[True, False], nulls_last=True)
        .select(column, *SPLITS, "all")
    )


def _parts(purpose: str, tables: Tables, settings: DatasetSettings, extra: Sequence[CardSection]) -> list[CardSection]:
    columns = [name for name in _COUNTED if name in tables["train"].columns]
    included = tables[MANIFEST.name].filter(pl.col("split").is_not_null())
    by_split = {split: included.filter(pl.col("split") == split) for split in SPLITS}
    clusters = sum(tables[split]["cluster"].n_unique() for split in SPLITS)
    return [
        CardSection("What it is for", purpose),
        CardSection("Sizes", _totals(tables), *(sizes(tables, name) for name in columns)),
        _languages(tables[MANIFEST.name]),
        *_units(by_split),
        CardSection("Licences", sizes(by_split, "licence")),
        CardSection("Filters", *_filters(tables[MANIFEST.name], settings)),
        CardSection("Caps", _CAPS_NOTE, _caps(tables[MANIFEST.name])),
        CardSection(
            "Split",
            f"By {settings.split_by}, decided before augmentation; seed {settings.seed}. No row of train shows most of "
            "a held-out answer, and no row has a near-duplicate in another split: the splits were compared again by an "
            f"exact join. {clusters} clusters in all.",
        ),
        CardSection("Contamination", *_contamination(tables[MANIFEST.name], settings)),
        *extra,
        CardSection("Examples", *_examples(tables["train"], settings)),
        CardSection("Limits", list(LIMITS)),
    ]


def _totals(tables: Tables) -> pl.DataFrame:
    rows = []
    for split in SPLITS:
        frame = tables[split]
        size = frame.select(pl.col("prompt").str.len_bytes().sum() + pl.col("completion").str.len_bytes().sum()).item()
        rows.append((split, frame.height, frame["path"].n_unique(), int(size)))
    return pl.DataFrame(rows, schema=["split", "rows", "files", "bytes"], orient="row")


def _filters(entries: pl.DataFrame, settings: DatasetSettings) -> list[Any]:
    excluded = _by_reason(entries.filter(pl.col("left_out").is_not_null()))
    limits = (
        f"Lines up to {settings.longest_line} characters and {settings.mean_line} in the mean, at least "
        f"{settings.min_alphanumeric:g} letters and digits, at most {settings.max_comment_share:g} of the lines "
        f"comments (StarCoder); near-duplicates from a Jaccard similarity of {settings.near_duplicate_threshold:g} "
        f"over runs of {settings.shingle_tokens} tokens. Left out, by the first filter that was not passed:"
    )
    redacted = int(entries.filter(pl.col("split").is_not_null())["redactions"].sum())
    private = f"Placeholders for private data in the spans of the rows: {redacted}."
    return [limits, excluded.rename({"left_out": "filter", "count": "left out"}), private]


def _languages(entries: pl.DataFrame) -> CardSection:
    included = entries.filter(pl.col("split").is_not_null())
    excluded = entries.filter(pl.col("left_out").is_not_null())
    rows, notes = [], []
    for language in entries["language"].drop_nulls().unique().sort():
        included_rows, excluded_rows = (
            subset.filter(pl.col("language") == language) for subset in (included, excluded)
        )
        counts = [included_rows.filter(pl.col("split") == split).height for split in SPLITS]
        reasons = _by_reason(excluded_rows)
        mostly = ", ".join(f"{reason} {count}" for reason, count in reasons.head(3).iter_rows())
        rows.append((language, *counts, int(reasons["count"].sum()), mostly))
        empty = [split for split, count in zip(SPLITS, counts, strict=True) if not count]
        if empty:
            because = next(iter(sorted(set(included_rows["split_reason"]))), f"left out: {mostly}")
            notes.append(f"{language} has no row in {' and '.join(empty)}; {because}")
    schema = ("language", *SPLITS, "left out", "mostly for")
    return CardSection("Languages", pl.DataFrame(rows, schema=schema, orient="row"), *([notes] if notes else []))


def _by_reason(excluded: pl.DataFrame) -> pl.DataFrame:
    counts = excluded.group_by("left_out").agg(pl.col("count").sum())
    return counts.sort(["count", "left_out"], descending=[True, False])


def _units(by_split: Tables) -> list[CardSection]:
    of_units = {split: rows.drop_nulls("category") for split, rows in by_split.items()}
    if not any(rows.height for rows in of_units.values()):
        return []
    band = pl.lit("above 20")
    for limit, name in ((20, "11 to 20"), (10, "5 to 10"), (4, "1 to 4")):
        band = pl.when(pl.col("cyclomatic") <= limit).then(pl.lit(name)).otherwise(band)
    bands = {split: rows.select(band.alias("complexity")) for split, rows in of_units.items()}
    return [
        CardSection("Categories", _CATEGORY_NOTE, sizes(of_units, "category")),
        CardSection("Complexity", _COMPLEXITY_NOTE, sizes(bands, "complexity")),
    ]


def _caps(entries: pl.DataFrame) -> pl.DataFrame:
    included = entries.filter(pl.col("split") == "train")
    of_train = pl.col("split_reason").str.contains(": train", literal=True)
    excluded = entries.filter((pl.col("left_out") == "sample") & of_train)
    rows = [
        (name, group.height, fsum(group["weight"].sort()) / group.height)
        for name, group in (("kept in train", included), ("left out by a cap", excluded))
        if group.height
    ]
    schema = {"rows": pl.String, "number": pl.Int64, "mean weight": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _contamination(entries: pl.DataFrame, settings: DatasetSettings) -> list[Any]:
    contaminated = entries.filter(pl.col("left_out") == "contaminated")
    lists = ["HumanEval", "MBPP", *(benchmark.path for benchmark in settings.decontaminate)]
    share = settings.contamination_share
    return [
        f"Compared with {', '.join(lists)}: {int(contaminated['count'].sum())} left out that hold "
        f"{share:g} or more of an item's token runs.",
        contaminated.drop_nulls("path").select("source", "path", "start_byte", "end_byte").head(20),
    ]


def _examples(train: pl.DataFrame, settings: DatasetSettings) -> list[Any]:
    sampled = train.sort("example_id").group_by("kind", maintain_order=True).head(settings.card_examples)
    return [
        (
            f"{row['kind']}, {row['language']}, {row['path']}",
            f"{row['prompt'][-_SHOWN_CHARS:]}\u27f6\n{row['completion'][:_SHOWN_CHARS]}",
        )
        for row in sampled.sort("kind", "example_id").iter_rows(named=True)
    ]


def _metrics(tables: Tables) -> str:
    entries = tables[MANIFEST.name]
    excluded = entries.filter(pl.col("left_out").is_not_null())
    counts = {f"rows_{split}": tables[split].height for split in SPLITS}
    kinds = sizes(tables, "kind")
    counts |= {f"kind_{kind}": count for kind, count in kinds.select("kind", "all").iter_rows()}
    by_reason = _by_reason(excluded).sort("left_out")
    counts |= {f"left_out_{reason}": int(count) for reason, count in by_reason.iter_rows()}
    counts[UNLIKE] = sum(distance(tables[split], tables["train"]) > DIVERGENT for split in SPLITS[1:])
    included = entries.filter(pl.col("split").is_not_null())
    for column in ("language", "category"):
        value_counts = included[column].drop_nulls().value_counts().sort(column)
        counts |= {f"{column}_{value}": count for value, count in value_counts.iter_rows()}
    return json.dumps(counts, indent=1, sort_keys=True) + "\n"


def _markdown_block(block: Any) -> list[str]:
    if isinstance(block, str):
        return [block]
    if isinstance(block, list):
        return [f"- {line}" for line in block]
    if isinstance(block, tuple):
        caption, code = block
        longest_run = max(map(len, re.findall("`+", code)), default=0)
        fence = "`" * max(3, longest_run + 1)
        return [f"{caption}:", "", fence, code, fence]
    cells = [[str(_display(value)).replace("|", "\\|") for value in row] for row in block.iter_rows()]
    head = [" | ".join(block.columns), " | ".join(["---"] * block.width)]
    return [f"| {line} |" for line in [*head, *(" | ".join(row) for row in cells)]]


def _html_block(block: Any) -> str:
    if isinstance(block, str):
        return pages.paragraph(block)
    if isinstance(block, list):
        return pages.listing(block)
    if isinstance(block, tuple):
        return pages.code(*block)
    return pages.table(block.columns, ([_display(value) for value in row] for row in block.iter_rows()))


def _display(value: Any) -> str | int:
    if value is None:
        return "not known"
    return f"{value:.3f}" if isinstance(value, float) else value
