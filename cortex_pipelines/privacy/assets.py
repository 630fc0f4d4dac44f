"""Asset of the compliance report."""

import json
from pathlib import Path

import polars as pl

from cortex_pipelines.privacy.compliance import check_compliance, report_page
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.ingestion import REDACTIONS, REPOSITORY_COMMITS, REPOSITORY_FILES, SKIPPED_FILES
from cortex_pipelines.versioning import versioned_asset


@versioned_asset()
def compliance(
    repository_files: Path, repository_commits: Path, privacy: PrivacySettings, project: str, out: Path, cache: RowCache
) -> None:
    """Report of private data, redactions and permitted training data of a project."""
    redactions = [REDACTIONS.read(folder) for folder in (repository_files, repository_commits)]
    report = check_compliance(
        REPOSITORY_FILES.read(repository_files),
        REPOSITORY_COMMITS.read(repository_commits, "subject", "body"),
        pl.concat(redactions),
        SKIPPED_FILES.read(repository_files),
        project,
        privacy,
        cache,
    )
    text = json.dumps(report, indent=1, ensure_ascii=False)
    (out / "compliance.json").write_text(text + "\n", encoding="utf-8")
    (out / "report.html").write_text(report_page(report), encoding="utf-8")
