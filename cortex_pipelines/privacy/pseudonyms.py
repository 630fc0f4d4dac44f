"""Keyed pseudonyms: the same stand-in for the same value in a project, and no way back.

A pseudonym is a truncated HMAC, not encryption and not anonymity: who knows the key can test
whether a guessed value is behind it. The key comes from the salt in ``params.yaml`` and the
project's name, so that outputs are a function of what is checked in; a team that publishes its
parameters and fears guesses sets a salt of its own and keeps it out of what it publishes. Equal
values in two projects get different pseudonyms.
"""

import hashlib
import hmac

from cortex_pipelines.privacy.settings import PrivacySettings

HEX_CHARS = 8


def project_key(project: str, settings: PrivacySettings) -> bytes:
    """Key of a project's placeholders and pseudonyms."""
    return _mac(settings.salt.encode(), "project", project)


def logs_key(settings: PrivacySettings) -> bytes:
    """Key of the placeholders and pseudonyms in the agent system's logs, which are no project's."""
    return _mac(settings.salt.encode(), "logs", "")


def pseudonym(value: str, key: bytes) -> str:
    """Eight hexadecimal digits that stand for a value."""
    return _mac(key, "value", value).hex()[:HEX_CHARS]


def author_pseudonym(email: str, key: bytes) -> str:
    """What stands for an author, by mail address; case and white space around it do not count."""
    return _mac(key, "author", email.strip().casefold()).hex()[:16]


def name_pseudonym(name: str, key: bytes) -> str:
    """What stands for the name of a file, a folder or a branch, or for an id; 64 bits of it."""
    return f"redacted-{_mac(key, 'name', name).hex()[:16]}"


def record_pseudonym(record: str, key: bytes) -> str:
    """What stands for the content of a record, as long as a SHA-256 in hexadecimal."""
    return _mac(key, "record", record).hex()


def _mac(key: bytes, purpose: str, value: str) -> bytes:
    message = f"{purpose}\0{value}".encode("utf-8", "surrogatepass")
    return hmac.new(key, message, hashlib.sha256).digest()
