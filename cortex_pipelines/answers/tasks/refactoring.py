"""Refactor code: fix its smells by rule, or have the model do what is requested."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cortex_pipelines.annotation.fixes.build import SmellFix, smell_fixes
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.answers.answer import SOURCE_NAMES, Candidate, Check, Means, Task
from cortex_pipelines.answers.question import Question
from cortex_pipelines.answers.unit import CodeUnit, UnitError, parse_code, python_tree
from cortex_pipelines.config import Parameters
from cortex_pipelines.datasets.unit_text import LINE_COMMENTS
from cortex_pipelines.prompts.examples import StopRule

OPEN_FILE, OPEN_FILE_BELIEF = "open-file", 0.9
"""Name and expected precision of the remark on a file that is opened without ``with``."""

_MOST_FIXES = 20
"""Each removes one smell; no real function has more that a rule fixes."""


def prompt(question: Question, _: Parameters) -> tuple[Mapping[str, str], StopRule]:
    context = question.context
    values = {
        "given": question.text.rstrip(),
        "path": context.path,
        "comment": LINE_COMMENTS[question.language],
        "smell": context.smell,
        "request": context.request,
    }
    return values, "unit" if question.language == "python" else "braced_unit"


def apply_rule_fixes(unit: CodeUnit, smell: str = "") -> tuple[str, list[SmellFix]]:
    """Code with its smells, or one of them, fixed by rule, and the applied fixes."""
    code, applied = unit.code, list[SmellFix]()
    while len(applied) < _MOST_FIXES:
        every = [*smell_fixes(code, unit.language, unit.path), *_open_file_fixes(code, unit.language)]
        fixes = [fix for fix in every if not smell or fix.smell == smell]
        if not fixes:
            break
        code = fixes[0].after
        applied.append(fixes[0])
    return code, applied


def _open_file_fixes(code: str, language: str) -> Iterator[SmellFix]:
    for file in open_files(code) if language == "python" else ():
        if file.code is not None:
            yield SmellFix(OPEN_FILE, "smell", code, file.code, "It is closed when the block ends, by an error too.")


def candidates(question: Question, means: Means) -> Iterator[Candidate]:
    unit, context = question.code, question.context
    smell = context.smell.strip().lower().replace(" ", "-").replace("_", "-")
    if not context.request:
        code, applied = apply_rule_fixes(unit, smell)
        if applied:
            beliefs = [LABELS[fix.smell].belief if fix.smell in LABELS else OPEN_FILE_BELIEF for fix in applied]
            yield Candidate(unit.with_margin(code), "analyser", min(beliefs))
            return
    if context.request or context.smell:
        values, extent = prompt(question, means.parameters)
        for generated in means.write(values, extent, sampled=1):
            yield Candidate(generated.text, "model", generated.score)


def checks(question: Question, means: Means) -> Sequence[Check]:
    before = question.code

    def parsed(result: str) -> CodeUnit:
        return parse_code(result, before.language, before.path)

    def parses(candidate: Candidate) -> str | None:
        try:
            parsed(candidate.result)
        except UnitError as error:
            return f"what {SOURCE_NAMES[candidate.source]} wrote {error}"
        return None

    def changed(candidate: Candidate) -> str | None:
        is_unchanged = parsed(candidate.result).snippet.tokens == before.snippet.tokens
        return f"{SOURCE_NAMES[candidate.source]} gave the code back unchanged" if is_unchanged else None

    def keeps_signature(candidate: Candidate) -> str | None:
        if parsed(candidate.result).signatures[: len(before.signatures)] != before.signatures:
            return f"what {SOURCE_NAMES[candidate.source]} wrote has another name or other parameters"
        return None

    def keeps_effects(candidate: Candidate) -> str | None:
        if candidate.source == "analyser":
            return None  # each fix was verified by its rule
        after = parsed(candidate.result).effects
        if lost := sorted((before.effects - after) + (after - before.effects)):
            difference = ", ".join(lost[:3])
            return f"what {SOURCE_NAMES[candidate.source]} wrote calls, returns or names something else: {difference}"
        return None

    return [
        Check("parses", parses),
        Check("changed", changed),
        Check("keeps signature", keeps_signature),
        Check("keeps effects", keeps_effects),
    ]


TASK = Task(
    candidates,
    checks,
    prompt,
    "no smell in it can be fixed by rule; say what to do in context.request or context.smell",
)


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
