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
from cortex_pipelines.annotation.evidence import read_file
from cortex_pipelines.annotation.fixes.fixer import NotFixableError, SmellInstance, applied
from cortex_pipelines.annotation.fixes.fixers import FIXERS, PYTHON_FIXERS
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.syntax.grammars import Grammar, grammar_for, parse

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
        data = before + code.encode(errors="replace") + after
        tree = parse(data, grammar)
        if not tree.root_node.has_error:
            break
    else:
        return []
    unit_start, unit_end = len(before), len(data) - len(after)
    smells = _evidence(tree, data, grammar)
    fixes = []
    for evidence in smells:
        fixer, remedy = FIXERS[evidence.label]
        if evidence.label in PYTHON_FIXERS and grammar.language != "python":
            continue
        try:
            edits = fixer(SmellInstance(data, grammar.language, tree, evidence))
        except NotFixableError:
            continue
        if not edits or not all(unit_start <= start <= end <= unit_end for start, end, _ in edits):
            continue
        fixed = applied(data, edits)
        if _is_verified(evidence, smells, fixed, grammar):
            label = LABELS[evidence.label]
            unit = fixed[unit_start : len(fixed) - len(after)].decode(errors="replace")
            explanation = f"{label.explanation} {remedy}"
            fixes.append(SmellFix(evidence.label, str(label.purpose), code, unit, explanation))
    return fixes


def _evidence(tree: Tree, data: bytes, grammar: Grammar) -> list[Evidence]:
    no_limits = AnnotationSettings.model_construct()
    evidence, _ = read_file(tree, data, grammar, (), no_limits, frozenset(FIXERS))
    return [item for item in evidence if item.label in FIXERS]


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
