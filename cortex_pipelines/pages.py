"""Self-contained HTML pages without scripts, images or links."""

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from html import escape

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.6rem 0}td,th{padding:.25rem .7rem;border:1px solid #ccc;
text-align:left;vertical-align:top}
p.warning{border-left:.4rem solid #c60;background:#fff4e5;padding:.6rem 1rem}
pre{background:#f6f6f6;padding:.6rem;font-size:13px;margin:.2rem 0;white-space:pre-wrap;
overflow-wrap:anywhere}
details{border-left:.25rem solid #bbb;padding:.1rem 1rem;margin:.5rem 0}
details.good{border-color:#2a7d4f}details.bad{border-color:#b3403a}summary{cursor:pointer}
.sides{display:grid;grid-template-columns:repeat(auto-fit,minmax(26rem,1fr));gap:1rem}
ins{background:#d5f0dd;text-decoration:none}del{background:#f8d7d4;text-decoration:none}
"""

_WORDS = re.compile(r"\w+|\s+|.", re.DOTALL)

SAMPLE = (
    "The logs are a hand-written sample. They show that the path works; no figure on this page is "
    "evidence of anything else."
)


def page(title: str, parts: Iterable[str]) -> str:
    """An HTML page with a title and parts."""
    head = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
    )
    return "\n".join([head, *parts, "</body></html>"]) + "\n"


def heading(text: str) -> str:
    """A heading within a page."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, *, warning: bool = False) -> str:
    """A paragraph, optionally as a warning."""
    kind = ' class="warning"' if warning else ""
    return f"<p{kind}>{escape(text)}</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts, or a sentence if it has no rows."""
    lines = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    if not lines:
        return "<p>None.</p>"
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<table><tr>{cells}</tr>{''.join(lines)}</table>"


def listing(sentences: Iterable[str]) -> str:
    """A list of sentences."""
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"


def code(title: str, text: str) -> str:
    """A block of code with a title."""
    return f"<div>{escape(title)}<pre>{escape(text)}</pre></div>"


def changed_code(title: str, text: str, expected: str) -> str:
    """A block of code with word-level differences from the expected code.

    What is not expected is green, what is missing of it red.
    """
    parts = []
    for kind, mine, theirs in _changes(text, expected):
        if kind == "equal":
            parts.append(escape(mine))
        else:
            parts.append(f"<del>{escape(theirs)}</del>" if theirs else "")
            parts.append(f"<ins>{escape(mine)}</ins>" if mine else "")
    return f"<div>{escape(title)}<pre>{''.join(parts)}</pre></div>"


def sides(parts: Iterable[str]) -> str:
    """Parts side by side where there is room."""
    return f'<div class="sides">{"".join(parts)}</div>'


def folded(summary: str, parts: Iterable[str], kind: str = "") -> str:
    """Collapsible parts, optionally marked ``good`` or ``bad``."""
    mark = f' class="{kind}"' if kind else ""
    inside = "".join(parts)
    return f"<details{mark}><summary>{escape(summary)}</summary>{inside}</details>"


def _changes(text: str, expected: str) -> Iterable[tuple[str, str, str]]:
    """Word-level differences: kind of each stretch, and its text on both sides."""
    mine, theirs = _WORDS.findall(text), _WORDS.findall(expected)
    matcher = SequenceMatcher(None, theirs, mine, autojunk=False)
    for kind, left, right, begin, end in matcher.get_opcodes():
        yield kind, "".join(mine[begin:end]), "".join(theirs[left:right])
