"""The text files of a project: schemas ``REPOSITORY_FILES`` and ``SKIPPED_FILES``.

Sources are listed first; a file whose path and bytes were there last time is not read again. What
a file is depends on nothing else; what depends on its neighbours (licence, tests, authors) is put
together anew each time.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.ingestion.entries import FileRef, Skipped, SourceError
from cortex_pipelines.ingestion.files.content import CONTENT, content_of
from cortex_pipelines.ingestion.files.file_metadata import with_neighbours
from cortex_pipelines.ingestion.project_sources import ProjectSource, matching_pins
from cortex_pipelines.ingestion.readers.open import OpenSource, open_source
from cortex_pipelines.ingestion.redactions import name_rows, redaction_table, without_private_errors
from cortex_pipelines.ingestion.row_batches import frame_of
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.ingestion.tombstone_filter import REASON, forgotten_by_author, forgotten_file
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.privacy.pseudonyms import project_key
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.privacy.tombstones import is_forgotten
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.repositories import REDACTIONS, REPOSITORY_FILES, SKIPPED_FILES

_LISTING = pl.Schema(
    {"source": pl.String, "path": pl.String, "size_bytes": pl.Int64, "cache_key": pl.String}
)


@dataclass(frozen=True)
class _Inventory:
    """Listed but unread files of a project's sources.

    Args:
        readings: How each source is read, by its label.
        files: Files of each source, by the key of what they become.
        skipped: What was left out, each once: the same name may be left out again and again.
    """

    readings: dict[str, OpenSource] = field(default_factory=dict)
    files: dict[str, dict[str, FileRef]] = field(default_factory=dict)
    skipped: dict[tuple[str, str, str], Skipped] = field(default_factory=dict)

    def skip(self, label: str, entry: Skipped) -> None:
        self.skipped.setdefault((label, entry.path, entry.reason), entry)


def repository_files(
    source: ProjectSource,
    project: str,
    settings: IngestionSettings,
    privacy: PrivacySettings,
    root: Path,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Text files of all sources of a project, and the skipped ones.

    Args:
        source: The project's sources and their pins.
        project: The project's name.
        settings: Limits, and which licences may be trained on.
        privacy: What is taken out of texts, and how authors are called.
        root: Project root, where relative paths start and the cache is.
        cache: What was read before is not read again.

    Returns:
        Frames ``files``, ``skipped_files`` and ``redactions``.

    Raises:
        SourceError: a source cannot be read, is not what was pinned, or none has a text file.
    """
    key = project_key(project, privacy)
    tables = without_private_errors(
        lambda: _read(source, project, settings, privacy, root, cache, key),
        SourceError,
        privacy,
        key,
    )
    return _without_private_names(tables, PathRedactor(privacy, key))


def _read(
    source: ProjectSource,
    project: str,
    settings: IngestionSettings,
    privacy: PrivacySettings,
    root: Path,
    cache: RowCache,
    key: bytes,
) -> dict[str, pl.DataFrame]:
    """The tables with original names, which language and licence detection need."""
    inventory = _take_inventory(source, project, settings, privacy, root)
    listing = pl.DataFrame(list(_listing_rows(inventory)), schema=_LISTING, orient="row")

    def compute(missing: pl.Series) -> pl.DataFrame:
        rows = _contents(inventory, set(missing), settings, privacy, key)
        return frame_of(rows, CONTENT)

    known = cache.rows(f"files/{project}", listing["cache_key"], compute)
    contents = listing.join(known, on="cache_key", how="left", maintain_order="left")
    for row in contents.filter(pl.col("reason").is_not_null()).iter_rows(named=True):
        skipped = Skipped(row["path"], row["reason"], row["detail"], row["size_bytes"])
        inventory.skip(row["source"], skipped)
    texts = contents.filter(pl.col("reason").is_null())
    if texts.is_empty() and not any(reason == REASON for _, _, reason in inventory.skipped):
        raise SourceError(_nothing(project, inventory))
    parts = [
        with_neighbours(texts.filter(source=label), reading, source.settings.licence, settings, key)
        for label, reading in inventory.readings.items()
    ]
    whole = pl.concat(parts)
    forgotten = forgotten_by_author(whole, project, privacy)
    for label, path, size in forgotten.select("source", "path", "size_bytes").iter_rows():
        inventory.skip(label, forgotten_file(path, size))
    place = ["source", "path"]
    return {
        "files": REPOSITORY_FILES.conform(whole.join(forgotten, on=place, how="anti")),
        "skipped_files": SKIPPED_FILES.frame(list(_skipped_rows(inventory))),
        "redactions": redaction_table(texts.join(forgotten, on=place, how="anti")),
    }


