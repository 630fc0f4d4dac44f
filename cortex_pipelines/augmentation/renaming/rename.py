"""Rename the local variables of a unit without changing its behaviour."""

import ast
import dis
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

from cortex_pipelines.augmentation.node_table import split_words
from cortex_pipelines.augmentation.python_code import compiled, header_for
from cortex_pipelines.augmentation.renaming.block_scopes import block_locals
from cortex_pipelines.augmentation.renaming.python_scopes import LocalVariable, python_locals
from cortex_pipelines.augmentation.seeding import choose
from cortex_pipelines.augmentation.snippets import Snippet, parse_unit

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


# Names that a person could give to anything, reserved in none of the six languages; none beside
# which a text looks like a secret.
_FIRST = sorted(split_words("current given inner known last local main new next other prior raw shown single whole"))
_SECOND = sorted(
    split_words(
        "amount batch bound buffer cell chunk datum detail element entry group handle index item "
        "label level mark member node note offset pair part piece place point portion record "
        "sample segment slot span state step target unit value"
    )
)
_WORD = re.compile(r"\w+")
_SNAKE = ("python", "rust")


@dataclass(frozen=True)
class RenamedUnit:
    """A unit with renamed variables.

    Args:
        code: The code with the new names.
        renames: Old and new name of each variable, in source order.
    """

    code: str
    renames: tuple[tuple[str, str], ...]


def local_variables(code: str, language: str, kind: str, path: str = "") -> list[LocalVariable]:
    snippet = parse_unit(code.encode(), language, kind, path)
    return [] if snippet is None else _locals_of(snippet, kind)


def rename_locals(code: str, language: str, kind: str, path: str, *seed: object) -> RenamedUnit | None:
    """None if nothing can safely be renamed."""
    snippet = parse_unit(code.encode(), language, kind, path)
    variables = [] if snippet is None else _locals_of(snippet, kind)
    if snippet is None or not variables:
        return None
    # A new name that stands nowhere in the unit, not even in a comment, can capture nothing.
    used_names = set(_WORD.findall(code))
    renames = []
    for variable in variables:
        new = next(name for name in _candidates(variable.name, language, seed) if name not in used_names)
        used_names.add(new)
        renames.append((variable, new))
    changed = apply_renames(snippet.code, renames)
    if not _is_sound(snippet, changed):
        return None
    return RenamedUnit(changed.decode(), tuple((variable.name, new) for variable, new in renames))


def apply_renames(code: bytes, renames: list[tuple[LocalVariable, str]]) -> bytes:
    replacements = sorted((span, new.encode()) for variable, new in renames for span in variable.places)
    parts, copied_end = [], 0
    for (start, end), new in replacements:
        parts += [code[copied_end:start], new]
        copied_end = end
    return b"".join([*parts, code[copied_end:]])


def _locals_of(snippet: Snippet, kind: str) -> list[LocalVariable]:
    if kind not in ("function", "method"):
        return []
    find = python_locals if snippet.language == "python" else block_locals
    return sorted(find(snippet), key=lambda variable: variable.places)


def _candidates(old: str, language: str, seed: tuple[object, ...]) -> Iterator[str]:
    for attempt in range(1000):
        words = [choose(_SECOND, *seed, old, attempt, "second")]
        if attempt >= 3 or "_" in old.strip("_") or any(c.isupper() for c in old[1:]):
            words.insert(0, choose(_FIRST, *seed, old, attempt, "first"))
        if attempt >= 100:
            words.append(f"n{attempt}")
        yield _styled(words, old, language)


def _styled(words: list[str], old: str, language: str) -> str:
    if old.isupper() and len(old) > 1:
        return "_".join(words).upper()
    if language in _SNAKE:
        return "_".join(words)
    return words[0] + "".join(word.capitalize() for word in words[1:])


def _is_sound(snippet: Snippet, changed: bytes) -> bool:
    other = snippet.with_code(changed)
    kinds = [kind for kind, _ in snippet.tokens]
    if other.errors or kinds != [kind for kind, _ in other.tokens]:
        return False
    if snippet.language != "python":
        return True
    header = header_for(list(snippet.nodes()), snippet.prefix)
    try:
        check_equivalent((header + snippet.code).decode(), (header + changed).decode())
    except NotEquivalentError:
        return False
    return True
