"""HTML pages without scripts, images or links, of macros of ``templates/parts.html``; other text is escaped."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import Any

_TEMPLATES = Path(__file__).parent / "templates"
_WORDS = re.compile(r"\w+|\s+|.", re.DOTALL)
_NUMBER = re.compile(r"([+-]?\d[\d,.]*(e[+-]?\d+)?%?(\s.*)?|–)?")

SAMPLE = (
    "The logs are a hand-written sample. They show that the path works; no figure on this page is "
    "evidence of anything else."
)


def page(title: str, parts: Iterable[str]) -> str:
    rendered: str = _environment().get_template("page.html").render(title=title, parts=parts)
    return rendered


def render(template: Path, title: str, **values: Any) -> str:
    """A page by a template whose lines are calls of this module's parts."""
    from markupsafe import Markup

    functions = (heading, paragraph, table, records, confusion, figure, listing)
    parts = (
        _environment()
        .from_string(template.read_text(encoding="utf-8"))
        .render({function.__name__: function for function in functions} | values)
    )
    return page(title, [Markup(parts.rstrip("\n"))])  # nosec B704 - the template escapes all values


def heading(text: str, level: int = 2) -> str:
    return _part("heading", text, level)


def paragraph(text: str, *, warning: bool = False) -> str:
    return _part("paragraph", text, "warning" if warning else None)


def table(head: Sequence[str], rows: Iterable[Sequence[str | int]], bars: Sequence[float] = ()) -> str:
    """A table of texts and integers; a sentence without rows. ``bars`` are lengths, 0 to 1, beside the rows."""
    texts = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows]
    if not texts:
        return paragraph("None.")
    columns = zip(*texts, strict=True)
    kinds = ["n" if all(map(_NUMBER.fullmatch, column)) else None for column in columns]
    cells = [list(zip(row, kinds, strict=True)) for row in (head, *texts)]
    return _part("table", cells[0], cells[1:], bars)


def records(rows: Sequence[Mapping[str, str | int]]) -> str:
    """A table of rows with the same keys, which become the header."""
    return table(list(rows[0]) if rows else [], [list(row.values()) for row in rows])


def confusion(counts: Mapping[tuple[str, str], int], names: Sequence[str]) -> str:
    """A confusion matrix: true names in rows, predicted ones in columns, agreement marked."""
    rows = []
    for truth in names:
        cells: list[tuple[str, str | None]] = [(truth, None)]
        for predicted in names:
            count = counts.get((truth, predicted), 0)
            mark = " hit" if truth == predicted else " miss" if count else ""
            cells.append((f"{count:,}", f"n{mark}"))
        rows.append(cells)
    return _part("table", [("", None), *((name, None) for name in names)], rows, ())


def listing(sentences: Iterable[str]) -> str:
    return _part("listing", sentences)


def code(title: str, text: str) -> str:
    return _part("code", title, [(text, None)])


def changed_code(title: str, text: str, expected: str) -> str:
    """Code with word-level differences from the expected code: unexpected words green, missing ones red."""
    words, expected_words = _WORDS.findall(text), _WORDS.findall(expected)
    matcher = SequenceMatcher(None, expected_words, words, autojunk=False)
    changes = [
        ("".join(words[begin:end]), None if kind == "equal" else "".join(expected_words[expected_begin:expected_end]))
        for kind, expected_begin, expected_end, begin, end in matcher.get_opcodes()
    ]
    return _part("code", title, changes)


def side_by_side(parts: Iterable[str]) -> str:
    return _part("sides", parts)


def collapsible(summary: str, parts: Iterable[str], kind: str | None = None) -> str:
    """Collapsible parts, optionally marked ``good`` or ``bad``."""
    return _part("folded", summary, parts, kind)


def figure(caption: str, picture: str) -> str:
    """A chart from ``charts.chart`` above its caption."""
    return _part("figure", caption, picture)


def _part(name: str, *values: Any) -> str:
    part: str = getattr(_environment().get_template("parts.html").module, name)(*values)
    return part


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
