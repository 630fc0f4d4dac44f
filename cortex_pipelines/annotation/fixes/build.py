"""Mechanical fixes of code smells in a unit.

Only fixes that need no understanding of the program are made, and each is verified: the new code parses, differs, and
has one smell less and no new one.
"""

import ast
import textwrap
from collections import Counter
from dataclasses import dataclass

from tree_sitter import Tree

from cortex_pipelines.annotation.detector import Evidence
from cortex_pipelines.annotation.evidence import FileReading
from cortex_pipelines.annotation.fixes.fixer import Fixer, NotFixableError, SmellInstance, applied
from cortex_pipelines.annotation.fixes.fixers import blocks, python
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.syntax.grammars import Grammar, grammar_for, parse

_FIXERS: dict[str, tuple[Fixer, str]] = {**blocks.FIXERS, **python.FIXERS}
# What has to stand around a unit for it to be a file: nothing, or the type that its method is in.
_FRAMES = {
    "python": ((b"", b""),),
    "javascript": ((b"", b""), (b"class A {\n", b"\n}")),
    "typescript": ((b"", b""), (b"class A {\n", b"\n}")),
    "java": ((b"", b""), (b"class A {\n", b"\n}")),
    "go": ((b"package a\n", b"\n"),),
    "rust": ((b"", b""), (b"impl A {\n", b"\n}")),
}


@dataclass(frozen=True)
class SmellFix:
    smell: str  # label of the smell, as in `UNIT_FINDINGS`
    purpose: str  # one of `schemas.PURPOSES`
    before: str  # code of the unit with the smell
    after: str
    explanation: str  # what was wrong and what was done, in two sentences


def smell_fixes(code: str, language: str, path: str = "") -> list[SmellFix]:
    """Fixes of a unit's smells, one each, in source order.

    Returns verified fixes; none for code with syntax errors.
    """
    grammar = grammar_for(language, path)
    for before, after in _FRAMES[grammar.language]:
        data, frame = before + code.encode(errors="replace") + after, (len(before), len(after))
        tree = parse(data, grammar)
        if not tree.root_node.has_error:
            break
    else:
        return []
    smells = _evidence(tree, data, grammar)
    fixes = []
    for evidence in smells:
        fix = _fix(evidence, data, frame, tree, grammar)
        if fix is not None and _is_verified(evidence, smells, fix, grammar):
            label = LABELS[evidence.label]
            says = f"{label.explanation} {_FIXERS[evidence.label][1]}"
            fixed = fix[frame[0] : len(fix) - frame[1]].decode(errors="replace")
            fixes.append(SmellFix(evidence.label, str(label.purpose), code, fixed, says))
    return fixes


def _evidence(tree: Tree, data: bytes, grammar: Grammar) -> list[Evidence]:
    no_limits = AnnotationSettings.model_construct()
    reading = FileReading(tree, data, grammar, (), no_limits, frozenset(_FIXERS))
    return [evidence for evidence in reading.evidence if evidence.label in _FIXERS]


def _fix(evidence: Evidence, data: bytes, frame: tuple[int, int], tree: Tree, grammar: Grammar) -> bytes | None:
    if evidence.label in python.FIXERS and grammar.language != "python":
        return None
    try:
        edits = _FIXERS[evidence.label][0](SmellInstance(data, grammar.language, tree, evidence))
    except NotFixableError:
        return None
    inside = all(frame[0] <= start <= end <= len(data) - frame[1] for start, end, _ in edits)
    return applied(data, edits) if edits and inside else None


def _is_verified(evidence: Evidence, smells: list[Evidence], fixed: bytes, grammar: Grammar) -> bool:
    tree = parse(fixed, grammar)
    if tree.root_node.has_error:
        return False
    if grammar.language == "python":
        try:
            ast.parse(textwrap.dedent(fixed.decode()))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    before = Counter(smell.label for smell in smells)
    after = Counter(smell.label for smell in _evidence(tree, fixed, grammar))
    # what contained the smell may go with it, but nothing may come
    return after[evidence.label] < before[evidence.label] and all(after[label] <= before[label] for label in after)
