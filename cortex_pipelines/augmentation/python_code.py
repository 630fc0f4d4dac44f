"""Compile Python code and compare code objects."""

import warnings
from functools import cached_property
from types import CodeType

from tree_sitter import Node

from cortex_pipelines.augmentation.snippets import text_of


def compiled(source: bytes) -> CodeType | None:
    """Code object of a source, or None if it does not compile; nothing is run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return compile(source, "unit", "exec", dont_inherit=True, optimize=0)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
            return None


def header_for(nodes: list[Node], prefix: bytes) -> bytes:
    """Code that must precede a unit, such as an enclosing function for ``nonlocal`` names.

    Args:
        nodes: Nodes of the unit.
        prefix: What its parse needs before it (an ``if`` that takes its indentation).
    """
    outside = sorted(
        {
            text_of(name)
            for node in nodes
            if node.type == "nonlocal_statement"
            for name in node.named_children
        }
    )
    if not outside:
        return prefix
    indent = prefix.rpartition(b"\n")[2] or b" "
    return f"def around({', '.join(outside)}):\n".encode() + indent


class PythonUnit:
    """A compiled Python unit, to compare with changed versions.

    Args:
        code: The unit.
        header: What has to stand before it.
    """

    def __init__(self, code: bytes, header: bytes) -> None:
        self._code = code
        self._header = header

    @cached_property
    def original(self) -> CodeType | None:
        """Code object of the original unit, or None if it does not compile."""
        return compiled(self._header + self._code)

    def does_something_else(self, changed: bytes) -> bool | None:
        """Whether a changed version compiles to different instructions.

        Trivial compiler equivalence (Papadakis and others, 2015): what compiles to the same code
        does the same. None where the original does not compile, so nothing can be said.
        """
        if self.original is None:
            return None
        other = compiled(self._header + changed)
        return other is not None and not same_code(self.original, other)


def same_code(left: CodeType, right: CodeType) -> bool:
    """Whether two code objects are equal except for line numbers."""
    if left.co_code != right.co_code or _names(left) != _names(right):
        return False
    if len(left.co_consts) != len(right.co_consts):
        return False
    return all(map(_same_constant, left.co_consts, right.co_consts))


def _names(code: CodeType) -> tuple[object, ...]:
    return (
        code.co_name,
        code.co_flags,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        code.co_exceptiontable,
    )


def _same_constant(left: object, right: object) -> bool:
    if isinstance(left, CodeType) and isinstance(right, CodeType):
        return same_code(left, right)
    if isinstance(left, tuple) and isinstance(right, tuple) and len(left) == len(right):
        return all(map(_same_constant, left, right))
    # 1, 1.0 and True are equal, -0.0 and 0.0 too
    return type(left) is type(right) and left == right and (left != 0 or repr(left) == repr(right))
