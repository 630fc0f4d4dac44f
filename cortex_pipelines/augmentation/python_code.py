"""Compile Python code and compare code objects."""

import ast
import warnings
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from types import CodeType
from typing import Any

from tree_sitter import Node

from cortex_pipelines.augmentation.snippets import text_of


def compiled(source: bytes) -> CodeType | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return compile(source, "unit", "exec", dont_inherit=True, optimize=0)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
            return None


def same_tree(first: ast.AST, second: ast.AST) -> bool:
    """Whether two trees differ at most in positions; faster than to compare dumps, and as deep as they go."""
    pending: list[tuple[Any, Any]] = [(first, second)]
    while pending:
        one, other = pending.pop()
        if one is other:
            continue
        if type(one) is not type(other):
            return False
        if isinstance(one, ast.AST):
            pending += [(getattr(one, name, None), getattr(other, name, None)) for name in one._fields]
        elif isinstance(one, list):
            if len(one) != len(other):
                return False
            pending += zip(one, other, strict=True)
        elif one != other:
            return False
    return True


def header_for(nodes: list[Node], prefix: bytes) -> bytes:
    """Code that must precede a unit, such as an enclosing function for ``nonlocal`` names."""
    outside = sorted(
        {text_of(name) for node in nodes if node.type == "nonlocal_statement" for name in node.named_children}
    )
    if not outside:
        return prefix
    indent = prefix.rpartition(b"\n")[2] or b" "
    return f"def around({', '.join(outside)}):\n".encode() + indent


@dataclass
class PythonUnit:
    code: bytes
    header: bytes

    @cached_property
    def original(self) -> CodeType | None:
        return compiled(self.header + self.code)

    def does_something_else(self, changed: bytes) -> bool | None:
        """Trivial compiler equivalence (Papadakis and others, 2015): equal byte code does the same. None if unknown."""
        if self.original is None:
            return None
        other = compiled(self.header + changed)
        return other is not None and not same_code(self.original, other)


_NAMES = attrgetter(
    *("co_name", "co_flags", "co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_names", "co_varnames"),
    *("co_freevars", "co_cellvars", "co_exceptiontable"),
)


def same_code(first: CodeType, second: CodeType) -> bool:
    if first.co_code != second.co_code or _NAMES(first) != _NAMES(second):
        return False
    if len(first.co_consts) != len(second.co_consts):
        return False
    return all(map(_same_constant, first.co_consts, second.co_consts))


def _same_constant(first: object, second: object) -> bool:
    if isinstance(first, CodeType) and isinstance(second, CodeType):
        return same_code(first, second)
    if isinstance(first, tuple) and isinstance(second, tuple) and len(first) == len(second):
        return all(map(_same_constant, first, second))
    # 1, 1.0 and True are equal, -0.0 and 0.0 too
    return type(first) is type(second) and first == second and (first != 0 or repr(first) == repr(second))
