"""The last author of each path, as a keyed pseudonym; names and addresses are not kept."""

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from cortex_pipelines.ingestion.git.command import ExhaustedError
from cortex_pipelines.ingestion.git.history import walk_history
from cortex_pipelines.privacy.pseudonyms import author_pseudonym

Pseudonym = Callable[[bytes], str | None]
"""Maps a mail address to its pseudonym; None if git has no address."""


def pseudonyms(key: bytes) -> Pseudonym:
    @cache
    def pseudonym_of(address: bytes) -> str | None:
        text = address.decode("utf-8", "replace").strip()
        return author_pseudonym(text, key) if text else None

    return pseudonym_of


def last_authors(mirror: Path, revision: str, paths: set[str], pseudonym: Pseudonym) -> dict[str, str | None]:
    """Pseudonym of the author of the newest commit, not a merge, that changed each path; in one pass, newest first."""
    remaining_paths = {path.encode("utf-8", "surrogateescape") for path in paths}
    authors: dict[str, str | None] = {}
    with suppress(ExhaustedError):
        for (_, address), changed in walk_history(mirror, revision, "%ae", "--no-merges"):
            for path in remaining_paths.intersection(changed):
                authors[path.decode("utf-8", "surrogateescape")] = pseudonym(address)
            remaining_paths.difference_update(changed)
            if not remaining_paths:
                break
    return authors
