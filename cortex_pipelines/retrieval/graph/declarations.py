"""What the files of a source declare beside their units: imports, variables, fields, exports, results of functions."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cortex_pipelines.ingestion.entries import folders_of
from cortex_pipelines.retrieval.graph.imports import ImportBinding, Targets, bind_imports
from cortex_pipelines.retrieval.graph.names import SymbolTable
from cortex_pipelines.retrieval.graph.references import (
    CALLED,
    DECORATOR,
    DEFAULT,
    FIELD,
    IMPORTED,
    RESULT,
    VARIABLE,
    YIELD,
    Reference,
)

_PROPERTIES = frozenset({"property", "cached_property", "abstractproperty", "hybrid_property"})
_SECONDARY = frozenset({"overload", "setter", "deleter"})
_GETTER = re.compile(r"(^|\s)get\s+[\w$#]+\s*\(")
_NOTHING = frozenset({"None", "null", "undefined"})


class Declarations:
    """The declarations of a source; a variable, field or result is known by the expressions that it may stand for.

    ``variables`` are by path, unit (-1: of none) and name, ``fields`` by the type that has them, ``results`` by
    unit and ``RESULT`` or ``YIELD``, ``exports`` by path and name, ``stars`` the modules all of whose names a file
    imports, ``properties`` the numbers of getters, ``dispatched`` implementations registered for a function.
    """

    def __init__(
        self,
        symbols: SymbolTable,
        references: Mapping[str, Sequence[Reference]],
        targets: Targets,
        paths: frozenset[str],
    ) -> None:
        self._symbols = symbols
        self.bindings: dict[str, dict[str, ImportBinding]] = {}
        self.stars: dict[str, list[ImportBinding]] = {}
        self.variables: dict[tuple[str, int], dict[str, list[str]]] = {}
        self.fields: dict[int, dict[str, list[str]]] = {}
        self.properties = {
            number
            for number, unit in enumerate(symbols.units)
            if unit.family == "javascript" and unit.kind == "method" and _GETTER.search(unit.signature)
        }
        self.dispatched: list[tuple[int, Reference]] = []
        self.exports: dict[tuple[str, str], str] = {}
        self.results: dict[int, dict[str, list[str]]] = {}
        self._fixtures: dict[tuple[str, str], int] = {}
        for path, inside in references.items():
            imports = [reference for reference in inside if reference.kind == IMPORTED]
            family = symbols.families[path]
            self.bindings[path], self.stars[path] = bind_imports(path, family, imports, targets, paths)
            self._declare(path, inside)

    def _declare(self, path: str, references: Sequence[Reference]) -> None:
        for reference in references:  # decorators first: definitions are looked up by them
            number = self._symbols.unit_at(path, reference.byte) if reference.kind == DECORATOR else -1
            if number < 0:
                continue
            if reference.name in _PROPERTIES:
                self.properties.add(number)
            elif reference.name in _SECONDARY:
                self._symbols.secondary.add(number)
            elif reference.name == "fixture":
                self._fixtures[path, self._symbols.units[number].name] = number
            elif reference.name == "register" and reference.about:
                self.dispatched.append((number, reference))
        for reference in references:
            if reference.kind == DEFAULT:
                self.exports[path, reference.name or "default"] = reference.about
            if reference.kind not in (VARIABLE, FIELD, RESULT, YIELD):
                continue
            enclosing_unit = self._symbols.unit_at(path, reference.byte)
            if reference.kind in (RESULT, YIELD):
                if reference.about not in _NOTHING:
                    _add(self.results, enclosing_unit, reference.kind, reference.about)
                continue
            owner = self._symbols.enclosing_type(enclosing_unit)
            in_type = enclosing_unit >= 0 and self._symbols.units[enclosing_unit].is_type
            if reference.kind == VARIABLE:
                _add(self.variables, (path, enclosing_unit), reference.name, reference.about)
            if owner >= 0 and (reference.kind == FIELD or in_type):
                _add(self.fields, owner, reference.name, reference.about)

    def scope_outside(self, expression: str, path: str, enclosing_unit: int) -> int | None:
        """The scope around a variable that is made of what it hides, as ``view := view.New()``; None for another."""
        name = _first_name(expression)
        for unit in self._symbols.enclosing_units(enclosing_unit):
            declared = self.variables.get((path, unit), {}).get(name)
            if declared is not None:
                return self._symbols.parents[unit] if is_of_hidden(name, declared) else None
        return None

    def fixture(self, path: str, name: str) -> int:
        """The fixture of pytest that a parameter of a test is named after; -1 for none."""
        places = [path, *(f"{folder}/conftest.py" for folder in folders_of(path)), "conftest.py"]
        return next((self._fixtures[place, name] for place in places if (place, name) in self._fixtures), -1)


def _add(declared: dict[Any, dict[str, list[str]]], owner: Any, name: str, expression: str) -> None:
    declared.setdefault(owner, {}).setdefault(name, []).append(expression)


def _first_name(expression: str) -> str:
    return expression.partition(".")[0].removesuffix(CALLED)


def is_of_hidden(name: str, declared: Sequence[str]) -> bool:
    """Whether a variable is made of what has its name outside of its scope."""
    return all(_first_name(expression) == name for expression in declared)
