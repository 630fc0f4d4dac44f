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
    """The pseudonym function of a project.

    Args:
        key: Key of the project's pseudonyms.
    """

    @cache
    def pseudonym_of(address: bytes) -> str | None:
        text = address.decode("utf-8", "replace").strip()
        return author_pseudonym(text, key) if text else None

    return pseudonym_of


def last_authors(mirror: Path, revision: str, paths: set[str], pseudonym: Pseudonym) -> dict[str, str | None]:
    """Pseudonym of the author of the newest commit that changed each path.

    Merges do not count: what they bring was changed by another commit. One pass over the history,
    newest first, that ends when all paths are known, or where a commit is too large for git.

    Args:
        mirror: Bare repository that holds the revision.
        revision: Commit id.
        paths: Paths that are wanted.
        pseudonym: Gives what stands for a mail address.
    """
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
