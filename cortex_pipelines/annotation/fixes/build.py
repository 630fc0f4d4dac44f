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
from cortex_pipelines.annotation.fixes.fixer import Edit, NotFixableError, SmellInstance, applied
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
    """Fixes of a unit's smells, one for all places of a smell, in the order of the first.

    Returns verified fixes; none for code with syntax errors.
    """
    grammar = grammar_for(language, path)
    for frame in _FRAMES[grammar.language]:
        data = frame[0] + code.encode(errors="replace") + frame[1]
        tree = parse(data, grammar)
        if not tree.root_node.has_error:
            break
    else:
        return []
    smells = _evidence(tree, data, grammar)
    fixes = []
    for smell in dict.fromkeys(evidence.label for evidence in smells):
        if smell in PYTHON_FIXERS and grammar.language != "python":
            continue
        fixed = _fixed(smell, data, tree, smells, grammar, frame)
        if fixed != data:
            label = LABELS[smell]
            unit = fixed[len(frame[0]) : len(fixed) - len(frame[1])].decode(errors="replace")
            fixes.append(SmellFix(smell, str(label.purpose), code, unit, f"{label.explanation} {FIXERS[smell][1]}"))
    return fixes


def _fixed(
    smell: str, data: bytes, tree: Tree, smells: list[Evidence], grammar: Grammar, frame: tuple[bytes, bytes]
) -> bytes:
    """Code with a smell fixed wherever that can be, from round to round since fixes may lie inside each other."""
    while True:
        places = [evidence for evidence in smells if evidence.label == smell]
        edits: list[Edit] = []
        for evidence in places:
            here = _edits(SmellInstance(data, grammar.language, tree, evidence), frame)
            overlaps = any(start < last and first < end for start, end, _ in here for first, last, _ in edits)
            if here and not overlaps and _is_verified(smell, smells, applied(data, here), grammar):
                edits += here
        fixed = applied(data, edits)
        if not edits or not _is_verified(smell, smells, fixed, grammar):
            return data
        data, tree = fixed, parse(fixed, grammar)
        smells = _evidence(tree, data, grammar)


def _edits(instance: SmellInstance, frame: tuple[bytes, bytes]) -> list[Edit]:
    """Edits of a unit that fix a smell; none if it cannot be fixed inside of it."""
    try:
        edits = FIXERS[instance.evidence.label][0](instance)
    except NotFixableError:
        return []
    first, last = len(frame[0]), len(instance.data) - len(frame[1])
    return list(edits) if all(first <= start <= end <= last for start, end, _ in edits) else []


def _evidence(tree: Tree, data: bytes, grammar: Grammar) -> list[Evidence]:
    no_limits = AnnotationSettings.model_construct()
    reading = read_file(tree, data, grammar, (), no_limits, frozenset(FIXERS))
    return [item for item in reading.evidence if item.label in FIXERS]


def _is_verified(smell: str, smells: list[Evidence], fixed: bytes, grammar: Grammar) -> bool:
    tree = parse(fixed, grammar)
    if tree.root_node.has_error:
        return False
    if grammar.language == "python":
        try:
            ast.parse(textwrap.dedent(fixed.decode()))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    before = Counter(evidence.label for evidence in smells)
    after = Counter(evidence.label for evidence in _evidence(tree, fixed, grammar))
    # what contained the smell may go with it, but nothing may come
    return after[smell] < before[smell] and all(after[label] <= before[label] for label in after)
