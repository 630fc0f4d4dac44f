"""Detect files that are not worth parsing from samples, before they cost hours.

A parser that has lost its way is slow: random tokens parse at 0.1 MB/s and ``a<a<a<`` in Java takes
the square of its length (80 KB: 37 s; all measured). Time cannot be the measure, since it differs
between machines, so large files are judged by samples of their text, in which code is easily told
from other content.
"""

import re
from hashlib import blake2b
from itertools import cycle, pairwise

from tree_sitter import Node, Tree

from cortex_pipelines.damage import SkipReason
from cortex_pipelines.syntax.grammars import (
    Grammar,
    TooManyStepsError,
    count_reads,
    error_count,
    parse,
    parse_counted,
    weighed,
)

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
    """Estimate the parser's work on Python: lines times pending comments, per bracket.

    Where a line within brackets begins a new element and no comma stands before it (a bracket that is
    not closed, say, with statements after it), the parser carries all comments along for each further
    line: 160 KB of both in turn take 18 seconds.
    """
    work = depth = comments = lines = position = 0
    last, new_line = b"", False
    while match := _TOKEN.search(data, position):
        token, position = match[0], match.end()
        if token == b"\n":
            new_line = True
        elif token == b"#":
            comments += depth > 0
            line_end = data.find(b"\n", position)
            position = len(data) if line_end < 0 else line_end
        else:
            if depth > 0 and new_line and not (last in _STRINGS and token in _STRINGS):
                # neither side of the line end joins the two
                lines += not _GOES_ON.search(last) and not _CONTINUES.match(token)
            if token in _STRINGS:
                position = _end_of_string(data, position, token)
            depth = max(depth + (token in _OPENING) - (token in _CLOSING), 0)
            if not depth:
                work, comments, lines = work + comments * lines, 0, 0
            last, new_line = token, False
    return work + comments * lines


def _end_of_string(data: bytes, start: int, quote: bytes) -> int:
    for match in _STRINGS[quote].finditer(data, start):
        if match[0] == quote:
            return match.end()
        if match[0] == b"\n":
            return match.start()
    return len(data)


# Smaller files take a few seconds at the worst, and are not sampled.
_SMALL_FILE = 24_576
# A sample in each interval: one thirty-second of the text is parsed twice.
_SAMPLE_INTERVAL, _SAMPLE_BYTES = 32_768, 1_024
# Minified code has up to 135 levels in a kilobyte, written code 50; a<a<a< has five hundred.
_MAX_LEVELS = 300
# Errors in a kilobyte: code has a few where it is cut; comments and tables up to 90 where a sample
# begins inside of them. So nearly all samples have to be wrong, the first one too, and of smaller
# files even random tokens take a second only.
_MAX_ERRORS = 25
_LARGE_FILE, _MAX_BAD_SHARE = 131_072, 0.9
# Python's grammar looks ahead over all comments that follow for each of them. A parser asks for the
# pieces of code once or twice, of 1,700 real files at most 42 times; ten thousand take a second.
_MIN_COMMENTS = 2_000
_MAX_READS = 10_000
# Lines without a comma times comments within brackets: so many take a second, and of 2,000 real
# files none has more than 400.
_MAX_BRACKET_COST = 10_000_000
# Where a grammar is ambiguous, the parser follows each reading and weighs their trees at the end of
# the text, each with all that is open: of List<List<List< (48 KB: 4 s and 1.2 GB) or a=>a=>a=> (12
# KB: 18 s) in Java more than 200 in a kilobyte, of 2,400 samples of real files at most 20.
# Brackets tell which kilobytes to look at.
_MAX_WEIGHED = 100
_MIN_ANGLES = 32
_MIN_BYTES, _WINDOW_STEP = 2_048, 4_096
# Samples miss what is padded: with long names or comments between brackets, or with code between
# samples. So of a text of more brackets than cost a second one window in eight is weighed, from
# bracket to bracket however far apart, which ones the text itself decides: of 34 such real files all
# windows have 180 trees at most, of a=>a=>a=> one has two thousand.
_BRACKET = re.compile(rb"[<>]")
_MANY_ANGLES, _WINDOW, _WINDOWS_A_SAMPLE = 1_000, 128, 8
_MAX_WEIGHED_IN_ALL = 500


