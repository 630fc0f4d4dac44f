"""Import feedback, pin it, and compute its metrics."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.config import Parameters
from cortex_pipelines.feedback.importing import Importer, ImportSummary, RejectedLine
from cortex_pipelines.feedback.store import (
    FILE,
    FeedbackError,
    events_folder,
    oldest_kept,
    open_store,
    take_feedback_pin,
)
from cortex_pipelines.schemas.feedback import INTERACTIONS

_LOG = logging.getLogger("cortex_pipelines")


def gateway_log(root: Path) -> Path:
    """The events that this project's gateway logs."""
    return root / ".cortex" / "serving" / FILE


def import_files(
    root: Path, params: Parameters, files: Sequence[Path], project: str | None, summary: ImportSummary
) -> Iterator[RejectedLine]:
    """Import files of feedback in any known form; yields the refused lines while it goes."""
    with open_store(events_folder(params.feedback, root)) as store:
        importer = Importer(store, params.feedback, params.privacy, project)
        for path in files:
            yield from importer.read(path, summary)


def pin_feedback(root: Path, params: Parameters) -> dict[str, Any]:
    """Take in the gateway's log, delete what is kept no longer, and pin what there is."""
    settings = params.feedback
    folder, log = events_folder(settings, root), gateway_log(root)
    if settings.consent and log.exists():
        summary = ImportSummary()
        for _ in import_files(root, params, [log], None, summary):
            pass
        for reason, count in summary.refused.most_common():
            _LOG.warning("feedback: %d lines of %s were not taken: %s", count, FILE, reason)
    if not folder.is_dir():
        return take_feedback_pin(settings, root, params.privacy)
    with open_store(folder) as store:
        for name in store.forget_before(oldest_kept(datetime.now(UTC), settings.keep_days)):
            _LOG.info("feedback: %s is older than feedback.keep_days and was deleted", name)
        return take_feedback_pin(settings, root, params.privacy)


def import_commits(root: Path, params: Parameters, project: str, repository: Path) -> ImportSummary:
    """Store how much of each accepted completion stands in the next commit of its file."""
    from cortex_pipelines.feedback.git_history import retained_in_commits

    rows = _interactions(root).filter(pl.col("project") == project).iter_rows(named=True)
    events = list(retained_in_commits(rows, git_folder(repository)))
    with open_store(events_folder(params.feedback, root)) as store:
        new = store.add(events, datetime.now(UTC))
    return ImportSummary(taken=len(events), new=new, repeated=len(events) - new)


def git_folder(repository: Path) -> Path:
    """The git directory of a checkout, or of a bare repository."""
    inside = repository / ".git"
    return inside if inside.exists() else repository


def project_metrics(root: Path, project: str | None) -> list[dict[str, Any]]:
    """Metrics of the stored interactions; FeedbackError if they were never made, or are of other projects."""
    from cortex_pipelines.feedback.metrics import compute_metrics

    rows = _interactions(root)
    projects = sorted(rows["project"].unique())
    if project is not None and projects and project not in projects:
        raise FeedbackError(f"no interaction of {project} yet; there are some of {', '.join(projects)}")
    return compute_metrics(rows, project)


def _interactions(root: Path) -> pl.DataFrame:
    folder = root / "data" / "interactions"
    if not (folder / f"{INTERACTIONS.name}.parquet").exists():
        raise FeedbackError(f"no {folder.relative_to(root)} yet; run `cortex update` and `cortex run interactions`")
    return INTERACTIONS.read(folder)


@contextmanager
def posting(url: str) -> Iterator[Callable[[str, dict[str, Any]], dict[str, Any]]]:
    """Sends requests to a gateway; FeedbackError if it does not answer, or refuses."""
    import httpx2 as httpx

    with httpx.Client(base_url=url.rstrip("/"), timeout=120) as client:

        def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
            try:
                answer = client.post(path, json=body)
                answer.raise_for_status()
            except httpx.HTTPError as error:
                raise FeedbackError(f"{url}{path}: {error}; is a gateway there?") from error
            return dict(answer.json()) if answer.content else {}

        yield post
