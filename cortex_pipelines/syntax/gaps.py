"""Rewrite valid code that a grammar rejects or parses endlessly.

The rewritten text has the same length and lines, so every offset also holds for the original.
"""

import re

# Temporary name of a function without one; queries/typescript.scm restores it.
_PLACEHOLDER_NAME = b"$dfault"

# Repetitions are bounded, or hostile lines would cost the square of their length. Each expression
# begins with a literal, which makes the search a hundred times as fast.
# A type imported in place, import("react").FC<Props>; but not import("react").then(...).
_IMPORTED = re.compile(rb"""import\((?:"[^"\n]{0,400}"|'[^'\n]{0,400}')\)(?=(?:\.[\w$]{1,100}){1,9}(?![\w$(.]))""")
# An ambient function or overload without a name: export default function (a): b;
_NAMELESS = re.compile(rb"default function(?=[ ]*[(<])")
# A signature that begins with its type parameters, below one that ends with its type.
_GENERIC = re.compile(rb"\n[ \t]+<[A-Z]\w*(?:[ ,]|>\()")
_ENDS_WITH_TYPE = re.compile(rb"\)[ ]?:[^\n;={}]{0,300}[\w\])>](?:[ \t\r]*(?://[^\n]*)?\n){0,9}\Z")
_LOOK_BACK = 800
# A parameter called like the declaration of a resource.
_USING = re.compile(rb"using(?=[ ]?[:,?)])")


# Python's grammar looks ahead over all comments that follow for each of them: eight thousand lines
# take three seconds, and twice as many four times that. Of a longer run it gets the end, which
# may document the next definition. A quote might end a string that only looks like comments.
_COMMENT_LINES = re.compile(rb"(?:^[ \t]*#[^\n\"']*\n)+", re.MULTILINE)
_MAX_COMMENTS = 500
_NOT_BLANK = re.compile(rb"[^\s]")


def parseable_text(data: bytes, language: str) -> bytes:
    """The text as its grammar can parse it, with the same length and lines."""
    if language == "python" and data.count(b"#") > _MAX_COMMENTS:
        return _COMMENT_LINES.sub(_last_comments, data)
    if language != "typescript":
        return data
    data = _IMPORTED.sub(_as_name, data)
    data = _NAMELESS.sub(_with_name, data)
    data = _GENERIC.sub(_after_semicolon, data)
    return _USING.sub(_as_name, data)


def _last_comments(match: re.Match[bytes]) -> bytes:
    if match[0].count(b"\n") <= _MAX_COMMENTS:
        return match[0]
    lines = match[0].splitlines(keepends=True)
    blank = (_NOT_BLANK.sub(b" ", line) for line in lines[:-_MAX_COMMENTS])
    return b"".join([*blank, *lines[-_MAX_COMMENTS:]])


def _as_name(match: re.Match[bytes]) -> bytes:
    before = match.string[match.start() - 1 : match.start()]
    inside_word = before.isalnum() or before in (b"_", b"$", b".")
    return match[0] if inside_word else b"i" * len(match[0])


def _with_name(match: re.Match[bytes]) -> bytes:
    exported = match.string.endswith(b"export ", 0, match.start())
    return b"function " + _PLACEHOLDER_NAME if exported else match[0]


def _after_semicolon(match: re.Match[bytes]) -> bytes:
    start = match.start()
    before = match.string[max(0, start - _LOOK_BACK) : start + 1]
    if not _ENDS_WITH_TYPE.search(before):
        return match[0]
    blank = match[0].index(b"<") - 1
    return match[0][:blank] + b";" + match[0][blank + 1 :]
