"""Reports as HTML pages that need nothing else: no script, no picture, no address."""

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.6rem 0}td,th{padding:.25rem .7rem;border:1px solid #ccc;
text-align:left;vertical-align:top}
p.warning{border-left:.4rem solid #c60;background:#fff4e5;padding:.6rem 1rem}
"""

SAMPLE = (
    "The logs are a hand-written sample. They show that the path works; no figure on this page is "
    "evidence of anything else."
)


def page(title: str, parts: Iterable[str]) -> str:
    """A page with the given parts of HTML below its title."""
    head = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
    )
    return "\n".join([head, *parts, "</body></html>"]) + "\n"


def heading(text: str) -> str:
    """A heading within a page."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, *, warning: bool = False) -> str:
    """A paragraph; a warning stands out."""
    kind = ' class="warning"' if warning else ""
    return f"<p{kind}>{escape(text)}</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts; a sentence in its place if there is no row."""
    lines = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    if not lines:
        return "<p>None.</p>"
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<table><tr>{cells}</tr>{''.join(lines)}</table>"
