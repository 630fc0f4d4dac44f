"""Match files and authors against tombstones."""

from cortex_pipelines.path_patterns import path_pattern
from cortex_pipelines.privacy.settings import PrivacySettings, Tombstone


def is_forgotten(
    settings: PrivacySettings, project: str, source: str, path: str | None = None, author: str | None = None
) -> bool:
    """Whether a tombstone covers a source, a file, or its last author.

    Args:
        settings: Tombstones.
        project: Name of the project.
        source: The source in it, as in params.yaml (``git:PATH``).
        path: Path of a file in the source; None for the whole source.
        author: `author_pseudonym` of who changed the file last or made the commit, if known.
    """
    return any(_covers(stone, project, source, path, author) for stone in settings.forgotten)


def is_forgotten_event(settings: PrivacySettings, project: str | None, path: str | None, user: str | None) -> bool:
    """Whether a tombstone covers a user's action on a completion.

    Events do not name the source of a file, so a path forgotten in one source counts for all.

    Args:
        settings: Tombstones.
        project: Project of the completion, if known.
        path: Path of its file, if known.
        user: `author_pseudonym` of its user by the key of logs, if known.
    """
    return any(
        stone.author is None
        and (stone.path is not None or stone.source is None)
        and stone.project in (None, project)
        and stone.user in (None, user)
        and _matches(stone, path)
        for stone in settings.forgotten
    )


def _covers(stone: Tombstone, project: str, source: str, path: str | None, author: str | None) -> bool:
    return (
        stone.user is None
        and stone.project in (None, project)
        and stone.source in (None, source)
        and stone.author in (None, author)
        and _matches(stone, path)
    )


def _matches(stone: Tombstone, path: str | None) -> bool:
    if stone.path is None:
        return True
    return path is not None and path_pattern(stone.path).matches(path)
