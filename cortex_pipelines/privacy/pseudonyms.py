"""Keyed pseudonyms: consistent within a project and irreversible.

A pseudonym is a truncated HMAC, not encryption and not anonymity: anyone with the key can test whether a guessed value
is behind it. The key comes from the salt in ``params.yaml`` and the project's name, so that outputs are a function of
what is checked in; a team that publishes its parameters and fears guesses sets a salt of its own and keeps it out of
what it publishes. Equal values in two projects get different pseudonyms.
"""

import hashlib
import hmac

from cortex_pipelines.path_patterns import path_pattern
from cortex_pipelines.privacy.settings import PrivacySettings, Tombstone

HEX_CHARS = 8


def project_key(project: str, settings: PrivacySettings) -> bytes:
    return _mac(settings.salt.encode(), "project", project)


def logs_key(settings: PrivacySettings) -> bytes:
    return _mac(settings.salt.encode(), "logs", "")


def pseudonym(value: str, key: bytes) -> str:
    return _mac(key, "value", value).hex()[:HEX_CHARS]


def author_pseudonym(email: str, key: bytes) -> str:
    """Pseudonym of an author by mail address, ignoring case and outer white space."""
    return _mac(key, "author", email.strip().casefold()).hex()[:16]


def name_pseudonym(name: str, key: bytes) -> str:
    """Pseudonym of a file, folder or branch name, or of an id; 64 bits."""
    return f"redacted-{_mac(key, 'name', name).hex()[:16]}"


def record_pseudonym(record: str, key: bytes) -> str:
    """Pseudonym of a record's content, as long as a hexadecimal SHA-256."""
    return _mac(key, "record", record).hex()


def _mac(key: bytes, purpose: str, value: str) -> bytes:
    message = f"{purpose}\0{value}".encode("utf-8", "surrogatepass")
    return hmac.new(key, message, hashlib.sha256).digest()


def is_forgotten(
    settings: PrivacySettings, project: str, source: str, path: str | None = None, author: str | None = None
) -> bool:
    """Whether a tombstone covers a source (``git:PATH``), a file in it, or its last author's pseudonym."""
    return any(
        stone.user is None
        and stone.project in (None, project)
        and stone.source in (None, source)
        and stone.author in (None, author)
        and _matches(stone, path)
        for stone in settings.forgotten
    )


def is_forgotten_event(settings: PrivacySettings, project: str | None, path: str | None, user: str | None) -> bool:
    """Whether a tombstone covers a user's action on a completion.

    Events do not name the source of a file, so a path forgotten in one source counts for all.
    """
    return any(
        stone.author is None
        and (stone.path is not None or stone.source is None)
        and stone.project in (None, project)
        and stone.user in (None, user)
        and _matches(stone, path)
        for stone in settings.forgotten
    )


def _matches(stone: Tombstone, path: str | None) -> bool:
    if stone.path is None:
        return True
    return path is not None and path_pattern(stone.path).matches(path)
