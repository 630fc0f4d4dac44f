"""Assets read from the source of their declarations, so that nobody waits for rooms that are not used.

Importing all assets loads numpy, polars, scipy and tree-sitter; most commands only need names, partitions and
dependencies, which the decorator and the signature say.
"""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from cortex_pipelines.versioning.asset import VersionedAsset

_PACKAGE = __name__.partition(".")[0]
_FOLDER = Path(__file__).parents[1]


@dataclass(frozen=True, eq=False)
class DeclaredAsset(VersionedAsset):
    """An asset whose module is imported only for its function or its tables."""

    def __init__(self, module: str, function: ast.FunctionDef) -> None:
        (decorator,) = (node for node in function.decorator_list if isinstance(node, ast.Call))
        values = {field.name: field.default for field in fields(VersionedAsset) if field.default is not MISSING}
        for keyword in decorator.keywords:
            if isinstance(keyword.value, ast.Constant):
                values[str(keyword.arg)] = keyword.value.value
            else:  # a named constant comes with the module
                values.pop(str(keyword.arg), None)
        values |= {"name": function.name, "room": module.partition(".")[0]}
        for name, value in values.items():
            object.__setattr__(self, name, value)
        arguments = function.args
        names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        object.__setattr__(self, "_module", f"{_PACKAGE}.{module}")
        object.__setattr__(self, "_parameters", tuple(names))
        object.__setattr__(self, "_description", inspect.cleandoc(ast.get_docstring(function) or ""))

    def __getattribute__(self, attribute: str) -> Any:
        if attribute in _FIELDS and attribute not in object.__getattribute__(self, "__dict__"):
            declaration = getattr(import_module(self._module), self.name)
            for name in _FIELDS:
                object.__setattr__(self, name, getattr(declaration, name))
        return object.__getattribute__(self, attribute)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VersionedAsset) and (self.name, self.room) == (other.name, other.room)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"DeclaredAsset({self.name})"

    @cached_property
    def code(self) -> tuple[str, ...]:
        from cortex_pipelines.versioning.code import files_of

        return files_of(self._module, self.name)

    @cached_property
    def packages(self) -> tuple[str, ...]:
        from cortex_pipelines.versioning.code import packages_of

        return packages_of(self._module, self.name)

    @property
    def parameters(self) -> tuple[str, ...]:
        return self._parameters  # type: ignore[no-any-return]

    @property
    def description(self) -> str:
        return self._description  # type: ignore[no-any-return]


_FIELDS = frozenset(field.name for field in fields(VersionedAsset))


def declared(module: str, *names: str) -> Iterator[DeclaredAsset]:
    """The assets of these names in a module, such as ``extraction.assets``; LookupError if one is not in it."""
    functions = _functions(module)
    for name in names:
        if name not in functions:
            raise LookupError(f"{_PACKAGE}.{module} declares no asset {name}")
        yield DeclaredAsset(module, functions[name])


@cache
def _functions(module: str) -> dict[str, ast.FunctionDef]:
    source = _FOLDER.joinpath(*module.split(".")).with_suffix(".py")
    tree = ast.parse(source.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list}
