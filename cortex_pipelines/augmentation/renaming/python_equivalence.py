"""Check that two Python functions differ only in the names of local variables.

Independent of the analysis that chose the renames: Python's own compiler decides what is local, and
the bytecode of both must agree instruction by instruction.
"""

import ast
import dis
import warnings
from collections import Counter
from types import CodeType

from cortex_pipelines.augmentation.python_code import compiled

_OF_LOCALS = frozenset({*dis.haslocal, *dis.hasfree})
# The compiler sorts these by the variable's name, so their order says nothing.
_SORTED_BY_NAME = frozenset({"MAKE_CELL", "LOAD_CLOSURE"})


class NotEquivalentError(ValueError):
    pass


def check_equivalent(original: str, renamed: str) -> None:
    codes = [compiled(text.encode()) for text in (original, renamed)]
    if codes[0] is not None and codes[1] is not None and _plainly_equal(codes[0], codes[1]):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        try:
            before, after = ast.parse(original), ast.parse(renamed)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise NotEquivalentError(f"does not parse: {error}") from error
    if codes[0] is None or codes[1] is None:
        raise NotEquivalentError("does not compile")
    if _shape(before) != _shape(after):
        raise NotEquivalentError("the syntax trees differ in more than names")
    _compare(codes[0], codes[1], {})


def _plainly_equal(before: CodeType, after: CodeType) -> bool:
    """True for most functions, whose variables are numbered by appearance; with closures they are sorted by name."""
    if before.co_code != after.co_code or _signature(before) != _signature(after):
        return False
    if before.co_cellvars or after.co_cellvars or before.co_freevars or after.co_freevars:
        return False
    if len(set(after.co_varnames)) != len(before.co_varnames):
        return False
    if len(before.co_consts) != len(after.co_consts):
        return False
    return all(
        _plainly_equal(old, new)
        if isinstance(old, CodeType) and isinstance(new, CodeType)
        else _constant(old) == _constant(new)
        for old, new in zip(before.co_consts, after.co_consts, strict=True)
    )


def _shape(tree: ast.Module) -> list[str]:
    shape = []
    for node in ast.walk(tree):
        shape.append(type(node).__name__)
        if isinstance(node, ast.Constant):
            shape.append(repr(node.value))
        elif isinstance(node, ast.Attribute):
            shape.append(node.attr)
        elif isinstance(node, ast.keyword | ast.arg):
            shape.append(str(node.arg))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            shape.append(node.name)
        elif isinstance(node, ast.Global):
            shape.extend(node.names)
    return shape


def _signature(code: CodeType) -> tuple[object, ...]:
    arguments = code.co_argcount + code.co_kwonlyargcount
    return (
        code.co_qualname,
        code.co_flags,
        code.co_names,
        code.co_varnames[:arguments],
        code.co_exceptiontable,
        len(code.co_varnames),
    )


def _constant(value: object) -> str:
    """Text of a constant that distinguishes 1 from True and ignores set order."""
    if isinstance(value, frozenset):
        return "{" + ", ".join(sorted(_constant(item) for item in value)) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(_constant(item) for item in value) + ",)"
    return repr(value)


def _compare(before: CodeType, after: CodeType, outer: dict[str, str]) -> None:
    """Check that two code objects are equal up to a one-to-one renaming; ``outer`` are those of the function around."""
    qualified_name = before.co_qualname
    old, new = list(dis.get_instructions(before)), list(dis.get_instructions(after))
    if _signature(before) != _signature(after) or len(old) != len(new):
        raise NotEquivalentError(f"{qualified_name}: arguments, variables or outer names differ")
    renames = {name: outer[name] for name in before.co_freevars if name in outer}
    renames.update(zip(before.co_varnames, after.co_varnames, strict=True))
    for step_before, step_after in zip(old, new, strict=True):
        if not _same_step(step_before, step_after, renames):
            raise NotEquivalentError(
                f"{qualified_name}: {step_before.opname} {step_before.argval} became {step_after.argval}"
            )
    for before_code, after_code in zip(_inner(before), _inner(after), strict=True):
        _compare(before_code, after_code, renames)
    shared = Counter((op, renames.get(name, name)) for op, name in _closures(old))
    if len(set(renames.values())) != len(renames) or shared != Counter(_closures(new)):
        raise NotEquivalentError(f"{qualified_name}: two variables were merged, or closures share different ones")
    for name in before.co_freevars:
        # What a closure calls its variable, the function around it must call it too.
        if outer.setdefault(name, renames.get(name, name)) != renames.get(name, name):
            raise NotEquivalentError(f"{qualified_name}: {name} is a different variable in a closure")


def _same_step(before: dis.Instruction, after: dis.Instruction, renames: dict[str, str]) -> bool:
    if before.opname != after.opname:
        return False
    if before.opname in _SORTED_BY_NAME or isinstance(before.argval, CodeType):
        return True
    if before.opcode in _OF_LOCALS:
        return bool(renames.setdefault(before.argval, after.argval) == after.argval)
    return _constant(before.argval) == _constant(after.argval)


def _inner(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _closures(steps: list[dis.Instruction]) -> list[tuple[str, str]]:
    return [(step.opname, step.argval) for step in steps if step.opname in _SORTED_BY_NAME]
