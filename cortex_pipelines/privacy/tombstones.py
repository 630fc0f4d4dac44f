"""Match files and authors against tombstones."""

import re
from functools import lru_cache

from cortex_pipelines.privacy.settings import PrivacySettings, Tombstone


def is_forgotten(
    settings: PrivacySettings,
    project: str,
    source: str,
    path: str | None = None,
    author: str | None = None,
) -> bool:
    """Whether a tombstone covers a source, a file, or its last author.

    Args:
        settings: Tombstones.
        project: Name of the project.
        source: The source in it, as in params.yaml (``git:PATH``).
        path: Path of a file in the source; None asks for the source as a whole.
        author: `author_pseudonym` of who changed the file last or made the commit, if known.
    """
    return any(_covers(stone, project, source, path, author) for stone in settings.forgotten)


def _covers(
    stone: Tombstone, project: str, source: str, path: str | None, author: str | None
) -> bool:
    if stone.project not in (None, project) or stone.source not in (None, source):
        return False
    if stone.path is not None and (path is None or not _pattern(stone.path).fullmatch(path)):
        return False
    return stone.author is None or stone.author == author


@lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    """A path pattern as a regular expression; a folder stands for everything in it."""
    parts = re.split(r"(\*\*/?|\*|\?)", glob.strip("/"))
    known = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    body = "".join(known.get(part, re.escape(part)) for part in parts)
    return re.compile(f"{body}(?:/.*)?", re.DOTALL)
