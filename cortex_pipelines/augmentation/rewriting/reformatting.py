"""Reformat units with real formatters and verify that they stay the same."""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from textwrap import dedent
from typing import Any, NamedTuple

from cortex_pipelines.augmentation.node_table import closing_indent
from cortex_pipelines.augmentation.rewriting.equivalence import is_same_but_for_layout
from cortex_pipelines.augmentation.rewriting.formatter import FORMATTERS, Formatter, Style
from cortex_pipelines.augmentation.rewriting.rewrite_units import Edit, Rewritten, applied
from cortex_pipelines.augmentation.seeding import choose, draw
from cortex_pipelines.augmentation.snippets import Snippet, parse_unit

_DEEPEST = 200
"""Nodes around a node. What is deeper was generated, and may exhaust a formatter's stack."""
_STEP = 4
"""Columns of one level in Python (PEP 8)."""
_DRAWS = 2**64


class _Task(NamedTuple):
    unit: dict[str, Any]
    snippet: Snippet
    prefix: bytes

    @property
    def text(self) -> bytes:
        return self.prefix + self.snippet.code + self.snippet.suffix + b"\n"


@cache
def formatters() -> dict[str, Formatter]:
    for formatter in FORMATTERS:
        formatter.check_version()
    return {language: formatter for formatter in FORMATTERS for language in formatter.endings}


def is_drawn(share: float, *seed: object) -> bool:
    return draw("reformatted", *seed) < share * _DRAWS


def reformatted(units: Sequence[dict[str, Any]], seed: int) -> dict[str, Rewritten]:
    """Reformat units, each in a style drawn by hash; those that do not change, or in more than layout, are missing."""
    tasks: dict[tuple[str, Style], list[_Task]] = defaultdict(list)
    for unit in units:
        formatter = formatters().get(unit["language"])
        task = _task(unit) if formatter else None
        if formatter and task:
            style = choose(formatter.styles, "style", seed, unit["unit_id"])
            tasks[unit["language"], style].append(task)
    rewritten = {}
    for (language, style), group in tasks.items():
        formatter = formatters()[language]
        texts = formatter.formatted([task.text for task in group], language, style)
        for task, text in zip(group, texts, strict=True):
            code = _taken_out(text, task)
            if code is not None:
                rewritten[task.unit["unit_id"]] = Rewritten(f"{formatter.name}_{style.name}", "layout", code)
    return rewritten


def _task(unit: dict[str, Any]) -> _Task | None:
    snippet = parse_unit(unit["code"].encode(), unit["language"], unit["kind"], unit["path"])
    if snippet is None or not _is_fit(snippet):
        return None
    if unit["language"] == "python":
        return _Task(unit, snippet, _blocks_around(unit, snippet.prefix))
    return _Task(unit, _without_last_commas(snippet), snippet.prefix)


def _is_fit(snippet: Snippet) -> bool:
    """Whether code is not nested too deeply and has no JSX, where white space matters."""
    stack = [(snippet.tree.root_node, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > _DEEPEST or node.type.startswith("jsx"):
            return False
        stack.extend((child, depth + 1) for child in node.children)
    return True


def _blocks_around(unit: dict[str, Any], prefix: bytes) -> bytes:
    lines = [line.expandtabs(_STEP) for line in unit["code"].split("\n")[1:] if line.strip()]
    body = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    indent = prefix.rpartition(b"\n")[2]
    depth = body // _STEP - (not indent)  # a decorated unit has its `def` among these lines
    depth = max(depth, int(unit["kind"] == "method" or bool(indent)))
    headers = b"".join(b" " * level + b"if 1:\n" for level in range(depth))
    return headers + (indent or b" " * depth)


def _without_last_commas(snippet: Snippet) -> Snippet:
    """Remove trailing commas, which clang-format treats as a further argument."""
    last = [
        Edit(*snippet.span(node), "")
        for node in snippet.nodes()
        if node.type == "," and node.next_sibling is not None and node.next_sibling.type == ")"
    ]
    return snippet.with_code(applied(snippet.code, last)) if last else snippet


def _taken_out(text: bytes, task: _Task) -> str | None:
    inside = _between(text, task.prefix, task.snippet.suffix)
    if inside is None:
        return None
    unit = task.unit
    old: str = unit["code"]
    code = inside.decode("utf-8", "replace").strip() + old[len(old.rstrip()) :]
    if _flush(code) == _flush(old):
        return None
    other = parse_unit(code.encode(), unit["language"], unit["kind"], unit["path"])
    before, after = closing_indent(old), closing_indent(code)
    if unit["language"] != "python" and other and None not in (before, after) and before != after:
        code = _reindent(other, str(before), str(after))
        other = parse_unit(code.encode(), unit["language"], unit["kind"], unit["path"])
    if other is None or not is_same_but_for_layout(task.snippet, other):
        return None
    return code


def _reindent(snippet: Snippet, before: str, after: str) -> str:
    """Indent the unit as in its file; lines that start within a string stay."""
    string_rows = [
        range(start + 1, end + 1)
        for node in snippet.nodes()
        if "string" in node.type
        for start, end in [(node.start_point[0], node.end_point[0])]
        if start < end
    ]
    first = snippet.prefix.count(b"\n")
    lines = snippet.code.decode("utf-8", "replace").split("\n")
    for row, line in enumerate(lines[1:], 1):
        if line.startswith(after) and line and not any(first + row in rows for rows in string_rows):
            lines[row] = before + line[len(after) :]
    return "\n".join(lines)


def _flush(code: str) -> str:
    first, end, following_lines = code.partition("\n")
    return first + end + dedent(following_lines)


def _between(text: bytes, prefix: bytes, suffix: bytes) -> bytes | None:
    before, after = (
        rb"\s*".join(re.escape(bytes([sign])) for sign in b"".join(frame.split())) for frame in (prefix, suffix)
    )
    match = re.fullmatch(rb"\s*" + before + rb"(.*)" + after + rb"\s*", text, re.DOTALL)
    return match[1] if match else None
