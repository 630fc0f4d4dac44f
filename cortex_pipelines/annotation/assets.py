"""Annotate code units with labels, quality and complexity."""

import json
from pathlib import Path

import polars as pl

from cortex_pipelines.annotation.annotate import annotate
from cortex_pipelines.annotation.report import annotation_metrics, annotation_report
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.annotation.technologies.resolve import FACT_COLUMNS
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.annotation import ANNOTATED_UNITS, UNIT_FINDINGS
from cortex_pipelines.schemas.extraction import ARCHITECTURE_FACTS, CODE_UNITS
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(tables=(ANNOTATED_UNITS, UNIT_FINDINGS))
def annotated_units(
    code_units: Path,
    repository_files: Path,
    architecture_facts: Path,
    annotation: AnnotationSettings,
    extraction: ExtractionSettings,
    project: str,
    cache: RowCache,
    out: Path,
) -> dict[str, pl.DataFrame]:
    """Code units with category, labels, evidence, technologies, intent, quality and complexity."""
    units = CODE_UNITS.read(code_units)
    files = REPOSITORY_FILES.read(repository_files)
    facts = ARCHITECTURE_FACTS.read(architecture_facts, *FACT_COLUMNS)
    annotations = annotate(units, files, annotation, extraction, project, cache, facts)
    metrics = annotation_metrics(annotations)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n")
    (out / "report.html").write_text(annotation_report(annotations, project), encoding="utf-8")
    return {"units": annotations.units, "findings": annotations.findings}
