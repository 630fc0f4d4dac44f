"""Code smells and their verified mechanical fixes."""

import re
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence

from tree_sitter import Node, Tree

from cortex_pipelines.annotation.complexity.nodes import child, descendants, text
from cortex_pipelines.annotation.detector import Evidence
from cortex_pipelines.annotation.evidence import read_file
from cortex_pipelines.annotation.fixes.fixer import Edit as ByteEdit
from cortex_pipelines.annotation.fixes.fixer import NotFixableError, SmellInstance, applied, part
from cortex_pipelines.annotation.fixes.fixers import FIXERS, PYTHON_FIXERS
from cortex_pipelines.annotation.labels.vocabulary import LABELS, NOT_IN_TESTS
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.augmentation.python_code import compiled
from cortex_pipelines.check.checked_file import CheckedFile
from cortex_pipelines.check.findings import Finding, Fix, LineEdit
from cortex_pipelines.extraction.test_cases import is_test
from cortex_pipelines.syntax.grammars import Grammar, parse

# They change behaviour on purpose, or delete code that someone kept.
_UNSAFE = frozenset({"bare-except", "commented-out-code", "debug-mode", "disabled-tls-verification", "unsafe-yaml"})
# Shown only if a fix holds: a comment between the parts, say, is why there are two.
_FIXABLE = frozenset(
    {"collapsible-if", "else-after-return", "range-len-loop", "redundant-boolean", "string-concat-in-loop"}
)
_NOT_IN_TESTS = NOT_IN_TESTS | {"dead-code", "string-concat-in-loop", "swallowed-exception"}
_ONLY_READING = frozenset({"len", "list", "tuple", "set", "frozenset", "sorted", "sum", "min", "max", "any", "all"})
_MUTABLE_PARAMETERS = ("default_parameter", "typed_default_parameter")
# Of what may fail in one known way, nothing is a fair answer.
_ANY_EXCEPTION = re.compile(rb"except\s*:|catch\s*\(\s*(?:final\s+)?(?:Exception|Throwable)\s+(?!ignore|expected|_)")
_ASSIGNMENT = re.compile(rb"\W*\w+\s?=\s?\w*\W*")
_REMARK = re.compile(rb"[;)}][ \t]*(?://|#)")  # code in a comment with a comment of its own: an example
_MIN_REPARSED, _TIMES_REPARSED = 1_000_000, 4  # bytes, and lengths of the file, that are parsed to verify its fixes
_ANY_SIZE = AnnotationSettings.model_construct()


def find_smells(file: CheckedFile, rules: Collection[str]) -> Iterator[Finding]:
    enabled = frozenset(rules) & LABELS.keys()
    if is_test(file.source_path):
        enabled -= _NOT_IN_TESTS
    if not enabled or file.path.endswith(".pyi"):
        return
    smells = _evidence(file.tree, file.data, file.grammar, enabled | FIXERS.keys())
    tests = _tests_beside(file)
    smells = [
        smell
        for smell in smells
        if not file.is_broken(smell.start, smell.end)
        and not (smell.label in _NOT_IN_TESTS and any(start <= smell.start < end for start, end in tests))
    ]
    fixes = _verified_edits(file, smells)
    for smell in smells:
        if smell.label not in enabled or not _is_worth_it(smell, fixes) or _is_intended(file, smell):
            continue
        fix = None
        if fixes.get(smell):
            edits = tuple(_positioned(file, edit) for edit in fixes[smell])
            fix = Fix(FIXERS[smell.label][1], edits, _keeps_behaviour(file, smell))
        yield file.finding(smell.start, smell.end, smell.label, LABELS[smell.label].explanation, fix)


def _tests_beside(file: CheckedFile) -> list[tuple[int, int]]:
    """Where a file of Rust has its own tests."""
    if file.language != "rust":
        return []
    names = ((node, text(child(node, "name"))) for node in file.tree.root_node.children)
    return [
        (node.start_byte, node.end_byte)
        for node, name in names
        if is_test(file.source_path, f"{name}." if node.type == "mod_item" else name)
    ]


def _is_worth_it(smell: Evidence, fixes: Mapping[Evidence, list[ByteEdit]]) -> bool:
    if smell.label not in _FIXABLE:
        return True
    # a condition of several lines reads no better behind `return not`
    edits = fixes.get(smell)
    return edits is not None and not (edits and smell.label == "redundant-boolean" and b"\n" in edits[0][2])


def _is_intended(file: CheckedFile, smell: Evidence) -> bool:
    """Whether the code shows that its author intended it."""
    code = file.data[smell.start : smell.end]
    if smell.label == "swallowed-exception":
        line_end = file.data.find(b"\n", smell.end)
        full_lines = code + file.data[smell.end : line_end if line_end >= 0 else len(file.data)]
        is_sure = file.language == "go" or bool(_ANY_EXCEPTION.match(code))
        return not is_sure or any(mark in full_lines for mark in (b"#", b"//", b"/*"))
    if smell.label == "range-len-loop":
        return b"range(len(self))" in code  # its own iteration may be what this is
    if smell.label == "unsafe-yaml":
        return b"Safe" in code or b"YAML(" in file.data  # ruamel.yaml, which is told elsewhere
    if smell.label == "commented-out-code":
        return _is_in_prose(file, smell) or bool(_ASSIGNMENT.fullmatch(code) or _REMARK.search(code))
    if smell.label == "dead-code":
        # what is compiled on one system only
        return file.language == "rust" and b"#[cfg" in file.data[max(smell.start - 400, 0) : smell.end]
    if smell.label == "else-after-return":
        # two short branches side by side are as clear
        return code.count(b"\n") < 3
    return False


