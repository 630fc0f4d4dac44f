"""Annotate code units with categories, labels, quality and complexity."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

import polars as pl

from cortex_pipelines.annotation.evaluation.agreement import Agreement, cached_agreement
from cortex_pipelines.annotation.labels.labelling import FileKey, label_units
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.progress import track
from cortex_pipelines.rowcache import RowCache, row_keys
from cortex_pipelines.schemas.annotation import ANNOTATED_UNITS, UNIT_FINDINGS

_FILE = ["source", "path", "blob"]
# What the facts of a unit depend on besides its file's text.
_READ = (
    *("unit_id", "kind", "name", "qualified_name", "start_byte", "end_byte", "body_start_byte", "docstring"),
    *("has_error", "generated"),
)
_FILES_AT_ONCE = 1000


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
) -> Annotations:
    """Annotate units with category, labels, quality and complexity.

    ``units``: rows of ``CODE_UNITS``, in any order. ``files``: rows of ``REPOSITORY_FILES`` that the units were
    extracted from. ``cache``: rows of unchanged files; None recomputes all. Raises MissingFileError: a unit's file is
    missing or has another version.
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
    annotated = units.join(confident, on="unit_id")
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
        steps = range(0, max(len(groups), 1), _FILES_AT_ONCE)
        parts = []
        for step in track(steps, "Annotating units"):
            batch = pl.concat([missing_units.clear(), *groups[step : step + _FILES_AT_ONCE]])
            labelled = label_units(batch, texts, settings)
            parts.append(labelled.join(batch.select("unit_id", "cache_key"), on="unit_id"))
        return pl.concat(parts)

    keys_of_files = keyed["cache_key"]
    rows = cache.rows(f"annotated_units/{project}", keys_of_files, compute) if cache else compute(keys_of_files)
    return rows.drop("cache_key")


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
