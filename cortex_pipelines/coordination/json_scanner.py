"""Find JSON objects in a log among other text.

The agent system's files are called JSON lines, but contain plain lines, concatenated pretty-printed
objects, ``{}{...}`` runs, output of crashing workers and an incomplete last record. The scanner
divides a file into spans that cover it exactly, so nothing can get lost between them.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

SpanKind = Literal["record", "empty", "blank", "rejected", "waiting"]

WAITING = "truncated; waits for the next run"
MAX_DEPTH = 200  # deepest nesting of a record. Real ones have five levels; far more only exhausts the stack.
_BLANKS = " \t\r\n"
_BLANK = re.compile(r"(?:\A\xef\xbb\xbf)?[ \t\r\n]*")  # with a byte order mark at the beginning
# Inside one object a brace never follows a closing one without a comma, and pretty printers indent
# nested ones: so both of these begin a new record.
_BOUNDARY = re.compile(r"\}[ \t\r\n]*\{|\n\{")
_JUNK = re.compile(r"[^{\n]+")
_STRUCTURE = re.compile(r'"(?:[^"\\\n]|\\.)*"|[{}\[\]"]')
_BRACES = re.compile(r"\{+")
_TOKEN = re.compile(r"([^ \t\r\n]{0,8})[ \t\r\n]*")
_CUT_TOKEN = re.compile(r"t(ru?)?|f(a(ls?)?)?|n(ul?)?|-|\.|[eE][+-]?|\.\d*[eE][+-]?")
_CUT_ESCAPE = re.compile(r"u?[0-9a-fA-F]{0,4}")


OUTSIDE = "text outside of a JSON object"


@dataclass(frozen=True)
class ByteSpan:
    """A span of a file, from ``start`` up to ``end`` (bytes); ``value`` is the object of a record.

    ``rejected`` is not understood, ``waiting`` the beginning of a record whose rest is not there yet (``reason`` says
    why), ``empty`` is ``{}``. ``settled``: it stays as it is whatever is appended to the log. A broken object that
    reaches to the end may yet be closed, and take in records that were found inside it.
    """

    start: int
    end: int
    kind: SpanKind
    value: dict[str, Any] | None = None
    reason: str = ""
    settled: bool = True


class _Text(str):
    """A log for which parse errors do not count lines.

    The parser's error computes line and column from the start of the text, each time: with many
    broken records in a large file that alone would take minutes. Only positions are needed.
    """

    __slots__ = ()

    def count(self, *_: Any) -> int:
        return 0

    def rfind(self, *_: Any) -> int:
        return -1


class _NotJsonError(ValueError):
    pass


def _refuse(name: str) -> NoReturn:
    raise _NotJsonError(f"{name} is not a JSON value")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def scan(data: bytes, position: int = 0) -> Iterator[ByteSpan]:
    """Split a log into spans, in order, without gaps or overlaps; linear in the size, on any bytes at all.

    ``position`` is 0, or the end of spans that were all settled when the log was shorter; what follows is then the same
    as in a scan from the beginning.
    """
    # One character a byte: the C parser gives positions in characters, we need them in bytes.
    text = _Text(data.decode("latin-1"))
    boundary = -1
    while position < len(text):
        blank = _BLANK.match(text, position)
        if blank and blank.end() > position:
            position = blank.end()
            yield ByteSpan(blank.start(), position, "blank", settled=position < len(text))
        elif text[position] != "{":
            # text up to the next line or object; brackets of a list count as such text
            junk = _JUNK.match(text, position)
            end = position + len(junk.group().rstrip(_BLANKS)) if junk else position + 1
            settled = junk is not None and junk.end() < len(text)
            yield ByteSpan(position, end, "rejected", reason=OUTSIDE, settled=settled)
            position = end
        else:
            if boundary <= position:
                match = _BOUNDARY.search(text, position + 1)
                boundary = match.end() - 1 if match else len(text)
            yield (item := _object(data, text, position, boundary))
            position = item.end


def _object(data: bytes, text: str, start: int, boundary: int) -> ByteSpan:
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        return _broken_span(text, start, boundary, error)
    except (ValueError, RecursionError) as error:
        # A number may be out of range, or nesting too deep, before all of the object is there.
        end, settled = _end(text, start, boundary), boundary < len(text)
        return ByteSpan(start, end, "rejected", reason=_error_reason(error), settled=settled)
    if not value:
        return ByteSpan(start, end, "empty")
    raw = data[start:end]
    try:
        if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
            depth = 0
            for token in _STRUCTURE.finditer(raw.decode("latin-1")):
                depth += (token.group() in "{[") - (token.group() in "}]")
                if depth > MAX_DEPTH:
                    raise RecursionError
        # The first pass took bytes for characters, which only ASCII forgives.
        parsed = value if raw.isascii() else json.loads(raw.decode("utf-8"))
        json.dumps(parsed, allow_nan=False)
    except (ValueError, RecursionError) as error:
        return ByteSpan(start, end, "rejected", reason=_error_reason(error))
    return ByteSpan(start, end, "record", value=parsed)


def _error_reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: byte 0x{error.object[error.start]:02x} at {error.start} of the record"
    if isinstance(error, RecursionError):
        return f"nested deeper than {MAX_DEPTH} levels"
    if isinstance(error, _NotJsonError):
        return f"not JSON: {error}"
    return "not JSON: a number is out of range"


def _broken_span(text: str, start: int, boundary: int, error: json.JSONDecodeError) -> ByteSpan:
    reason = f"not JSON: {error.msg} at byte {error.pos - start} of the record"
    if _is_cut_off(text, start, error):
        return ByteSpan(start, len(text), "waiting", reason=WAITING, settled=False)
    # whether the parser would stop here for this reason however the log continues
    token = _TOKEN.match(text, error.pos)
    settled = not error.msg.startswith("Unterminated string") and token is not None and token.end() < len(text)
    if error.pos >= boundary or text[error.pos] != "{":
        settled = settled and boundary < len(text)
        return ByteSpan(start, _end(text, start, boundary), "rejected", reason=reason, settled=settled)
    end = error.pos
    if end == start + 1:  # a run of braces is one span, not one for each
        run = _BRACES.match(text, start)
        end = run.end() - 1 if run else end
    end = start + len(text[start:end].rstrip(_BLANKS))
    return ByteSpan(start, end, "rejected", reason=reason, settled=settled)


def _is_cut_off(text: str, start: int, error: json.JSONDecodeError) -> bool:
    if text.find("\n{", start, error.pos) >= 0:
        return False
    if error.msg.startswith("Unterminated string"):
        return True
    token = _TOKEN.match(text, error.pos)
    if token is None or token.end() < len(text):
        return False
    if error.msg.startswith("Invalid \\"):
        return bool(_CUT_ESCAPE.fullmatch(token.group(1)))
    return not token.group(1) or bool(_CUT_TOKEN.fullmatch(token.group(1)))


def _end(text: str, start: int, boundary: int) -> int:
    """Where the brackets of an object are closed, else where the next one may begin."""
    depth = 0
    for token in _STRUCTURE.finditer(text, start, boundary):
        if token.group() == '"':  # a string that is not closed on its line: no counting on
            break
        depth += (token.group() in "{[") - (token.group() in "}]")
        if depth <= 0:
            return token.end()
    return start + len(text[start:boundary].rstrip(_BLANKS))
