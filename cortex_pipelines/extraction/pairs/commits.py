"""Choose commits and read their changed files before and after."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import polars as pl

from cortex_pipelines.extraction.settings import PairSettings
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.files.content import is_generated
from cortex_pipelines.ingestion.files.languages import is_code, language_of
from cortex_pipelines.ingestion.git.command import stream
from cortex_pipelines.ingestion.git.history import look_up_commits
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.privacy.detect.values import PLACEHOLDER
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.syntax.grammars import PARSED
from cortex_pipelines.words import unseparated_words

# Machines' commits, merges and reverts, and bumps of versions: the noise that StarCoder and
# CommitPackFT leave out.
_NOISE = re.compile(
    r"^(?:merge\b|revert\b|reapply\b|squashed? commit|automated\b|auto-?generated\b"
    r"|bump\b|(?:pre-?)?releases?(?:\s+(?:v?\d|version|candidate|notes)|:|$)"
    r"|prepare (?:for )?(?:next )?(?:release|version)|version\b"
    r"|v?\d+\.\d+|set version\b|update (?:version|changelog|submodules?)\b"
    r"|(?:fix|build|chore|ci)\(deps|(?:update|upgrade) dependenc|\[?pre-commit|\[maven-release)"
    r"|\[bot\]|dependabot|renovate|greenkeeper|snyk-bot|autoupdate",
    re.IGNORECASE,
)
_TRAILER = re.compile(
    r"^(?:[A-Z][A-Za-z]+(?:-[A-Za-z]+)+|Fixes|Fixed|Closes|Closed|Resolves|Refs?|See|Bug|Issue|PR"
    r"|Reviewers|Link)\s*:.*$",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    r"[ \t]?\((?:[^()]*\s)?(?:[\w.-]+/[\w.-]+)?#\d+(?:,\s*#\d+)*\)"
    r"|\b(?:(?:fix(?:es|ed)?|close[sd]?|resolve[sd]?|refs?|see|part of|issue|pr|pull request)\s+)"
    r"(?:[\w.-]+/[\w.-]+)?(?:#|GH-)\d+"
    r"|(?:[\w.-]+/[\w.-]+)?(?<![&\w])(?:#|GH-)\d+\b",
    re.IGNORECASE,
)
# Only at the usual positions of a ticket number: SHA-256 and RFC-7231 are not tickets.
_TICKET = re.compile(r"^(?:[A-Z][A-Z0-9]+-\d+:?\s+)+|[\[(][A-Z][A-Z0-9]+-\d+[\])]", re.MULTILINE)
_REFERENCE_NOISE = re.compile(r"\bhttps?://\S+|\bgit-svn-id:.*|\bsvn\s+r?\d+\b|(?<![\w@])@[\w-]+")
# The important part comes first; hostile messages have megabytes without a blank.
_MAX_CHARS = 4000
_EMPTY = re.compile(
    r"wip|updates?|updated|fix(?:es|ed|up)?|changes?|misc|stuff|tests?|typos?|cleanup|minor|initial"
    r"|commit|tmp|temp|save|checkpoint|refactor",
    re.IGNORECASE,
)


def is_noise(subject: str, min_words: int) -> bool:
    """Whether a commit's subject carries no information or marks the commit as unsuitable."""
    words = re.findall(r"[^\W\d_]{2,}", subject)
    if len(words) + unseparated_words(subject) < min_words or all(_EMPTY.fullmatch(word) for word in words):
        return True
    return bool(_NOISE.search(re.sub(r"^\w+(?:\([^)]*\))?!?:\s*", "", subject))) or bool(_NOISE.match(subject))


def clean_message(subject: str, body: str) -> str:
    lines = [line for line in body[:_MAX_CHARS].splitlines() if not _TRAILER.match(line.strip())]
    text = "\n".join([subject[:_MAX_CHARS], *lines])
    text = _REFERENCE.sub("", _TICKET.sub("", _REFERENCE_NOISE.sub("", text)))
    cleaned_lines = [re.sub(r"[ \t]{2,}", " ", line).strip(" \t:;,") for line in text.splitlines()]
    paragraphs = re.sub(r"\n{3,}", "\n\n", "\n".join(cleaned_lines))
    return paragraphs.strip()


