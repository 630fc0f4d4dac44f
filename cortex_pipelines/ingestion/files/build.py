"""The text files of a project: schemas ``REPOSITORY_FILES`` and ``SKIPPED_FILES``.

Sources are listed first; a file whose path and bytes are unchanged is not read again. Columns that depend on the file
alone are cached; those that depend on other files (licence, tests, authors) are computed each time.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.ingestion.entries import File, FileRef, SkippedFile, SourceError
from cortex_pipelines.ingestion.files import attributes
from cortex_pipelines.ingestion.files.content import CONTENT, content_of
from cortex_pipelines.ingestion.git.history import pseudonyms
from cortex_pipelines.ingestion.licences.detect import annotations, folder_licences, is_reuse, licences_of
from cortex_pipelines.ingestion.licences.expressions import permitted
from cortex_pipelines.ingestion.project_sources import ProjectSource, matching_pins
from cortex_pipelines.ingestion.readers.open import OpenSource, open_source
from cortex_pipelines.ingestion.redactions import (
    REASON,
    forgotten_by_author,
    forgotten_file,
    frame_of,
    redaction_rows,
    redaction_table,
    without_private_errors,
)
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.parallel.ordered import ordered_map
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.privacy.pseudonyms import is_forgotten, project_key
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.ingestion import REDACTIONS, REPOSITORY_FILES, SKIPPED_FILES


def add_source_metadata(
    files: pl.DataFrame, source: OpenSource, project_licence: str | None, settings: IngestionSettings, key: bytes
) -> pl.DataFrame:
    paths = files["path"].to_list()
    is_attributes = pl.col("path").str.split("/").list.last() == attributes.FILE
    marked = attributes.marked_files(paths, files.filter(is_attributes).select("path", "text").iter_rows())
    generated = files["generated"] | files["path"].is_in(sorted(compiled_copies(paths) | marked))
    authors = source.authors(set(paths), pseudonyms(key))
    folder_statements = files.filter(pl.col("stated").is_not_null()).select("path", "stated", "stated_by")
    headers = files.filter(pl.col("header").is_not_null()).select("path", "header")
    reuse_mask = pl.Series([is_reuse(path) for path in paths], dtype=pl.Boolean)
    licences = licences_of(
        paths,
        dict(headers.iter_rows()),
        folder_licences(folder_statements.iter_rows()),
        project_licence,
        annotations(files.filter(reuse_mask)["path", "text"].iter_rows()),
    )
    allowed = {licence: permitted(licence, settings.trainable_licences) for licence in licences if licence}
    allowed_silent = source.kind in settings.trainable_without_licence
    is_allowed = pl.Series([allowed[licence] if licence else allowed_silent for licence in licences], dtype=pl.Boolean)
    return files.with_columns(
        pl.lit(source.revision).alias("revision"),
        generated.alias("generated"),
        pl.Series("author", [authors.get(path) for path in paths], pl.String),
        pl.Series("licence", licences, pl.String),
        (is_allowed & ~generated).alias("trainable"),
    ).select(list(REPOSITORY_FILES.schema))


_LISTING = pl.Schema({"source": pl.String, "path": pl.String, "size_bytes": pl.Int64, "cache_key": pl.String})


@dataclass(frozen=True)
class _Inventory:
    """Listed but unread files by cache key; skipped entries once each: archives may repeat a name."""

    open_sources: dict[str, OpenSource] = field(default_factory=dict)
    files: dict[str, dict[str, FileRef]] = field(default_factory=dict)
    skipped: dict[tuple[str, str, str], SkippedFile] = field(default_factory=dict)

    def skip(self, label: str, entry: SkippedFile) -> None:
        self.skipped.setdefault((label, entry.path, entry.reason), entry)


def repository_files(
    source: ProjectSource,
    project: str,
    settings: IngestionSettings,
    privacy: PrivacySettings,
    root: Path,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Frames ``files``, ``skipped_files`` and ``redactions`` of all sources of a project."""
    key = project_key(project, privacy)
    tables = without_private_errors(
        lambda: _read(source, project, settings, privacy, root, cache, key), SourceError, privacy, key
    )
    redactor = PathRedactor(privacy, key)
    path_rows = pl.concat([tables[name].select("source", "path") for name in ("files", "skipped_files")]).unique()
    redacted_paths = [(source, *redactor.redact(path)) for source, path in path_rows.sort("source", "path").iter_rows()]
    path_redactions = [
        {"source": source, "path": path, **row}
        for source, path, names in dict.fromkeys(redacted_paths)
        for row in redaction_rows(names)
    ]
    if not path_redactions:
        return tables
    for name, frame in tables.items():
        paths = pl.Series("path", [redactor(path) for path in frame["path"]], dtype=pl.String)
        tables[name] = frame.with_columns(paths)
    redactions = pl.concat([tables["redactions"], REDACTIONS.frame(path_redactions)], how="vertical")
    return {
        "files": REPOSITORY_FILES.conform(tables["files"]),
        "skipped_files": SKIPPED_FILES.conform(tables["skipped_files"]),
        "redactions": REDACTIONS.conform(redactions),
    }


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
    inventory = _list_sources(source, project, settings, privacy, root)
    listed = [
        (label, file.path, file.size, key) for label, files in inventory.files.items() for key, file in files.items()
    ]
    listing = pl.DataFrame(listed, schema=_LISTING, orient="row")

    def compute(missing: pl.Series) -> pl.DataFrame:
        rows = _contents(inventory, set(missing), settings, privacy, key)
        return frame_of(rows, CONTENT)

    content_rows = cache.rows(f"files/{project}", listing["cache_key"], compute)
    contents = listing.join(content_rows, on="cache_key", how="left", maintain_order="left")
    for row in contents.filter(pl.col("reason").is_not_null()).iter_rows(named=True):
        skipped = SkippedFile(row["path"], row["reason"], row["detail"], row["size_bytes"])
        inventory.skip(row["source"], skipped)
    texts = contents.filter(pl.col("reason").is_null())
    if texts.is_empty() and not any(reason == REASON for _, _, reason in inventory.skipped):
        raise SourceError(_no_files_message(project, inventory))
    frames = [
        add_source_metadata(texts.filter(source=label), opened_source, source.settings.licence, settings, key)
        for label, opened_source in inventory.open_sources.items()
    ]
    files = pl.concat(frames)
    forgotten = forgotten_by_author(files, project, privacy)
    for label, path, size in forgotten.select("source", "path", "size_bytes").iter_rows():
        inventory.skip(label, forgotten_file(path, size))
    file_key = ["source", "path"]
    return {
        "files": REPOSITORY_FILES.conform(files.join(forgotten, on=file_key, how="anti")),
        "skipped_files": SKIPPED_FILES.frame(
            [
                {"source": label, "path": path, "reason": reason, "detail": entry.detail, "size_bytes": entry.size}
                for (label, path, reason), entry in inventory.skipped.items()
            ]
        ),
        "redactions": redaction_table(texts.join(forgotten, on=file_key, how="anti")),
    }


