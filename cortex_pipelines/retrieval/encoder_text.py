"""What an encoder reads of a document; apart from parsing, of which a vector does not depend."""

from hashlib import blake2b

UNITS = ("function", "method", "class", "struct", "trait", "interface", "enum")
"""Kinds of document that are units of code."""
COMMIT = "commit"
"""Kind of a document that is a commit: its subject, its message, the paths that it changed."""
ISSUE = "issue"
"""Kind of a document that is an issue: its title and its text."""

_CHARACTERS = 1500
"""Of a text, that are embedded: more than the encoder's tokens."""


def encoder_text(kind: str, name: str, documentation: str, body: str) -> str:
    """Documentation and code of a unit, which the encoder was trained to bring together.

    For a commit, the message; for anything but a unit, the text alone.
    """
    if kind == COMMIT:
        return f"{name}\n{documentation}"[:_CHARACTERS]
    if kind in UNITS:
        return f"{name.replace('.', ' ')}\n{documentation[:500]}\n{body[:_CHARACTERS]}"
    return body[:_CHARACTERS]


def text_number(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors="replace"), digest_size=8).digest(), "big")
