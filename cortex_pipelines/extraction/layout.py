"""Extent of a unit with its attributes, and its doc comment.

Everything looks at neighbouring bytes only, so a file with a million comments, or ten thousand
levels, costs no more than its length.
"""

from cortex_pipelines.extraction.outline import Outline

_BLANK = b" \t\r\n\x0c"


def start_with_attributes(data: bytes, start: int, file_outline: Outline) -> tuple[int, int | None]:
    """First byte of a unit with its attributes, and the end of its doc comment.

    Attributes and comments may follow each other in any order; comments above the first attribute
    stay outside of the unit.

    Returns:
        The first byte; the end of the nearest doc comment, None without one.
    """
    first, position, doc_end = start, start, None
    while (end := _end_before(data, position)) is not None:
        if end in file_outline.attributes:
            first = position = file_outline.attributes[end]
        elif end in file_outline.comments and _trails_no_code(data, file_outline.comments[end], file_outline):
            if doc_end is None and end in file_outline.docs:
                doc_end = end
            position = file_outline.comments[end]
        else:
            break
    return first, doc_end


def end_of_last_statement(data: bytes, start: int, end: int, file_outline: Outline) -> int:
    """End of the last statement, without trailing white space, comment or semicolon."""
    while True:
        while end > start and data[end - 1] in _BLANK:
            end -= 1
        comment_start = file_outline.comments.get(end, file_outline.trailing.get(end))
        if comment_start is None or comment_start <= start:
            return end
        end = comment_start


def doc_comments(data: bytes, end: int, file_outline: Outline) -> bytes:
    """Consecutive doc comments that end at a byte."""
    start: int | None = file_outline.docs[end]
    first = end
    while start is not None:
        first = start
        comment_end = _end_before(data, first)
        start = file_outline.docs.get(comment_end) if comment_end is not None else None
        if start is not None and not _begins_line(data, start):
            break
    return data[first:end]


def remove_spans(data: bytes, start: int, end: int, cuts: list[tuple[int, int]]) -> bytes:
    """Bytes from ``start`` to ``end`` without some spans, given in order."""
    segments, position = [], start
    for cut_start, cut_end in cuts:
        if position <= cut_start < end:
            segments.append(data[position:cut_start])
            position = cut_end
    return b" ".join([*segments, data[position:end]])


def _end_before(data: bytes, start: int) -> int | None:
    """End of what precedes ``start`` with at most one line break between; else None."""
    line_ends = 0
    while start and data[start - 1] in _BLANK:
        start -= 1
        line_ends += data[start] == 0x0A
    return start if start and line_ends <= 1 else None


def _trails_no_code(data: bytes, comment: int, file_outline: Outline) -> bool:
    return _begins_line(data, comment) or _end_on_line(data, comment) in file_outline.attributes


def _begins_line(data: bytes, start: int) -> bool:
    end = _end_on_line(data, start)
    return end == 0 or data[end - 1] in b"\r\n"


def _end_on_line(data: bytes, start: int) -> int:
    while start and data[start - 1] in b" \t":
        start -= 1
    return start
