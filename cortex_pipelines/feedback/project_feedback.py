"""Import feedback, pin it, and compute its metrics."""

import codecs
import csv
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.config import Parameters
from cortex_pipelines.feedback.events import EventError, FeedbackEvent, parse_event, read_events
from cortex_pipelines.feedback.settings import FeedbackSettings
from cortex_pipelines.feedback.store import (
    FILE,
    EventStore,
    FeedbackError,
    events_folder,
    oldest_kept,
    open_store,
    take_feedback_pin,
)
from cortex_pipelines.ingestion.cache import UNPACKING_ERRORS, open_unpacked, separator_of
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, is_forgotten_event, logs_key
from cortex_pipelines.privacy.records import RecordRedactor
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.schemas.feedback import INTERACTIONS

_LONGEST = 4 << 20
"""Bytes of a line; Continue's hold the whole prompt."""

_BATCH = 1000
_REASONS = 100
_AHEAD = timedelta(days=1)
"""How far a clock may be ahead."""


@dataclass(frozen=True)
class RejectedLine:
    """A rejected line; the reason has none of its content that could be private."""

    file: str
    line: int
    reason: str


@dataclass
class ImportSummary:
    """Counts of an import: lines that are not empty, those taken, and events that were new or repeated."""

    lines: int = 0
    taken: int = 0
    new: int = 0
    repeated: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def import_file(
    path: Path,
    store: EventStore,
    settings: FeedbackSettings,
    privacy: PrivacySettings,
    project: str | None,
    summary: ImportSummary,
    received_at: datetime,
) -> Iterator[RejectedLine]:
    """Import a file; yields the lines that were refused while it goes. FeedbackError if it does not exist.

    ``project``: that of lines that name none.
    """
    key = logs_key(privacy)
    lines = _lines(path)
    while batch := list(islice(lines, _BATCH)):
        redact = RecordRedactor(privacy, key)  # its memory is that of one batch
        events: list[FeedbackEvent] = []
        for number, value in batch:
            summary.lines += 1
            try:
                if isinstance(value, EventError):
                    raise value
                of_line = read_events(value, project, lambda user: author_pseudonym(user, key))
                if not settings.consent:
                    raise EventError("no project has consented; feedback.consent in params.yaml names them")
                for event in of_line:
                    _require_allowed(event, settings, privacy, received_at)
                records = (event.model_dump(mode="json", exclude_defaults=True) for event in of_line)
                events += [parse_event(redact(record).value) for record in records]
                summary.taken += 1
            except ValueError as error:
                is_event_error = isinstance(error, EventError)  # others may quote what is private
                reason = str(error) if is_event_error else "holds a value that cannot be read"
                # forged lines may give any number of reasons
                is_listed = reason in summary.refused or len(summary.refused) < _REASONS
                summary.refused[reason if is_listed else "other reasons"] += 1
                yield RejectedLine(path.name, number, reason)
        new = store.add(events, received_at)
        summary.new += new
        summary.repeated += len(events) - new


def _require_allowed(
    event: FeedbackEvent, settings: FeedbackSettings, privacy: PrivacySettings, received_at: datetime
) -> None:
    """Raises EventError: the event must not be stored."""
    if is_forgotten_event(privacy, event.project, event.path, event.unit):
        raise EventError("is forgotten; privacy.forgotten in params.yaml says what is")
    if event.project is not None and event.project not in settings.consent:
        raise EventError(
            f"project {event.project} has not consented; feedback.consent in params.yaml names those that have"
        )
    if event.at is not None and event.at > received_at + _AHEAD:
        raise EventError("lies more than a day in the future; a clock is wrong")
    if event.at is not None and event.at < oldest_kept(received_at, settings.keep_days):
        raise EventError(f"is older than feedback.keep_days ({settings.keep_days})")


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Number and value of each line that is not empty; an EventError for one without a value."""
    if not path.is_file():
        raise FeedbackError(f"no such file: {path}; expected JSON lines, or a CSV of corrections")
    try:
        is_csv = path.name.lower().removesuffix(".gz").endswith(".csv")
        yield from _rows(path) if is_csv else _json_lines(path)
    except UNPACKING_ERRORS as error:
        raise FeedbackError(f"{path} cannot be unpacked: {error}") from error


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    def refuse_constant(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    with open_unpacked(path) as file:
        lines = iter(lambda: file.readline(_LONGEST), b"")
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n") and len(line) == _LONGEST:
                while not line.endswith(b"\n") and len(line) == _LONGEST:
                    line = file.readline(_LONGEST)
                yield number, EventError(f"is longer than {_LONGEST >> 20} MiB")
            elif line.strip():
                try:
                    yield number, json.loads(line.removeprefix(codecs.BOM_UTF8), parse_constant=refuse_constant)
                except (ValueError, RecursionError):
                    yield number, EventError("is not JSON")


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Rows as Excel and pandas write them: with a byte order mark, other separators, an index."""
    csv.field_size_limit(_LONGEST)
    separator = separator_of(path)
    with TextIOWrapper(open_unpacked(path), encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.DictReader(file, delimiter=separator)
        try:
            if "corrected" not in (rows.fieldnames or ()):
                raise FeedbackError(
                    f"{path} has no column corrected; expected corrected, and if known "
                    "original, completion_id, project, language, task, version, user, path, at"
                )
            while True:
                try:
                    row = next(rows)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield rows.line_num, EventError(f"is not a row of a CSV ({error})")
                    continue
                full = None in row  # no column is called so, not even that of pandas' index
                yield rows.line_num, EventError("has too many cells") if full else row
        except csv.Error as error:
            raise FeedbackError(f"{path} is not a CSV: {error}") from error


_LOG = logging.getLogger("cortex_pipelines")


def gateway_log(root: Path) -> Path:
    """The events that this project's gateway logs."""
    return root / ".cortex" / "serving" / FILE


def import_files(
    root: Path, params: Parameters, files: Sequence[Path], project: str | None, summary: ImportSummary
) -> Iterator[RejectedLine]:
    """Import files of feedback in any known form; yields the refused lines while it goes."""
    with open_store(events_folder(params.feedback, root)) as store:
        for path in files:
            yield from import_file(path, store, params.feedback, params.privacy, project, summary, datetime.now(UTC))


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
    """Store how much of each accepted completion the next commit of its file retains."""
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