Pipes = tuple[IO[bytes], IO[bytes]]
"""Input and output of a running git."""


@dataclass(frozen=True)
class ChangedFiles:
    """Text by path; ``before`` lacks the files that the commit added, ``after`` those that it removed."""

    before: dict[str, str]
    after: dict[str, str]

    @property
    def size(self) -> int:
        return sum(len(text) for side in (self.before, self.after) for text in side.values())


def select_commits(commits: pl.DataFrame, settings: PairSettings) -> pl.DataFrame:
    """The commits to mine, newest first.

    Merges and first commits, commits without code or with too much of it, and those with an
    uninformative message or made by a machine, are left out.
    """
    code = [
        sum(_may_be_read(path) for path in paths) if len(parents) == 1 else 0
        for parents, paths in commits.select("parents", "paths").iter_rows()
    ]
    suitable = [
        1 <= count <= settings.max_files and not is_noise(subject, settings.min_subject_words)
        for count, subject in zip(code, commits["subject"], strict=True)
    ]
    newest = commits.filter(pl.Series(suitable, dtype=pl.Boolean))
    newest = newest.sort("committed_at", "source", "commit", descending=[True, False, False])
    return newest if settings.max_commits is None else newest.head(settings.max_commits)


def changed_files(
    mirror: Path,
    commits: list[dict[str, Any]],
    settings: PairSettings,
    ingestion: IngestionSettings,
    redactor: PathRedactor,
) -> Iterator[ChangedFiles]:
    with stream(mirror, "cat-file", "--batch-check") as check, stream(mirror, "cat-file", "--batch") as read:
        for commit in commits:
            paths = [path for path in commit["paths"] if _may_be_read(path)]
            names: dict[str, str] = {}
            if any(PLACEHOLDER.search(path) for path in paths):
                # original names of paths whose private parts were replaced in the tables
                ((_, raw_paths),) = look_up_commits(mirror, [commit["commit"]], "%P", "--diff-merges=first-parent")
                original_paths = (path.decode("utf-8", "surrogateescape") for path in raw_paths)
                names = {redactor(path): path for path in original_paths}
            before, after = dict[str, str](), dict[str, str]()
            for texts, revision in ((before, commit["parents"][0]), (after, commit["commit"])):
                for path in paths:
                    data = _content(check, read, f"{revision}:{names.get(path, path)}", 4 * settings.max_file_chars)
                    text = _text(data, path, settings, ingestion) if data is not None else None
                    if text is not None:
                        texts[path] = text
            yield ChangedFiles(before, after)


def _may_be_read(path: str) -> bool:
    return "\n" not in path and is_code(path)  # git takes one name per line


def _text(data: bytes, path: str, settings: PairSettings, ingestion: IngestionSettings) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    language = language_of(path, text)
    unsuitable = len(text) > settings.max_file_chars or language not in PARSED
    return None if unsuitable or is_generated(path, language, text, ingestion) else text


def _content(check: Pipes, read: Pipes, name: str, max_bytes: int) -> bytes | None:
    facts = _send_request(check, name.encode("utf-8", "surrogateescape")).split(b" ")
    if len(facts) != 3 or facts[1] != b"blob" or int(facts[2]) > max_bytes:
        return None
    header = _send_request(read, facts[0]).split(b" ")
    if len(header) != 3:
        blob = facts[0].decode(errors="replace")
        raise SourceError(f"git object {blob} is missing or damaged; delete .cortex/cache/git")
    data = read[1].read(int(header[2]))
    read[1].read(1)
    return data


def _send_request(pipes: Pipes, name: bytes) -> bytes:
    pipes[0].write(name + b"\n")
    pipes[0].flush()
    return pipes[1].readline().rstrip(b"\n")
