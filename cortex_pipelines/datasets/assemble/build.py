"""Build the tables of a data set from prepared units: train, validation, test and manifest."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from cortex_pipelines.datasets.answerable import REDACTED, ProjectWords, holds_placeholder, naming_reasons, unanswerable
from cortex_pipelines.datasets.assemble.selection import (
    ORIGINAL,
    RENAMED,
    RowRules,
    Texts,
    count_redactions,
    is_variant,
    manifest,
    require_no_leakage,
    select_rows,
    with_ids,
)
from cortex_pipelines.datasets.dedup.similarity_join import COMPARED
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.splitting.assign import DatasetError
from cortex_pipelines.datasets.splitting.unit_splits import cluster_splits, eligible_units
from cortex_pipelines.datasets.tasks.completion import (
    FUNCTIONS,
    STATEMENTS,
    bodies,
    completion_candidates,
    statement_candidates,
)
from cortex_pipelines.datasets.tasks.fill_in_the_middle import draw_for_infilling, infilling_candidates
from cortex_pipelines.datasets.tasks.naming import LOCAL_NAMES, NAMED, is_repeated_name, local_names, naming_candidates
from cortex_pipelines.datasets.tasks.variants import gap_variants, renamed_units, variant_codes
from cortex_pipelines.datasets.unit_text import SPAN_COLUMNS, FileKey, file_bytes, visible_spans
from cortex_pipelines.extraction.test_cases import tests_beside_code
from cortex_pipelines.freed_memory import give_back
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.annotation import ANNOTATED_UNITS
from cortex_pipelines.schemas.datasets import COMPLETION_DATASET, MANIFEST, NAMING_DATASET, UNIT_SPLITS
from cortex_pipelines.schemas.ingestion import REDACTIONS, REPOSITORY_FILES
from cortex_pipelines.schemas.table import Table
from cortex_pipelines.schemas.vocabulary import SPLITS

Tables = dict[str, pl.DataFrame]


@dataclass(frozen=True)
class ProjectUnits:
    units: pl.DataFrame  # units that may become examples (`eligible_units`), with `redactions` and `weight`
    # UNIT_SPLITS: each unit's split, or why it is left out; with `language`, `category`, `cyclomatic` and whether it
    # is `documented`
    splits: pl.DataFrame
    texts: dict[FileKey, bytes]
    rules: RowRules

    @cached_property
    def words(self) -> ProjectWords:
        return ProjectWords(self.texts.values())


_GAP_ATTEMPTS, _HELD_OUT_GAPS = 8, 4
"""Gaps that are drawn of a function until enough can be known, and how many are enough where it is held out."""


def completion_tables(
    project: ProjectUnits,
    renamed: pl.DataFrame,
    rewritten: pl.DataFrame,
    settings: DatasetSettings,
    cache: RowCache | None = None,
) -> Tables:
    kinds, rules = project.splits.filter(pl.col("kind").is_in((*FUNCTIONS, *STATEMENTS))), project.rules
    candidates = [_completion_rows(project, renamed, rewritten, settings, cache)]
    # hundreds of megabytes of a large project, where the caller holds them no more
    del project, renamed, rewritten
    return finish_tables("completion_dataset", COMPLETION_DATASET, candidates.pop(), settings, cache, kinds, rules)


def _completion_rows(
    project: ProjectUnits,
    renamed: pl.DataFrame,
    rewritten: pl.DataFrame,
    settings: DatasetSettings,
    cache: RowCache | None,
) -> pl.DataFrame:
    units = project.units
    functions = units.filter(pl.col("kind").is_in(FUNCTIONS))
    statements = statement_candidates(units.filter(pl.col("kind").is_in(STATEMENTS)), project.texts, settings, cache)
    completions = {"bodies": completion_candidates(functions, settings, cache, project.texts), "statements": statements}
    complete_statements = statements.filter(pl.col("completion").is_not_null())
    after = {"origin": pl.lit(ORIGINAL), "task": pl.lit("completion"), "suffix": pl.lit("")}
    originals = {f"{group} after": rows.with_columns(**after) for group, rows in completions.items()}
    originals["statements around"] = _gaps(draw_for_infilling(complete_statements, settings), project, settings, cache)
    judged = {group: judged_rows(rows, project, cache and cache.scoped(group)) for group, rows in originals.items()}
    judged["functions around"] = _gaps_of_functions(
        draw_for_infilling(functions, settings), project, settings, cache and cache.scoped("functions")
    )
    variants = gap_variants(judged["functions around"], variant_codes(renamed, rewritten))
    return pl.concat([*judged.values(), variants], how="diagonal")


def _gaps(
    units: pl.DataFrame, project: ProjectUnits, settings: DatasetSettings, cache: RowCache | None, attempt: int = 0
) -> pl.DataFrame:
    rows = infilling_candidates(units, project.texts, settings, cache, attempt)
    return rows.with_columns(origin=pl.lit(ORIGINAL), task=pl.lit("fim"))


def _gaps_of_functions(
    functions: pl.DataFrame, project: ProjectUnits, settings: DatasetSettings, cache: RowCache | None
) -> pl.DataFrame:
    """A gap of each function whose answer can be known, of a held-out one several; where there is none, why not."""
    made, pending = [], functions
    for attempt in range(_GAP_ATTEMPTS):
        scope = cache and cache.scoped(f"gap {attempt}")
        rows = judged_rows(_gaps(pending, project, settings, scope, attempt), project, scope)
        usable = rows.filter(pl.col("not_made").is_null())
        made.append(usable)
        counts = pl.concat(made).group_by("unit_id").len("gaps")
        wanted = pl.when(pl.col("split") == "train").then(1).otherwise(_HELD_OUT_GAPS)
        with_counts = pending.select("unit_id", "split").join(counts, on="unit_id", how="left")
        lacking = with_counts.filter(pl.col("gaps").fill_null(0) < wanted)["unit_id"]
        pending = pending.filter(pl.col("unit_id").is_in(lacking.implode()))
    without = rows.join(pl.concat(made), on="unit_id", how="anti", maintain_order="left")
    return pl.concat([*made, without]).unique(["unit_id", "completion", "suffix"], keep="first", maintain_order=True)


def naming_tables(
    project: ProjectUnits, renamed: pl.DataFrame, settings: DatasetSettings, cache: RowCache | None = None
) -> Tables:
    """Tables of the naming data set.

    For renamed variants only the function's own name is predicted: the new names of its variables are meaningless and
    must not be learnt.
    """
    units = project.units.filter(pl.col("kind").is_in(NAMED))
    of_units = naming_candidates(units, local_names(renamed), project.texts, settings, cache)
    variants, variant_cache = renamed_units(units, renamed), cache and cache.scoped("variants")
    of_variants = naming_candidates(variants, LOCAL_NAMES.to_frame(), project.texts, settings, variant_cache)
    rows = pl.concat([of_units.with_columns(origin=pl.lit(ORIGINAL)), of_variants.with_columns(origin=pl.lit(RENAMED))])
    candidates = rows.join(units, on="unit_id", maintain_order="left").with_columns(kind="name_kind")
    defined = dict(units["name"].value_counts().iter_rows())
    candidates = candidates.with_columns(naming_reasons(candidates, project.words, defined).alias("not_made"))
    repeated = pl.when(is_repeated_name(candidates, settings)).then(pl.lit("repeated_name"))
    candidates = candidates.with_columns(repeated.otherwise("not_made").alias("not_made"))
    kinds = project.splits.filter(pl.col("kind").is_in(NAMED))
    return finish_tables("naming_dataset", NAMING_DATASET, candidates, settings, cache, kinds, project.rules)


def judged_rows(rows: pl.DataFrame, project: ProjectUnits, cache: RowCache | None) -> pl.DataFrame:
    """Candidates, with ``not_made`` where the answer cannot be known. ``rows``: ``INPUTS``, but for the answer."""
    is_usable = pl.col("not_made").is_null()
    usable = rows.filter(is_usable)
    reasons = unanswerable(usable.with_columns(pl.col("completion").alias("answer")), project.words, cache)
    return pl.concat([usable.with_columns(reasons.alias("not_made")), rows.filter(~is_usable)])


_ROW_COLUMNS = frozenset(
    {*MANIFEST.schema, *("split", "not_made", "weight", "prompt", "completion", "suffix", "origin")}
)
"""Columns that select rows and explain them, beside those of the data set."""


def finish_tables(
    name: str,
    tables: tuple[Table, ...],
    candidates: pl.DataFrame,
    settings: DatasetSettings,
    cache: RowCache | None,
    units: pl.DataFrame | None = None,
    rules: RowRules = RowRules(),  # noqa: B008 - frozen
    empty_reason: str | None = None,
    texts: Texts | None = None,
) -> Tables:
    """Splits and manifest of a data set from its candidates, checked for leakage.

    ``candidates``: rows; ``not_made`` is the reason for excluding a row, or null. ``units``: ``ProjectUnits.splits``
    of the kinds of units that the data set is made of; the manifest explains their absence. None if its inputs are
    optional; a split may then be empty. Raises DatasetError: a split has no examples.
    """
    texts = texts or COMPARED[name]
    used = _ROW_COLUMNS.union(*texts, *(table.schema for table in tables))
    candidates = candidates.select(name for name in candidates.columns if name in used)
    reason = pl.col("split_reason")
    of_variant = pl.when(is_variant()).then(reason + "; variant of a train unit")
    is_redacted = holds_placeholder(candidates.columns) & pl.col("not_made").is_null()
    rows = candidates.with_columns(
        pl.col("weight").fill_null(1.0),
        split_reason=of_variant.otherwise(reason),
        not_made=pl.when(is_redacted).then(pl.lit(REDACTED)).otherwise("not_made"),
    )
    usable = with_ids(rows.filter(pl.col("not_made").is_null()), name)
    give_back()  # what the candidates were made from
    selected, excluded = select_rows(usable, name, texts, settings, rules, cache)
    del usable
    give_back()
    require_no_leakage(selected, name, texts, settings)
    give_back()
    not_made = rows.filter(pl.col("not_made").is_not_null() & (pl.col("not_made") != "no_body"))
    left_out = [excluded, not_made.with_columns(pl.col("not_made").alias("left_out"))]
    if units is not None:
        left_out.append(units.filter(pl.col("left_out").is_not_null()))
    split_tables = {table.name: table.conform(selected[table.name]) for table in tables if table.name in SPLITS}
    empty = [split for split, rows in split_tables.items() if rows.is_empty()]
    if empty and units is not None and empty_reason is None:
        raise DatasetError(
            f"{name}: no example is left for {empty[0]}. Every one is longer than "
            "datasets.max_prompt_bytes or has a near-duplicate in another split; raise the limit "
            "or add a source to the project in params.yaml (`cortex add NAME SOURCE`)"
        )
    entries = manifest(selected, pl.concat(left_out, how="diagonal"), settings)
    if entries.is_empty() and empty_reason is not None:
        entry = {"entry_id": empty_reason, "left_out": empty_reason, "count": 0, "filters": []}
        entries = MANIFEST.frame([dict.fromkeys(MANIFEST.schema) | entry])
    return split_tables | {MANIFEST.name: entries}


# Columns that examples and manifests are made from.
_UNIT_COLUMNS = (
    *("unit_id", "source", "path", "blob", "language", "kind", "name", "signature", "context"),
    *("code", "docstring", "patterns", "start_byte", "end_byte", "body_start_byte"),
    *("start_line", "end_line", "category", "cyclomatic", "quality"),
)
_FILE_COLUMNS = ("source", "path", "text", "revision", "licence", "trainable")


def read_project(
    annotated_units: Path, repository_files: Path, unit_splits: Path, settings: DatasetSettings
) -> ProjectUnits:
    return project_units(
        ANNOTATED_UNITS.read(annotated_units, *_UNIT_COLUMNS),
        REPOSITORY_FILES.read(repository_files, *_FILE_COLUMNS),
        REDACTIONS.read(repository_files),
        UNIT_SPLITS.read(unit_splits),
        settings,
    )


def project_units(
    units: pl.DataFrame, files: pl.DataFrame, redactions: pl.DataFrame, splits: pl.DataFrame, settings: DatasetSettings
) -> ProjectUnits:
    """Inputs from the tables ANNOTATED_UNITS, REPOSITORY_FILES, REDACTIONS and UNIT_SPLITS."""
    texts = file_bytes(files)
    prepared = eligible_units(units, files, splits, texts, settings)
    places = units.select("unit_id", *SPAN_COLUMNS)
    with_cluster_splits = places.join(cluster_splits(splits), on="unit_id", maintain_order="left")
    visible = with_cluster_splits.select("unit_id").hstack(visible_spans(with_cluster_splits))
    with_redactions = prepared.with_columns(
        count_redactions(prepared, redactions), pl.col("quality").alias("weight")
    ).join(visible, on="unit_id", maintain_order="left")
    unit_attributes = units.select(
        *("unit_id", "language", "category", "cyclomatic"), pl.col("docstring").is_not_null().alias("documented")
    )
    split_rows = splits.join(unit_attributes, on="unit_id", how="left", maintain_order="left")
    counts = prepared.group_by("language").len().filter(pl.col("len") >= settings.mix.min_language_units)
    held_out = prepared.filter(pl.col("split").is_in(["validation", "test"]) & (pl.col("kind") != "import"))
    codes = held_out.select(pl.coalesce(bodies(held_out), "code")).to_series()
    held_out_texts = (*codes, *held_out["docstring"].drop_nulls())
    rules = RowRules(frozenset(counts["language"]), held_out_texts, tests_beside_code(units))
    return ProjectUnits(with_redactions, split_rows, texts, rules)