def _without_private_names(
    tables: dict[str, pl.DataFrame], shown: PathRedactor
) -> dict[str, pl.DataFrame]:
    """Redact private parts of paths and record the redactions."""
    files, skipped, redactions = (tables[name] for name in ("files", "skipped_files", "redactions"))
    listed = pl.concat([frame.select("source", "path") for frame in (files, skipped)]).unique()
    named = [
        (source, *shown.redact(path)) for source, path in listed.sort("source", "path").iter_rows()
    ]
    taken = [
        {"source": source, "path": path, **row}
        for source, path, names in dict.fromkeys(named)
        for row in name_rows(names)
    ]
    if not taken:
        return tables

    def renamed(frame: pl.DataFrame) -> pl.DataFrame:
        paths = [shown(path) for path in frame["path"]]
        return frame.with_columns(pl.Series("path", paths, dtype=pl.String))

    tested = [[shown(path) for path in paths] for paths in files["tested_paths"]]
    files = files.with_columns(pl.Series("tested_paths", tested, dtype=pl.List(pl.String)))
    return {
        "files": REPOSITORY_FILES.conform(renamed(files)),
        "skipped_files": SKIPPED_FILES.conform(renamed(skipped)),
        "redactions": REDACTIONS.conform(
            pl.concat([renamed(redactions), REDACTIONS.frame(taken)], how="vertical")
        ),
    }


def _take_inventory(
    source: ProjectSource,
    project: str,
    settings: IngestionSettings,
    privacy: PrivacySettings,
    root: Path,
) -> _Inventory:
    """List all sources, within the limits of each and of the project."""
    inventory, left = _Inventory(), settings.max_project_bytes
    shown = PathRedactor(privacy, project_key(project, privacy))  # as the tables call them
    for entry, pin in matching_pins(source, project):
        reading = open_source(entry, pin, settings, root)
        inventory.readings[entry.label] = reading
        files = inventory.files[entry.label] = {}
        for member in reading.entries():
            if isinstance(member, Skipped):
                inventory.skip(entry.label, member)
            elif any(
                is_forgotten(privacy, project, entry.label, path)
                for path in {member.path, shown(member.path)}
            ):
                inventory.skip(entry.label, forgotten_file(member.path, member.size))
            elif member.size > left:
                inventory.skip(entry.label, _too_much(member, settings))
                break
            else:
                left -= member.size
                files[_key(member)] = member
    return inventory


def _too_much(file: FileRef, settings: IngestionSettings) -> Skipped:
    limit = f"ingestion.max_project_bytes is {settings.max_project_bytes}"
    detail = f"this and all later entries: {limit}"
    return Skipped(file.path, "project_too_large", detail, file.size)


def _key(file: FileRef) -> str:
    """Hash of everything a file's own row depends on, apart from code and parameters."""
    return hashlib.sha256(f"{file.content} {file.path}".encode()).hexdigest()


def _listing_rows(inventory: _Inventory) -> Iterator[tuple[str, str, int, str]]:
    for label, files in inventory.files.items():
        for key, file in files.items():
            yield label, file.path, file.size, key


def _contents(
    inventory: _Inventory,
    missing: set[str],
    settings: IngestionSettings,
    privacy: PrivacySettings,
    key: bytes,
) -> Iterator[dict[str, Any]]:
    """Rows of ``CONTENT`` for uncached files, each key once."""
    for label, reading in inventory.readings.items():
        wanted = [file for name, file in inventory.files[label].items() if name in missing]
        missing = missing - inventory.files[label].keys()
        for asked, file in zip(wanted, reading.files(wanted), strict=True):
            row = content_of(file, settings, privacy, key)
            if file.path != asked.path or row["blob"] != asked.content:
                raise SourceError(f"{label}: {file.path} changed while it was read; run it again")
            yield row | {"cache_key": _key(asked)}


def _skipped_rows(inventory: _Inventory) -> Iterator[dict[str, Any]]:
    for (label, path, reason), entry in inventory.skipped.items():
        yield {
            "source": label,
            "path": path,
            "reason": reason,
            "detail": entry.detail,
            "size_bytes": entry.size,
        }


def _nothing(project: str, inventory: _Inventory) -> str:
    reasons = Counter(reason for _, _, reason in inventory.skipped)
    counted = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return (
        f"project {project}: its sources hold no text file that could be read "
        f"({f'left out: {counted}' if counted else 'they are empty'}); correct "
        f"projects.{project}.sources in params.yaml, then run `cortex update {project}`"
    )
