"""Documentation and declarations of code units, added to the facts."""

from collections.abc import Mapping

import polars as pl

from cortex_pipelines.extraction.architecture.resolvers.index import INTERNAL, ImportTarget

_DECLARED = ("function", "class", "struct", "trait", "interface", "enum")
_MAX_DECLARED = 40
UNIT_COLUMNS = (*("path", "kind", "name", "qualified_name", "start_line", "docstring"), *("start_byte", "end_byte"))
"""Columns of CODE_UNITS that the documentation is read from."""


class UnitDocstrings:
    """Documentation of the units of one source, by path and name."""

    def __init__(self, units: pl.DataFrame) -> None:
        self._documented: dict[tuple[str, str], tuple[int, str]] = {}
        self._declared: dict[str, dict[str, None]] = {}
        ordered_units = units.select(UNIT_COLUMNS).sort(
            "path", "start_byte", "end_byte", descending=[False, False, True]
        )
        for path, kind, name, qualified, line, docstring in ordered_units.select(
            "path", "kind", "name", "qualified_name", "start_line", "docstring"
        ).iter_rows():
            if docstring and kind != "import":
                self._documented.setdefault((path, qualified), (line, docstring))
                self._documented.setdefault((path, name), (line, docstring))
            if kind in _DECLARED and name == qualified:
                self._declared.setdefault(path, {}).setdefault(name)

    def declared(self, path: str) -> list[str]:
        """Top-level functions and types of a file that are not private by name, in order."""
        names = [name for name in self._declared.get(path, ()) if not name.startswith("_")]
        return names[:_MAX_DECLARED]

    def docstring_at(self, path: str, subject: str, line: int) -> str | None:
        documented = self._documented.get((path, subject))
        return documented[1] if documented and documented[0] == line else None

    def handler_docstring(self, path: str, handler: str, imports: Mapping[str, list[ImportTarget]]) -> str | None:
        """Documentation of a handler: in its file, or where an import finds it."""
        local = self._documented.get((path, handler))
        if local:
            return local[1]
        words = handler.replace("::", ".").split(".")
        for target in imports.get(path, ()):
            if target.scope == INTERNAL and target.local == words[0]:
                name = words[-1] if len(words) > 1 else target.name or target.local
                documented = self._documented.get((target.object, name))
                return documented[1] if documented else None
        return None
