"""Files that a Python function may leave open, and the ``with`` statement that closes them."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cortex_pipelines.answers.unit import python_tree

_READERS = frozenset({"load", "dump", "safe_load", "list", "sorted", "sum", "len"})
"""Functions that do not keep a file after they return."""


@dataclass(frozen=True)
class OpenFile:
    """A file that is opened on a line, counted from 1; ``code`` opens it by ``with``, None where that is not safe."""

    line: int
    name: str
    code: str | None


def open_files(code: str) -> list[OpenFile]:
    """Assignments of ``open()`` whose file does not escape; empty for code that does not parse."""
    tree, files = python_tree(code), []
    for node in ast.walk(tree) if tree is not None else ():
        for block in (getattr(node, field, None) for field in ("body", "orelse", "finalbody")):
            if isinstance(block, list):
                files += [file for index in range(len(block)) if (file := _open_file_at(block, index, code))]
    return sorted(files, key=lambda file: file.line)


def _open_file_at(block: Sequence[ast.stmt], index: int, code: str) -> OpenFile | None:
    statement = block[index]
    if not (isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call)):
        return None
    target, function = statement.targets[0], statement.value.func
    if len(statement.targets) != 1 or not isinstance(target, ast.Name):
        return None
    if not (isinstance(function, ast.Name) and function.id == "open"):
        return None
    following = block[index + 1 :]
    using = [offset for offset, each in enumerate(following) if any(_references(each, target.id))]
    if not using or not all(_is_brief(use, each) for each in following for use in _references(each, target.id)):
        return None
    inside = following[: using[-1] + 1]
    if any(_closes(each, target.id) for block in inside if isinstance(block, ast.Try) for each in block.finalbody):
        return None
    return OpenFile(statement.lineno, target.id, _with_statement(statement, inside, target.id, code))


def _references(node: ast.AST, name: str) -> Iterator[ast.Name]:
    return (each for each in ast.walk(node) if isinstance(each, ast.Name) and each.id == name)


def _is_brief(use: ast.Name, statement: ast.stmt) -> bool:
    """Whether the file is read or written in place, so that nothing holds it later."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute) and node.value is use:
            return True
        if isinstance(node, ast.For) and node.iter is use:
            return True
        if isinstance(node, ast.Call) and use in node.args:
            function = node.func
            return (function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")) in _READERS
    return False


def _closes(statement: ast.stmt, name: str) -> bool:
    return ast.unparse(statement) == f"{name}.close()"


def _with_statement(opened: ast.Assign, inside: Sequence[ast.stmt], name: str, code: str) -> str | None:
    lines = code.splitlines()
    last = inside[-1].end_lineno or inside[-1].lineno
    body = lines[opened.lineno : last]
    if opened.end_lineno != opened.lineno or lines[opened.lineno - 1].count(";") or any('"""' in line for line in body):
        return None
    closing = [each.lineno for each in inside if _closes(each, name)]
    block = [line for number, line in enumerate(body, opened.lineno + 1) if number not in closing]
    if any(not _closes(each, name) and ".close()" in ast.unparse(each) for each in inside) or not block:
        return None
    first = lines[opened.lineno - 1]
    margin = first[: len(first) - len(first.lstrip())]
    step = "\t" if margin.startswith("\t") else "    "
    head = f"{margin}with {ast.get_source_segment(code, opened.value)} as {name}:"
    changed = [*lines[: opened.lineno - 1], head, *(step + line if line else line for line in block), *lines[last:]]
    return "\n".join(changed) + ("\n" if code.endswith("\n") else "")
