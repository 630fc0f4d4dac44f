"""Jupyter notebooks as one text of code cells that parses in their language."""

import json
import re
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.ingestion.files.notebook_magics import without_magics

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
    """Code of a notebook.

    Args:
        language: Its kernel's language.
        text: Its code cells, each below a comment that marks it; no outputs.
    """

    language: str
    text: str


def read_notebook(data: str) -> Notebook:
    try:
        notebook = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotebookError(f"not JSON: {type(error).__name__}") from error
    if not isinstance(notebook, dict):
        raise NotebookError("no object")
    language = _language(notebook.get("metadata"))
    mark = _COMMENT.get(language, "//")
    parts = [
        f"{mark} %% [{number}]\n{without_magics(source) if language == 'python' else source}"
        for number, source in enumerate(_sources(notebook), start=1)
    ]
    return Notebook(language, "\n".join(parts))


def _sources(notebook: dict[str, Any]) -> list[str]:
    sheets = notebook.get("worksheets", [notebook])
    if not isinstance(sheets, list) or not all(isinstance(sheet, dict) for sheet in sheets):
        raise NotebookError("its worksheets are no list of objects")
    cells = [sheet.get("cells", []) for sheet in sheets]
    if not all(isinstance(sheet_cells, list) for sheet_cells in cells):
        raise NotebookError("its cells are no list")
    code = [
        cell.get("source", cell.get("input", ""))
        for sheet_cells in cells
        for cell in sheet_cells
        if isinstance(cell, dict) and cell.get("cell_type") == "code"
    ]
    texts = ["".join(map(str, text)) if isinstance(text, list) else str(text) for text in code]
    return [_encodable(text).rstrip("\n") + "\n" for text in texts if text.strip()]


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _language(metadata: Any) -> str:
    facts = metadata if isinstance(metadata, dict) else {}
    declared = [
        block.get(key)
        for block, key in (
            (facts.get("language_info"), "name"),
            (facts.get("kernelspec"), "language"),
            (facts.get("kernelspec"), "name"),
        )
        if isinstance(block, dict)
    ]
    name = next((word for word in declared if isinstance(word, str) and word), "python").lower()
    matches = (language for language, form in _KERNELS.items() if re.fullmatch(form, name[:40]))
    return next(matches, name[:40])