def _list_sources(
    source: ProjectSource, project: str, settings: IngestionSettings, privacy: PrivacySettings, root: Path
) -> _Inventory:
    inventory, remaining_bytes = _Inventory(), settings.max_project_bytes
    redactor = PathRedactor(privacy, project_key(project, privacy))  # as the tables call them
    for entry, pin in matching_pins(source, project):
        opened_source = open_source(entry, pin, settings, root)
        inventory.open_sources[entry.label] = opened_source
        files = inventory.files[entry.label] = {}
        for member in opened_source.entries():
            if isinstance(member, SkippedFile):
                inventory.skip(entry.label, member)
            elif any(
                is_forgotten(privacy, project, entry.label, path) for path in {member.path, redactor(member.path)}
            ):
                inventory.skip(entry.label, forgotten_file(member.path, member.size))
            elif member.size > remaining_bytes:
                limit = f"ingestion.max_project_bytes is {settings.max_project_bytes}"
                detail = f"this and all later entries: {limit}"
                inventory.skip(entry.label, SkippedFile(member.path, "project_too_large", detail, member.size))
                break
            else:
                remaining_bytes -= member.size
                # all that a file's own row depends on, apart from code and parameters
                files[hashlib.sha256(f"{member.content} {member.path}".encode()).hexdigest()] = member
    return inventory


