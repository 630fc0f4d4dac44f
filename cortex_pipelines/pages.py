"""Self-contained HTML pages without scripts, images or links.

The parts are macros of ``templates/parts.html``; ``templates/page.html`` has the one style sheet.
Whatever is not a part already is escaped.
"""

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
    """An HTML page with a title and parts."""
    rendered: str = _environment().get_template("page.html").render(title=title, parts=parts)
    return rendered


def heading(text: str, level: int = 2) -> str:
    """A heading within a page."""
    return _part("heading", text, level)


def paragraph(text: str, *, warning: bool = False) -> str:
    """A paragraph, optionally as a warning."""
    return _part("paragraph", text, "warning" if warning else None)


def link(address: str, text: str) -> str:
    """A link to a page beside this one."""
    return _part("link", address, text)


def table(
    head: Sequence[str], rows: Iterable[Sequence[str | int]], bars: Sequence[float] = ()
) -> str:
    """A table of texts, or a sentence if it has no rows.

    Args:
        head: Names of the columns.
        rows: Texts, and whole numbers, which are written with commas.
        bars: Length of the bar at the end of each row, from 0 to 1.
    """
    texts = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows]
    if not texts:
        return paragraph("None.")
    columns = zip(*texts, strict=True)
    kinds = ["n" if all(map(_NUMBER.fullmatch, column)) else None for column in columns]
    cells = [list(zip(row, kinds, strict=True)) for row in (head, *texts)]
    return _part("table", cells[0], cells[1:], bars)


def records(rows: Sequence[Mapping[str, str | int]]) -> str:
    """A table of rows that name their cells, all alike."""
    return table(list(rows[0]) if rows else [], [list(row.values()) for row in rows])


def confusion(counts: Mapping[tuple[str, str], int], names: Sequence[str]) -> str:
    """A table of how often each name (row) was taken for each (column), agreement marked."""
    rows = []
    for truth in names:
        cells: list[tuple[str, str | None]] = [(truth, None)]
        for taken in names:
            count = counts.get((truth, taken), 0)
            mark = " hit" if truth == taken else " miss" if count else ""
            cells.append((f"{count:,}", f"n{mark}"))
        rows.append(cells)
    return _part("table", [("", None), *((name, None) for name in names)], rows, ())


def listing(sentences: Iterable[str]) -> str:
    """A list of sentences."""
    return _part("listing", sentences)


def code(title: str, text: str) -> str:
    """A block of code with a title."""
    return _part("code", title, [(text, None)])


def changed_code(title: str, text: str, expected: str) -> str:
    """A block of code with word-level differences from the expected code.

    What is not expected is green, what is missing of it red.
    """
    mine, theirs = _WORDS.findall(text), _WORDS.findall(expected)
    matcher = SequenceMatcher(None, theirs, mine, autojunk=False)
    changes = [
        ("".join(mine[begin:end]), None if kind == "equal" else "".join(theirs[left:right]))
        for kind, left, right, begin, end in matcher.get_opcodes()
    ]
    return _part("code", title, changes)


def sides(parts: Iterable[str]) -> str:
    """Parts side by side where there is room."""
    return _part("sides", parts)


def folded(summary: str, parts: Iterable[str], kind: str | None = None) -> str:
    """Collapsible parts, optionally marked ``good`` or ``bad``."""
    return _part("folded", summary, parts, kind)


def figure(caption: str, picture: str) -> str:
    """A chart, as ``charts.chart`` gives it, above its caption."""
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
