"""Context of a value: in data or in code, alone in its line, near an address to connect to.

A word with a number (``harbour42``) is a name in code and a password in a file of settings.
"""

import re

from cortex_pipelines.privacy.detect.text.wording import word_set

_CODE = word_set(
    "py pyi pyw pyx pxd ipynb js jsx mjs cjs ts tsx mts cts vue svelte java kt kts scala groovy clj c h cc cpp cxx hh "
    "hpp hxx cu m mm cs fs vb go rs rb gemspec php pl pm lua r jl swift dart ex exs erl hs ml f90 zig nim v sv vhd "
    "asm s cmake mk g4 proto graphql graphqls gql css scss less map patch diff ll wat"
)
_PROSE = word_set("md rst txt adoc html htm tex org log csv tsv")
_SHELL = word_set("sh bash zsh ksh fish bat cmd ps1 psm1")
_WINDOW = 300
_INDENT = 80
_BEGINS = re.compile(
    r"(?:^|\n)[ \t]*(?:-[ \t]+|[#;+-][ \t]*|//)?"
    r"(?:(?:export|set(?: -\w+)?|setx|ENV|ARG)[ \t]+)?[\"']?[\w.$-]{0,60}\Z"
)
_ENDS = re.compile(r"[\"']?[ \t]*[,;]?[ \t]*(?:(?:#|;|//|<!--)[^\n]{0,200})?(?:\r?\n|$)")
_COMMAND = re.compile(r"[ \t]+[a-z][\w./-]{1,30}(?:[ \t]+[\w./'\"-]|\s*$)")
_ADDRESS = re.compile(
    r"""(?ix)(?<![\w-])(?:host(?:[ _-]?name)?|server|data[ ]source|address|endpoint|database|db| db_?name|initial[
    ]catalog|port|remote_?(?:path|dir)|protocol)["']?(?:[ \t]*[:=]|>)[ \t]* ["']?(?![\s"'<,{\[(|]) | ://"""
)
_FLUSH = re.compile(r"[;&,\"'`)]*(?:\s|\Z)")
_DEFINES = re.compile(r"(?:#[ ]?define[ \t]+|\bset[qf]?[ \t]*\(?[ \t]*|\(def[a-z]*[ \t]+|(?<!\w):).?\Z")
_ENTRY_BEFORE = re.compile(r"[;&?\"'`\s](?:[\w.-]+[ ])?[\w.-]*\Z")
_ENTRY_AFTER = re.compile(r"[;&\"'`]|[ ]+[\w.-]{2,20}[ ]?=|\s*\n|\s*$")


def is_code(path: str) -> bool:
    """Whether a file is code, by its extension; files of unknown extensions are data."""
    return ending_of(path) in _CODE


def is_prose(path: str) -> bool:
    """Whether a file is text for people, or a table."""
    return ending_of(path) in _PROSE


def is_program(path: str) -> bool:
    """Whether characters such as ``&`` and ``;`` end a bare value: in code, shell and prose."""
    return is_code(path) or is_prose(path) or ending_of(path) in _SHELL


def ending_of(path: str) -> str:
    """The extension of a path in lower case, without its dot; empty for ``.env``."""
    stem, _, ending = path.rpartition("/")[2].rpartition(".")
    return ending.lower() if stem else ""


def is_whole_line(text: str, start: int, end: int, has_equals: bool) -> bool:
    """Whether a name and its value, from ``start`` to ``end``, fill a line."""
    if _BEGINS.search(text, max(0, start - _INDENT), start) is None:
        return False
    return _ENDS.match(text, end) is not None or (has_equals and _COMMAND.match(text, end) is not None)


def is_flush(text: str, end: int, operator: str | None, blank: bool) -> bool:
    """Whether ``name=value`` is one word, as on a command line: blanks only after it."""
    return operator == "=" and not blank and _FLUSH.match(text, end) is not None


def is_defined(text: str, start: int) -> bool:
    """Whether a name that begins there is defined without an operator: ``#define``, ``(setq``."""
    return _DEFINES.search(text, max(0, start - _INDENT), start + 1) is not None


def is_connection_entry(text: str, start: int, end: int) -> bool:
    """Whether ``name=value`` is an entry of a connection string that has an address too."""
    before = _ENTRY_BEFORE.search(text, max(0, start - _INDENT), start + 1)
    if before is None or _ENTRY_AFTER.match(text, end) is None:
        return False
    low = max(text.rfind("\n", 0, start), start - _WINDOW, 0)
    high = text.find("\n", end, end + _WINDOW)
    return _ADDRESS.search(text, low, high if high >= 0 else end + _WINDOW) is not None


def is_beside_an_address(text: str, start: int, end: int) -> bool:
    """Whether a setting of a host, port or database is near ``start`` to ``end``."""
    return _ADDRESS.search(text, max(0, start - _WINDOW), end + _WINDOW) is not None
