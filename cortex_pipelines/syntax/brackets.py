"""Cost of parsing Python brackets in which commas are missing.

Where a line within brackets begins a new element and no comma stands before it (a bracket that is
not closed, say, with statements after it), the parser carries all comments along for each further
line: 160 KB of both in turn take 18 seconds. Time cannot be the measure, since it differs between
machines, but lines and comments can be counted.
"""

import re

_TOKEN = re.compile(rb"\"\"\"|'''|[\"'#()\[\]{}\n]|[^\s\"'#()\[\]{}]+")
_OPENING, _CLOSING = (b"(", b"[", b"{"), (b")", b"]", b"}")
# What may end a string, or hide its end, by its opening quote.
_STRINGS = {
    quote: re.compile(rb"\\[\s\S]|" + quote + (b"|\n" if len(quote) == 1 else b""))
    for quote in (b'"', b"'", b'"""', b"'''")
}
_GOES_ON = re.compile(rb"(?:[^\w\"')\]}]|\b(?:and|or|not|in|is|if|else|for|lambda|await|from))\Z")
_CONTINUES = re.compile(rb"[^\w\"'\[({@~]|(?:and|or|in|is|if|else|for|async)\b")


def bracket_cost(data: bytes) -> int:
    """Estimate the parser's work: lines times pending comments, per bracket."""
    work = depth = comments = lines = position = 0
    last, new_line = b"", False
    while match := _TOKEN.search(data, position):
        token, position = match[0], match.end()
        if token == b"\n":
            new_line = True
        elif token == b"#":
            comments += depth > 0
            position = _end_of_line(data, position)
        else:
            lines += depth > 0 and new_line and _begins_element(last, token)
            if token in _STRINGS:
                position = _end_of_string(data, position, token)
            depth = max(depth + (token in _OPENING) - (token in _CLOSING), 0)
            if not depth:
                work, comments, lines = work + comments * lines, 0, 0
            last, new_line = token, False
    return work + comments * lines


def _begins_element(last: bytes, token: bytes) -> bool:
    """Whether a new element starts here: neither side of the line end joins the two."""
    if last in _STRINGS and token in _STRINGS:
        return False
    return not _GOES_ON.search(last) and not _CONTINUES.match(token)


def _end_of_line(data: bytes, start: int) -> int:
    end = data.find(b"\n", start)
    return len(data) if end < 0 else end


def _end_of_string(data: bytes, start: int, quote: bytes) -> int:
    for match in _STRINGS[quote].finditer(data, start):
        if match[0] == quote:
            return match.end()
        if match[0] == b"\n":
            return match.start()
    return len(data)
