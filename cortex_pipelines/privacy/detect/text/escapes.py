"""Escapes in strings: of JSON and its relatives, of XML, of URLs, and colours of terminals."""

import html
import re

from cortex_pipelines.privacy.detect.text.mapped_text import MappedText

_BACKSLASH = re.compile(
    r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})"
    r"|\r?\n[ \t]*|(.))",
    re.DOTALL,
)
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "e": "\x1b", "a": ""}
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,20});")


def backslashes_resolved(text: MappedText) -> MappedText:
    r"""A string's contents without backslash escapes; lines that end in one are joined."""
    return text.replaced(_BACKSLASH, _resolved) if "\\" in text.text else text


def entities_resolved(text: MappedText) -> MappedText:
    """XML or HTML text without character references."""
    if "&" not in text.text:
        return text
    return text.replaced(_ENTITY, lambda match: html.unescape(match[0]))


def _resolved(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3] or match[4]
    if code:
        number = int(code, 16)
        return chr(number) if number < 0x110000 else "\ufffd"
    letter: str | None = match[5]
    return _CONTROLS.get(letter, letter) if letter else ""
