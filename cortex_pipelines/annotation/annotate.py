"""Annotate code units with categories, labels, quality and complexity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

import polars as pl

from cortex_pipelines.annotation.evaluation.agreement import Agreement, cached_agreement
from cortex_pipelines.annotation.labels.labelling import NAMES, FileKey, label_units
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.annotation.technologies.resolve import technologies_of_units
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.parallel.ordered import ordered_map
from cortex_pipelines.rowcache import RowCache, row_keys
from cortex_pipelines.schemas.annotation import ANNOTATED_UNITS, UNIT_FINDINGS
from cortex_pipelines.schemas.extraction import ARCHITECTURE_FACTS

_FILE = ["source", "path", "blob"]
# What the facts of a unit depend on besides its file's text.
_READ = (
    *("unit_id", "kind", "name", "qualified_name", "start_byte", "end_byte", "body_start_byte", "docstring"),
    *("has_error", "generated"),
)


@dataclass(frozen=True)
class Annotations:
    units: pl.DataFrame  # rows of `ANNOTATED_UNITS`
    findings: pl.DataFrame  # rows of `UNIT_FINDINGS`
    agreement: Agreement  # how far the rules agree with the hand-labelled sample


class MissingFileError(ValueError):
    pass


def annotate(
    units: pl.DataFrame,
    files: pl.DataFrame,
    settings: AnnotationSettings,
    extraction: ExtractionSettings,
    project: str = "",
    cache: RowCache | None = None,
    architecture: pl.DataFrame | None = None,
) -> Annotations:
    """Annotate units with category, labels, technologies, intent, quality and complexity.

    ``units``: rows of ``CODE_UNITS``, in any order. ``files``: rows of ``REPOSITORY_FILES`` that the units were
    extracted from. ``cache``: rows of unchanged files; None recomputes all. ``architecture``: columns ``FACT_COLUMNS``
    of ARCHITECTURE_FACTS, by which imports are resolved; None: no technologies. Raises MissingFileError: a unit's file
    is missing or has another version.
    """
    texts: dict[FileKey, str] = {}
    file_keys = units.select(*_FILE).unique().sort(_FILE)
    with_texts = file_keys.join(files.select(*_FILE, "text"), on=_FILE, how="left", maintain_order="left")
    for source, path, blob, text in with_texts.iter_rows():
        if text is None:
            raise MissingFileError(
                f"{path} of {source}, version {blob}: has units but is not among the files; "
                "run `cortex run repository_files code_units`"
            )
        texts[source, path, blob] = text
    facts = _facts(units, texts, settings, project, cache)
    agreed = cached_agreement(settings, extraction, cache)
    scores = facts["category_score"].unique().drop_nulls()
    rates = {score: agreed.category_confidence(score) for score in scores}
    confident = facts.with_columns(
        pl.col("category_score").replace_strict(rates, return_dtype=pl.Float64).alias("category_confidence")
    )
    resolved = technologies_of_units(
        units, facts.select("unit_id", *NAMES), ARCHITECTURE_FACTS.empty() if architecture is None else architecture
    )
    annotated = units.join(confident, on="unit_id").join(resolved, on="unit_id")
    return Annotations(ANNOTATED_UNITS.conform(annotated), _findings(annotated, agreed), agreed)


def _facts(
    units: pl.DataFrame,
    texts: Mapping[FileKey, str],
    settings: AnnotationSettings,
    project: str,
    cache: RowCache | None,
) -> pl.DataFrame:
    read = units.select("unit_id", *_FILE, row_keys(units.select(_READ), "unit_id").alias("read"))
    keyed = read.sort("unit_id").group_by(_FILE).agg(pl.col("read").str.join("\n")).sort(_FILE)
    keys = []
    for source, path, blob, columns in keyed.iter_rows():
        digest = blake2b(repr(((source, path, blob), columns)).encode(), digest_size=16)
        digest.update(texts[source, path, blob].encode())
        keys.append(digest.hexdigest())
    keyed = keyed.select(_FILE).with_columns(pl.Series("cache_key", keys, dtype=pl.String))

    def compute(missing: pl.Series) -> pl.DataFrame:
        missing_units = units.join(keyed.filter(pl.col("cache_key").is_in(missing.to_list())), on=_FILE, how="inner")
        groups = missing_units.partition_by("cache_key", maintain_order=True)
        if not groups:
            return _labelled((missing_units, {}), settings)
        parts = ordered_map(
            partial(_labelled, settings=settings),
            [(group, file_key := group.select(*_FILE).row(0), texts[file_key]) for group in groups],
            lambda file: len(file[-1]),
            "Annotating files",
            total=len(groups),
            load=_together,
            name=lambda file: file[1][1],
        )
        return pl.concat(list(parts))

    keys_of_files = keyed["cache_key"]
    rows = cache.rows(f"annotated_units/{project}", keys_of_files, compute) if cache else compute(keys_of_files)
    return rows.drop("cache_key")


def _together(files: Sequence[tuple[pl.DataFrame, FileKey, str]]) -> tuple[pl.DataFrame, dict[FileKey, str]]:
    return pl.concat([units for units, _, _ in files]), {key: text for _, key, text in files}


def _labelled(batch: tuple[pl.DataFrame, dict[FileKey, str]], settings: AnnotationSettings) -> pl.DataFrame:
    units, texts = batch
    return label_units(units, texts, settings).join(units.select("unit_id", "cache_key"), on="unit_id")


def _findings(units: pl.DataFrame, agreed: Agreement) -> pl.DataFrame:
    labels = pl.DataFrame(
        {
            "label": list(LABELS),
            "kind": [label.kind for label in LABELS.values()],
            "purpose": [label.purpose for label in LABELS.values()],
            "confidence": [agreed.label_confidence(name) for name in LABELS],
            "explanation": [label.explanation for label in LABELS.values()],
        }
    )
    findings = (
        units.select("unit_id", "source", "path", "language", "findings")
        .filter(pl.col("findings").list.len() > 0)
        .explode("findings")
        .unnest("findings")
        .join(labels, on="label", how="left")
        .with_columns(pl.lit("rule").alias("label_source"))
    )
    return UNIT_FINDINGS.conform(findings.unique(UNIT_FINDINGS.key, keep="first"))
