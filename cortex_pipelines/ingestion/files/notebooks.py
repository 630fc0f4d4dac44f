"""Jupyter notebooks as one text of code cells that parses in their language."""

import ast
import json
import re
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from textwrap import dedent
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.inputtransformer2 import TransformerManager

_MARK = "# "
# Cell magics whose body is Python all the same; the body of any other is another language's or the text of a file.
_PYTHON_BODY = frozenset(
    # IPython's own, then profilers', then those of testing, plotting, clusters and hosted notebooks
    {"time", "timeit", "capture", "prun", "debug", "python", "python3", "code_wrap"}
    | {"memit", "mprun", "lprun", "snakeviz", "pyinstrument", "scalene", "heat", "viztracer"}
    | {"ipytest", "run_pytest", "run_pytest[clean]", "manim", "tictoc", "notify", "chime", "wandb"}
    | {"px", "autopx", "spark", "pyspark", "local", "add_to", "skip", "retry", "pycodestyle"}
)
# Databricks writes these with one percent sign, and means the cell.
_WHOLE_CELL = frozenset({"sql", "md", "md-sandbox", "scala", "r", "sh", "fs"})
_LONGEST_CELL = 200_000
_HINT = re.compile(r"^[ \t]*(?:[%!?,;/]|>>>|In \[)|\?[ \t]*$|=[ \t]*[%!]", re.MULTILINE)
"""Signs of magics; a cell that is too long to be parsed is only searched if it has one."""

_FIRST_WINDOW = 4
_GROWTH = 4
_REFUSALS = (SyntaxError, ValueError, LookupError, AssertionError, RecursionError, MemoryError)
"""How IPython and Python decline a text."""


def without_magics(cell: str) -> str:
    """A cell of a Python notebook as Python with as many lines.

    Returns:
        The cell itself if it is Python. Otherwise each line that is not has become a comment, or ``pass`` with a
        comment where a block would be empty. If the rest is not Python either, magics alone are comments.
    """
    if _parses(cell) or (len(cell) > _LONGEST_CELL and not _HINT.search(cell)):
        return cell
    lines = [line + "\n" for line in cell.replace("\r\n", "\n").split("\n")[:-1]]
    head = _first_statement(lines)
    name = _cell_magic(lines, head)
    if name in _PYTHON_BODY:
        body = without_magics("".join(lines[head + 1 :]))
        return "".join(lines[:head]) + _MARK + lines[head] + body
    if name is not None:
        return "".join(map(_comment, lines))
    return _comment_line_magics(_without_prompts(lines), head)


def _comment_line_magics(lines: list[str], head: int) -> str:
    # with magics as comments, and with the calls that IPython makes of them, which a magic in a statement that goes on
    # needs, such as `if x: y = !ls` before an `else`
    commented = called = ""
    remaining = lines
    while (magic := _first_magic(remaining)) is not None:
        start, end, call = magic
        before, statement = "".join(remaining[:start]), remaining[start:end]
        indent = _indent(statement[0])
        first = f"{indent}pass  {_MARK}{statement[0].lstrip()}" if indent else _MARK + statement[0]
        commented += before + first + "".join(_comment(line, indent) for line in statement[1:])
        called += before + call + "".join(_comment(line, _indent(call)) for line in statement[1:])
        remaining = remaining[end:]
    commented += "".join(remaining)
    called += "".join(remaining)
    for text in (commented, called):
        if _parses(text):
            return text
    word = lines[head].strip().partition(" ")[0] if head < len(lines) else ""
    if word.removeprefix("%") in _WHOLE_CELL and word.startswith("%"):
        return "".join(map(_comment, lines))
    return commented


_Magic = tuple[int, int, str]
"""A magic among lines: its first line, the line after its last, and IPython's call for it."""


def _first_magic(lines: list[str]) -> _Magic | None:
    """The first magic, by IPython's transformer; None if all is Python to it.

    The transformer reads all that it is given, so windows that grow keep the cost linear in the
    length of the cell, however many magics there are.
    """
    size = _FIRST_WINDOW
    while size < len(lines):
        magic = _transformed(lines[:size])
        if magic is not None and magic[1] < size:  # what ends later may be cut short
            return magic
        size *= _GROWTH
    return _transformed(lines)