def _contents(
    inventory: _Inventory, missing: set[str], settings: IngestionSettings, privacy: PrivacySettings, key: bytes
) -> Iterator[dict[str, Any]]:
    for label, opened_source in inventory.open_sources.items():
        listed_files = {name: file for name, file in inventory.files[label].items() if name in missing}
        missing = missing - listed_files.keys()
        batches = ordered_map(
            partial(_contents_of, settings=settings, privacy=privacy, key=key),
            opened_source.files(list(listed_files.values())),
            lambda file: len(file.data),
            "Reading files",
            total=len(listed_files),
            name=lambda file: file.path,
        )
        contents = chain.from_iterable(batches)
        for (cache_key, listed_file), (path, row) in zip(listed_files.items(), contents, strict=True):
            if path != listed_file.path or row["blob"] != listed_file.content:
                raise SourceError(f"{label}: {path} changed while it was read; run it again")
            yield row | {"cache_key": cache_key}


def _contents_of(
    files: list[File], settings: IngestionSettings, privacy: PrivacySettings, key: bytes
) -> list[tuple[str, dict[str, Any]]]:
    return [(file.path, content_of(file, settings, privacy, key)) for file in files]


def _no_files_message(project: str, inventory: _Inventory) -> str:
    reasons = Counter(reason for _, _, reason in inventory.skipped)
    reason_counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return (
        f"project {project}: its sources hold no text file that could be read "
        f"({f'left out: {reason_counts}' if reason_counts else 'they are empty'}); correct "
        f"projects.{project}.sources in params.yaml, then run `cortex update {project}`"
    )


_SOURCE = "src"
_TYPED = (".ts", ".tsx", ".mts", ".cts")
_SOURCE_ENDINGS = (*_TYPED, ".js", ".mjs", ".cjs", ".jsx", ".coffee")
_DECLARED = (".d.ts", ".d.mts", ".d.cts")
_OUTPUT = (*_DECLARED, ".js", ".mjs", ".cjs")
# Beside src, these hold nothing that anybody wrote; in the others there may be scripts too.
_OUTPUT_FOLDERS = frozenset({"dist", "umd", "bundles"})
_BUILT = _OUTPUT_FOLDERS | {
    *("build", "built", "out", "output", "lib", "libs", "types", "typings"),
    *("cjs", "commonjs", "es", "esm", "es5", "esm5", "es6", "es2015", "esnext", "module", "modules"),
}

_Folders = tuple[str, ...]


def compiled_copies(paths: Collection[str]) -> set[str]:
    """Files that are compiled from others of the same source.

    A package with ``src/core/api.ts`` may ship ``core/api.js``, ``dist/cjs/core/api.js`` and
    ``dist/types/core/api.d.ts``: the same code again, in forms too different to be found as near-duplicates. A script
    is taken for such a copy if its path ends as that of a script in the ``src`` beside it, below nothing else than a
    folder that compilers write to; and so is all of ``dist``, ``umd`` and ``bundles`` beside such a ``src``.
    """
    typed, sources = set[tuple[_Folders, str]](), set[tuple[_Folders, str]]()
    for path in paths:
        if _strip_ending(path, _DECLARED) is None and (stem := _strip_ending(path, _SOURCE_ENDINGS)) is not None:
            *folders, _ = path.split("/")
            for depth in (position for position, folder in enumerate(folders) if folder == _SOURCE):
                source = tuple(folders[:depth]), "/".join(stem.split("/")[depth + 1 :])
                sources.add(source)
                if path.endswith(_TYPED):
                    typed.add(source)
    packages = {package for package, _ in sources}
    return {path for path in paths if packages and _is_copy(path, packages, typed, sources)}


def _is_copy(
    path: str, packages: set[_Folders], typed: set[tuple[_Folders, str]], sources: set[tuple[_Folders, str]]
) -> bool:
    parts = tuple(path.split("/"))
    stem = _strip_ending(path, _OUTPUT)
    for depth in range(len(parts)):
        package = parts[:depth]
        if package not in packages:
            continue
        if len(parts) > depth + 1 and parts[depth] in _OUTPUT_FOLDERS:
            return True
        if stem is None:
            continue
        below = stem.split("/")[depth:]
        if (package, "/".join(below)) in typed:
            return True
        suffixes = ("/".join(below[start:]) for start in range(1, len(below)))
        if below[0] in _BUILT and any((package, suffix) in sources for suffix in suffixes):
            return True
    return False


def _strip_ending(path: str, endings: tuple[str, ...]) -> str | None:
    return next((path.removesuffix(ending) for ending in endings if path.endswith(ending)), None)
