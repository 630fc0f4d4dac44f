"""Find the end of an answer, to cut generated text there."""

from typing import Literal

from cortex_pipelines.prompts.examples import Example

StopRule = Literal["line", "statement", "indented", "braced", "unit", "braced_unit", "paragraph"]

_OPENING, _CLOSING = "([{", ")]}"
_QUOTES = "\"'`"


def extent_of(item: Example) -> StopRule:
    python = item.language == "python"
    if item.task == "naming":
        return "line"
    if item.task in ("architecture", "documentation"):
        return "paragraph"
    if item.task == "tests":
        return extent_of_test(item.language)
    if item.form == "refactoring":
        return "unit" if python else "braced_unit"
    if item.kind in ("function", "method"):
        return "indented" if python else "braced"
    return "statement"


def extent_of_test(language: str) -> StopRule:
    """A function in most languages, else a call like ``it(...)``."""
    if language in ("javascript", "typescript"):
        return "statement"
    return "unit" if language == "python" else "braced_unit"


def cut(text: str, extent: StopRule) -> str:
    return text[: _end(text, extent)].rstrip()


def is_complete(text: str, extent: StopRule) -> bool:
    return _end(text, extent) < len(text)


def _end(text: str, extent: StopRule) -> int:
    if extent == "line":
        start = len(text) - len(text.lstrip())
        line_end = text.find("\n", start)
        return line_end if line_end >= 0 else len(text)
    if extent == "paragraph":
        start = len(text) - len(text.lstrip())
        line_end = text.find("\n\n", start)
        return line_end if line_end >= 0 else len(text)
    if extent == "statement":
        return _end_of_statement(text)
    if extent in ("indented", "unit"):
        return _end_by_indent(text, includes_header=extent == "unit")
    return _end_by_brace(text, depth=0 if extent == "braced_unit" else 1)


def _end_of_statement(text: str) -> int:
    """End of the first line at which all brackets are closed."""
    depth, begun, quote = 0, False, ""
    for position, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote and text[position - 1] != "\\" else quote
        elif letter in _QUOTES:
            quote = letter
        depth += (letter in _OPENING) - (letter in _CLOSING) if not quote else 0
        begun = begun or not letter.isspace()
        if letter == "\n" and begun and depth <= 0:
            return position
    return len(text)


def _end_by_indent(text: str, *, includes_header: bool) -> int:
    """Start of the first line outside the block that the text begins with.

    Args:
        text: Generated text.
        includes_header: Whether the text begins with the block's header, or inside the block.
    """
    offset, margin, entered_block = 0, -1, False
    for line in text.split("\n"):
        content = line.strip()
        indent = len(line) - len(line.lstrip())
        if content and margin < 0:
            margin = indent
        elif content:
            dedented = indent < margin or (includes_header and entered_block and indent == margin)
            if dedented and not (includes_header and content[0] in _CLOSING):
                return max(offset - 1, 0)
            # a bracket that closes at the margin ends a decorator's or header's, not the block
            closes = indent == margin and content[0] in _CLOSING
            entered_block = not closes and (entered_block or indent > margin)
        offset += len(line) + 1
    return len(text)


def _end_by_brace(text: str, *, depth: int) -> int:
    """End of the brace that closes the open block; ignores braces in one-line strings."""
    quote, opened = "", depth > 0
    for position, letter in enumerate(text):
        if quote:
            ends = (letter == quote and text[position - 1] != "\\") or letter == "\n"
            quote = "" if ends else quote
        elif letter in _QUOTES[:1]:
            quote = letter
        elif letter == "{":
            depth, opened = depth + 1, True
        elif letter == "}":
            depth -= 1
            if opened and depth <= 0:
                return position + 1
    return len(text)
