"""Choose commits and read their changed files before and after."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import polars as pl

from cortex_pipelines.extraction.pairs.messages import is_noise
from cortex_pipelines.extraction.pairs.settings import PairSettings
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.files.generated import is_generated
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.ingestion.git.command import stream
from cortex_pipelines.ingestion.git.history import look_up_commits
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.privacy.detect.values import PLACEHOLDER
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.syntax.grammars import PARSED

Pipes = tuple[IO[bytes], IO[bytes]]
"""Input and output of a running git."""


@dataclass(frozen=True)
class ChangedFiles:
    """Text by path; ``before`` lacks the files that the commit added, ``after`` those that it removed."""

    before: dict[str, str]
    after: dict[str, str]


def select_commits(commits: pl.DataFrame, settings: PairSettings) -> pl.DataFrame:
    """The commits to mine, newest first.

    Merges and first commits, commits without code or with too much of it, and those with an
    uninformative message or made by a machine, are left out.

    Args:
        commits: REPOSITORY_COMMITS.
        settings: Thresholds.
    """
    code = [
        sum(_is_code(path) for path in paths) if len(parents) == 1 else 0
        for parents, paths in commits.select("parents", "paths").iter_rows()
    ]
    noise = [is_noise(subject, settings.min_subject_words) for subject in commits["subject"]]
    suitable = commits.with_columns(
        pl.Series("code", code, dtype=pl.Int64), pl.Series("noise", noise, dtype=pl.Boolean)
    ).filter(pl.col("code").is_between(1, settings.max_files), ~pl.col("noise"))
    newest = suitable.sort("committed_at", "source", "commit", descending=[True, False, False])
    limit = newest.height if settings.max_commits is None else settings.max_commits
    return newest.head(limit).drop("code", "noise")


def changed_files(
    mirror: Path,
    commits: list[dict[str, Any]],
    settings: PairSettings,
    ingestion: IngestionSettings,
    redactor: PathRedactor,
) -> Iterator[ChangedFiles]:
    """Changed code of each commit, in order, without generated or oversized files."""
    with stream(mirror, "cat-file", "--batch-check") as check, stream(mirror, "cat-file", "--batch") as read:
        for commit in commits:
            paths = [path for path in commit["paths"] if _is_code(path)]
            names = _names_in_git(mirror, commit["commit"], paths, redactor)
            before: dict[str, str] = {}
            after: dict[str, str] = {}
            for texts, revision in ((before, commit["parents"][0]), (after, commit["commit"])):
                for path in paths:
                    blob = _blob_id(check, f"{revision}:{names.get(path, path)}", 4 * settings.max_file_chars)
                    text = _text(_content(read, blob), path, settings, ingestion) if blob else None
                    if text is not None:
                        texts[path] = text
            yield ChangedFiles(before, after)


def _names_in_git(mirror: Path, commit: str, paths: list[str], redactor: PathRedactor) -> dict[str, str]:
    """Original names of paths whose private parts were replaced in the tables."""
    if not any(PLACEHOLDER.search(path) for path in paths):
        return {}
    ((_, raw_paths),) = look_up_commits(mirror, [commit], "%P", "--diff-merges=first-parent")
    original_paths = (path.decode("utf-8", "surrogateescape") for path in raw_paths)
    return {redactor(path): path for path in original_paths}


def _is_code(path: str) -> bool:
    # git takes one name per line, and only the extension is known yet
    return "\n" not in path and language_of(path, "") in PARSED


def _text(data: bytes, path: str, settings: PairSettings, ingestion: IngestionSettings) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    language = language_of(path, text)
    unsuitable = len(text) > settings.max_file_chars or language not in PARSED
    return None if unsuitable or is_generated(path, language, text, ingestion) else text


def _blob_id(check: Pipes, name: str, max_bytes: int) -> bytes | None:
    header = _send_request(check, name.encode("utf-8", "surrogateescape"))
    parts = header.split(b" ")
    if len(parts) != 3 or parts[1] != b"blob":
        return None
    return parts[0] if int(parts[2]) <= max_bytes else None


def _content(read: Pipes, blob: bytes) -> bytes:
    header = _send_request(read, blob).split(b" ")
    if len(header) != 3:
        name = blob.decode(errors="replace")
        raise SourceError(f"git object {name} is missing or damaged; delete .cortex/cache/git")
    data = read[1].read(int(header[2]))
    read[1].read(1)
    return data


def _send_request(pipes: Pipes, name: bytes) -> bytes:
    pipes[0].write(name + b"\n")
    pipes[0].flush()
    return pipes[1].readline().rstrip(b"\n")