def _is_in_prose(file: CheckedFile, comment: Evidence) -> bool:
    """Whether a comment follows code on its line, or stands within a longer comment."""
    first, last = (file.position(offset)[0] for offset in (comment.start, comment.end - 1))
    lines = file.data.split(b"\n")
    adjacent = [lines[number] for number in (first - 2, last) if 0 <= number < len(lines)]
    follows_code = bool(file.data[file.line_starts[first - 1] : comment.start].strip())
    return follows_code or any(line.lstrip().startswith((b"#", b"//", b"/*", b"*")) for line in adjacent)


def _keeps_behaviour(file: CheckedFile, smell: Evidence) -> bool:
    if smell.label != "mutable-default":
        return smell.label not in _UNSAFE
    instance = SmellInstance(file.data, file.language, file.tree, smell)
    name = instance.text(part(instance.outermost(*_MUTABLE_PARAMETERS), "name"))
    body = part(instance.enclosing("function_definition"), "body")
    return all(_is_reading(node) for node in descendants(body, {"identifier"}) if node.text == name)


def _is_reading(use: Node) -> bool:
    """Whether a use of a list or dictionary neither mutates it nor passes it on."""
    outer = use.parent
    if outer is None:
        return False
    if outer.type == "argument_list" and outer.parent is not None:
        return text(child(outer.parent, "function")) in _ONLY_READING
    if outer.type == "subscript" and child(outer, "value") == use:
        target = outer.parent
        is_target = target is not None and child(target, "left") == outer
        return not is_target and (target is None or target.type != "delete_statement")
    is_iterated = outer.type in ("for_statement", "for_in_clause") and child(outer, "right") == use
    return is_iterated or outer.type in ("comparison_operator", "boolean_operator", "not_operator", "subscript")


def _positioned(file: CheckedFile, edit: ByteEdit) -> LineEdit:
    start, end, text = edit
    return LineEdit(*file.position(start), *file.position(end), text.decode(errors="replace"))


def _evidence(tree: Tree, data: bytes, grammar: Grammar, labels: Collection[str]) -> list[Evidence]:
    smells = read_file(tree, data, grammar, (), _ANY_SIZE, frozenset(labels)).evidence
    return [smell for smell in smells if smell.label in labels]


def _verified_edits(file: CheckedFile, smells: Sequence[Evidence]) -> dict[Evidence, list[ByteEdit]]:
    """Edits that remove a smell and introduce none; empty for a smell whose edits there was no room to verify.

    Those that do not overlap are tried all at once, which nearly always holds; else each half is.
    """
    if file.tree.root_node.has_error:
        return {}
    candidates = {smell: edits for smell in smells if (edits := _edits(file, smell))}
    together: list[Evidence] = []
    for smell in sorted(candidates, key=lambda smell: candidates[smell][0][0]):
        if not together or candidates[smell][0][0] > candidates[together[-1]][-1][1]:
            together.append(smell)
    overlapping = candidates.keys() - set(together)
    pending = deque(group for group in (together, *([smell] for smell in sorted(overlapping))) if group)
    fixes: dict[Evidence, list[ByteEdit]] = {smell: [] for smell in candidates}
    room = max(_MIN_REPARSED, _TIMES_REPARSED * len(file.data))
    while pending and room > 0:
        group = pending.popleft()
        start, end = file.statements(candidates[group[0]][0][0], candidates[group[-1]][-1][1])
        room -= end - start
        if _fixes_hold(file, smells, {smell: candidates[smell] for smell in group}, start, end):
            fixes |= {smell: candidates[smell] for smell in group}
        elif len(group) > 1:
            pending += [group[: len(group) // 2], group[len(group) // 2 :]]
        else:
            del fixes[group[0]]
    return fixes


def _edits(file: CheckedFile, smell: Evidence) -> list[ByteEdit]:
    if smell.label not in FIXERS or (smell.label in PYTHON_FIXERS and file.language != "python"):
        return []
    try:
        edits = FIXERS[smell.label][0](SmellInstance(file.data, file.language, file.tree, smell))
    except NotFixableError:
        return []
    return sorted(edits, key=lambda edit: edit[:2])  # those at one place stay in their order


def _fixes_hold(
    file: CheckedFile, smells: Sequence[Evidence], fixes: dict[Evidence, list[ByteEdit]], start: int, end: int
) -> bool:
    edits = [(first - start, last - start, text) for edits in fixes.values() for first, last, text in edits]
    fixed = applied(file.data[start:end], edits)
    tree = parse(fixed, file.grammar)
    if tree.root_node.has_error or (file.language == "python" and compiled(fixed) is None):
        return False
    before = Counter(each.label for each in smells if each.label in FIXERS and start < each.end and each.start < end)
    after = Counter(smell.label for smell in _evidence(tree, fixed, file.grammar, FIXERS.keys()))
    return after <= before - Counter(smell.label for smell in fixes)