def _transformed(lines: list[str]) -> _Magic | None:
    # open blocks around lines that begin inside some
    head = _first_statement(lines)
    most = len(_indent(lines[head]).expandtabs()) if head < len(lines) else 0
    indents = {len(indent.expandtabs()): indent for indent in map(_indent, lines)}
    blocks = [f"{indent}if 1:\n" for width, indent in sorted(indents.items()) if width < most]
    old = [*blocks, *lines]
    try:
        changed, new = _manager().do_one_token_transform(old)  # type: ignore[no-untyped-call]
    except (*_REFUSALS, tokenize.TokenError):
        return None
    pairs = enumerate(zip(old, new, strict=False))
    first = next((n for n, (old_line, new_line) in pairs if old_line != new_line), None) if changed else None
    if first is None:
        return None
    start = first - len(blocks)
    return start, start + 1 + len(old) - len(new), new[first]


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


@cache
def _manager() -> "TransformerManager":
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager()  # type: ignore[no-untyped-call]


def _without_prompts(lines: list[str]) -> list[str]:
    from IPython.core.inputtransformer2 import classic_prompt, ipython_prompt

    text = dedent("".join(lines))
    if text.count("\n") == len(lines):
        lines = [line + "\n" for line in text.split("\n")[:-1]]
    for strip in (classic_prompt, ipython_prompt):
        stripped: list[str] = strip(lines)
        lines = stripped if len(stripped) == len(lines) else lines
    return lines


def _first_statement(lines: Sequence[str]) -> int:
    for number, line in enumerate(lines):
        if line.strip() and not line.lstrip().startswith("#"):
            return number
    return len(lines)


def _cell_magic(lines: Sequence[str], head: int) -> str | None:
    """Name of the magic that takes the whole cell, also below comments, where people put it."""
    first = lines[head].strip() if head < len(lines) else ""
    words = first.removeprefix("%%").split()
    if not first.startswith("%%") or not words or words[0].endswith("?"):
        return None
    return words[0]


def _comment(line: str, indent: str = "") -> str:
    return indent + _MARK + line


def _parses(source: str) -> bool:
    if len(source) > _LONGEST_CELL:
        return False
    try:
        ast.parse(source)
    except _REFUSALS:
        return False
    return True


_COMMENT = {"python": "#", "r": "#", "julia": "#", "ruby": "#", "shell": "#"}
_KERNELS = {
    "python": r"i?python[\d.]*|pyodide|xpython",
    "javascript": r"javascript|node.*|ijs",
    "typescript": r"typescript|deno|tslab",
    "java": r"java|ijava",
    "go": r"go|gophernotes|gonb",
    "rust": r"rust|evcxr",
}


class NotebookError(ValueError):
    pass


@dataclass(frozen=True)
class Notebook:
    """The kernel's language, and the code cells, each below a comment that marks it."""

    language: str
    text: str


def read_notebook(data: str) -> Notebook:
    try:
        notebook = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotebookError(f"not JSON: {type(error).__name__}") from error
    if not isinstance(notebook, dict):
        raise NotebookError("no object")
    metadata = notebook.get("metadata")
    facts = metadata if isinstance(metadata, dict) else {}
    keys = (("language_info", "name"), ("kernelspec", "language"), ("kernelspec", "name"))
    declared = [facts[block].get(key) for block, key in keys if isinstance(facts.get(block), dict)]
    name = next((word for word in declared if isinstance(word, str) and word), "python").lower()[:40]
    language = next((language for language, form in _KERNELS.items() if re.fullmatch(form, name)), name)
    mark = _COMMENT.get(language, "//")
    parts = [
        f"{mark} %% [{number}]\n{without_magics(source) if language == 'python' else source}"
        for number, source in enumerate(_sources(notebook), start=1)
    ]
    return Notebook(language, "\n".join(parts))


def _sources(notebook: dict[str, Any]) -> list[str]:
    sheets = notebook.get("worksheets", [notebook])
    if not isinstance(sheets, list) or not all(isinstance(sheet, dict) for sheet in sheets):
        raise NotebookError("its worksheets are not a list of objects")
    cells = [sheet.get("cells", []) for sheet in sheets]
    if not all(isinstance(sheet_cells, list) for sheet_cells in cells):
        raise NotebookError("its cells are not a list")
    code = [
        cell.get("source", cell.get("input", ""))
        for sheet_cells in cells
        for cell in sheet_cells
        if isinstance(cell, dict) and cell.get("cell_type") == "code"
    ]
    texts = ["".join(map(str, text)) if isinstance(text, list) else str(text) for text in code]
    return [text.encode("utf-8", "replace").decode("utf-8").rstrip("\n") + "\n" for text in texts if text.strip()]