def skip_reason(data: bytes, grammar: Grammar, max_bytes: int) -> SkipReason | None:
    if len(data) > max_bytes:
        return SkipReason("too_large", f"{len(data)} bytes, at most {max_bytes}")
    if len(data) > _SMALL_FILE:
        samples = [_levels_and_errors(data, start, grammar) for start in range(0, len(data), _SAMPLE_INTERVAL)]
        if max(levels for levels, _ in samples) > _MAX_LEVELS:
            return SkipReason("too_deep", f"more than {_MAX_LEVELS} levels in {_SAMPLE_BYTES} bytes")
        is_bad = [errors > _MAX_ERRORS for _, errors in samples]
        if len(data) > _LARGE_FILE and is_bad[0] and sum(is_bad) > _MAX_BAD_SHARE * len(is_bad):
            return SkipReason("garbage", f"{sum(is_bad)} of {len(is_bad)} samples are no {grammar.language}")
        if is_unreadable(data, grammar):
            return SkipReason("unreadable", "its comments would send the parser back thousands of times")
    if is_ambiguous(data, grammar):
        limits = f"{_MAX_WEIGHED} readings of {_SAMPLE_BYTES} bytes, or {_MAX_WEIGHED_IN_ALL} of samples of all"
        return SkipReason("ambiguous", f"more than {limits}")
    return None


def syntax_tree(data: bytes, grammar: Grammar, max_bytes: int) -> Tree | SkipReason:
    """The syntax tree of an untrusted file, or the reason for not parsing it."""
    reason = skip_reason(data, grammar, max_bytes)
    if reason:
        return reason
    try:
        return parse_counted(data, grammar).tree
    except TooManyStepsError as error:
        return SkipReason("too_many_steps", str(error))


def is_ambiguous(data: bytes, grammar: Grammar) -> bool:
    """Whether a parser would follow so many readings of a text that it takes seconds."""
    start = 0
    while len(data) > _MIN_BYTES and start < len(data):
        end = start + _SAMPLE_BYTES
        if data.count(b"<", start, end) + data.count(b">", start, end) < _MIN_ANGLES:
            start = end
        elif weighed(data[start:end], grammar) > _MAX_WEIGHED:
            return True
        else:
            start += _WINDOW_STEP
    # the spans between brackets, each parsed alone, in sum
    if data.count(b"<") + data.count(b">") <= _MANY_ANGLES:
        return False
    positions = [bracket.start() for bracket in _BRACKET.finditer(data)]
    windows = list(pairwise([0, *positions[_WINDOW::_WINDOW], len(data)]))
    draws = cycle(blake2b(data).digest())
    count = 0
    for first in range(0, len(windows), _WINDOWS_A_SAMPLE):
        among = windows[first : first + _WINDOWS_A_SAMPLE]
        start, end = among[next(draws) % len(among)]
        count += weighed(data[start:end], grammar)
        if count > _MAX_WEIGHED_IN_ALL:
            return True
    return False


def is_unreadable(data: bytes, grammar: Grammar) -> bool:
    """Whether a parser would backtrack in a text for more than about a second."""
    if grammar.language != "python":
        return False
    comments = data.count(b"#")
    if comments * data.count(b"\n") > _MAX_BRACKET_COST and bracket_cost(data) > _MAX_BRACKET_COST:
        return True
    return comments > _MIN_COMMENTS and count_reads(data, grammar, _MAX_READS) > _MAX_READS


def _levels_and_errors(data: bytes, position: int, grammar: Grammar) -> tuple[int, int]:
    """The deepest level and the errors of a sample."""
    end = data.find(b"\n", position, position + _SAMPLE_BYTES)
    start = end + 1 if position and end >= 0 else position
    root = parse(data[start : start + _SAMPLE_BYTES], grammar).root_node
    # code that ends where the sample does has closed all that it opened
    return (_levels(root), error_count(root)) if root.has_error else (0, 0)


def _levels(root: Node) -> int:
    deepest = level = 0
    cursor = root.walk()
    while True:
        if cursor.goto_first_child():
            level += 1
            continue
        deepest = max(deepest, level)
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return deepest
            level -= 1
