"""Renamed variables and parameters, proved by the tokens that differ between otherwise equal statements."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from cortex_pipelines.extraction.refactoring.mapping import StatementMap, name_similarity
from cortex_pipelines.extraction.refactoring.model import PARAMETER, VARIABLE, Function, Statement
from cortex_pipelines.extraction.refactoring.unit_pairing import (
    Container,
    MappedFunction,
    inner_container,
    outer_container,
)

OWN_PARAMETER = "own"
"""A parameter of the function itself; ``PARAMETER`` is one of a function inside it."""

_BARE_STRENGTH = 0.25  # strength of a statement that has nothing but the name
_MIN_STRENGTH = 0.7
_MIN_STRENGTH_DECLARATION = 0.9  # where the declaration is the only proof
_MIN_STRENGTH_USES = 1.1  # where no declaration proves it
_MIN_NAME_SIMILARITY = 0.5
_NAME_SIMILARITY_WEIGHT = 0.5  # weight of the similarity of the names
_MIN_STRENGTH_PARAMETER = 0.25  # for a parameter, whose signature is proof


@dataclass(frozen=True, slots=True)
class RenamedVariable:
    before: str
    after: str
    kind_before: str
    kind_after: str
    line_before: int
    line_after: int

    @property
    def type(self) -> str:
        kinds = self.kind_before, self.kind_after
        if kinds == (VARIABLE, OWN_PARAMETER):
            return "Parameterize Variable"
        if kinds == (OWN_PARAMETER, VARIABLE):
            return "Localize Parameter"
        is_parameter = OWN_PARAMETER in kinds or kinds == (PARAMETER, PARAMETER)
        return "Rename Parameter" if is_parameter else "Rename Variable"


Bindings = dict[str, tuple[str, int]]
"""Kind and line of each name that a version binds."""


def align_tokens(old: Statement, new: Statement) -> Iterator[tuple[int, int]]:
    """Positions of tokens of two statements that are equal or replace each other."""
    if old.shape == new.shape:
        yield from zip(range(len(old.texts)), range(len(new.texts)), strict=True)
        return
    matcher = SequenceMatcher(None, old.texts, new.texts, autojunk=len(old.texts) > 1000)
    for op, a, a_end, b, b_end in matcher.get_opcodes():
        if op == "equal" or (op == "replace" and old.marks[a:a_end] == new.marks[b:b_end]):
            yield from zip(range(a, a_end), range(b, b_end), strict=True)


@dataclass
class RenameProof:
    """How strongly and how often names took each other's place or stayed, and whether their declarations did."""

    strengths: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    pair_counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    declared_pairs: set[tuple[str, str]] = field(default_factory=set)

    def totals(self) -> tuple[Counter[str], Counter[str]]:
        """How often each name before and after takes part."""
        before, after = Counter[str](), Counter[str]()
        for (old, new), count in self.pair_counts.items():
            before[old] += count
            after[new] += count
        return before, after


def collect_rename_proof(
    statement_map: StatementMap, bound: tuple[Collection[str], Collection[str]], inner: Collection[MappedFunction] = ()
) -> RenameProof:
    """Which of the bound names replaced which; functions inside see a name unless they bind it themselves.

    Nothing is said of the others if no bound name was replaced.
    """
    proof = _statement_proof(statement_map)
    changed = {id(mapped.old): _statement_proof(mapped.statements) for mapped in inner if not mapped.keeps_body}
    replaced = (pair for each in (proof, *changed.values()) for pair in each.strengths)
    if not any(old in bound[0] and new in bound[1] for old, new in replaced):
        return RenameProof()
    names_by_container: dict[Container, tuple[set[str], set[str]]] = {}
    for mapped in sorted(inner, key=lambda mapped: len(mapped.old.location.enclosing_names)):
        old, new = mapped.old, mapped.new
        # names bound by a function in between are not visible here
        path, enclosing = outer_container(old)
        enclosing_bindings = (names_by_container.get((path, enclosing[:end])) for end in range(len(enclosing), 0, -1))
        outer = next((names for names in enclosing_bindings if names), (set(), set()))
        bindings = set(function_bindings(old)) | outer[0], set(function_bindings(new)) | outer[1]
        names_by_container[inner_container(old)] = bindings
        inner_proof = changed.get(id(old)) or _statement_proof(mapped.statements)
        for pair, count in inner_proof.pair_counts.items():
            if pair[0] not in bindings[0] and pair[1] not in bindings[1]:
                proof.pair_counts[pair] += count
                if pair in inner_proof.strengths:
                    proof.strengths[pair] += inner_proof.strengths[pair]
    return proof


def _statement_proof(statement_map: StatementMap) -> RenameProof:
    first_declarations = (_first_declarations(statement_map.before), _first_declarations(statement_map.after))
    proof = RenameProof()
    for index, position in statement_map.pairs.items():
        old, new = statement_map.before[index], statement_map.after[position]
        pairs = list(align_tokens(old, new))
        equal_count = sum(old.texts[a] == new.texts[b] for a, b in pairs if old.marks[a] != "o")
        names = Counter((old.texts[a], new.texts[b]) for a, b in pairs if old.marks[a] == "i" == new.marks[b])
        proof.pair_counts += names
        for pair, count in names.items():
            if pair[0] != pair[1] and not _extends_access(old.texts, new.texts):
                changed_count = max(old.weight, new.weight) - equal_count - count
                strength = equal_count / (equal_count + changed_count) if equal_count else _BARE_STRENGTH
                proof.strengths[pair] += strength
        proof.declared_pairs |= {
            (old.texts[a], new.texts[b])
            for a, b in pairs
            if (index, a) in first_declarations[0] and (position, b) in first_declarations[1]
        }
    return proof


def _extends_access(old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    """Whether one statement accesses a member of what the other accesses: ``a.b`` and ``a.b.c``."""
    short, long = sorted((old, new), key=len)
    end = len(short)
    return end < len(long) and long[end] in (".", "[") and long[end - 1] == short[end - 1]


def _first_declarations(statements: list[Statement]) -> set[tuple[int, int]]:
    declarations: dict[str, tuple[int, int]] = {}
    for index, statement in enumerate(statements):
        for position, _ in statement.declarations:
            declarations.setdefault(statement.texts[position], (index, position))
    return set(declarations.values())


def replaced_calls(statement_map: StatementMap) -> Iterator[tuple[str, str]]:
    """Pairs of function names called in each other's place in mapped statements."""
    for index, position in statement_map.pairs.items():
        old, new = statement_map.before[index], statement_map.after[position]
        if old.texts == new.texts:
            continue
        tokens = set(align_tokens(old, new))
        matcher = SequenceMatcher(None, old.texts, new.texts, autojunk=len(old.texts) > 1000)
        tokens |= {(a_end - 1, b_end - 1) for op, _, a_end, _, b_end in matcher.get_opcodes() if op == "replace"}
        for a, b in tokens:
            are_called = old.texts[a + 1 : a + 2] == ("(",) == new.texts[b + 1 : b + 2]
            if are_called and old.texts[a] != new.texts[b] and old.marks[a] in "ip":
                yield old.texts[a], new.texts[b]


def function_bindings(function: Function) -> Bindings:
    bound = {parameter.name: (OWN_PARAMETER, parameter.line) for parameter in function.parameters}
    for name, kind, line in bindings_in(function.statements, function.body_line):
        bound.setdefault(name, (kind, line))
    return bound


def bindings_in(statements: Iterable[Statement], body_line: int) -> Iterator[tuple[str, str, int]]:
    """Names that statements bind, with kind and line in the file."""
    for statement in statements:
        for position, kind in statement.declarations:
            yield statement.texts[position], kind, body_line + statement.line


def renamed_names(
    before: Bindings, after: Bindings, proof: RenameProof, *, merged: bool = False
) -> list[RenamedVariable]:
    """Decide which names were renamed, given the names bound on both sides.

    A name counts as renamed if it is bound on its side only (or its declaration became that of the
    other), and at least half of the mapped uses of both names are this replacement.
    Several names may become one if ``merged``, as where copies of code become one function.
    """
    scored = []
    totals_before, totals_after = proof.totals()
    for (old, new), strength in sorted(proof.strengths.items()):
        if old not in before or new not in after or not _is_free(before, after, proof, old, new):
            continue
        declared = (old, new) in proof.declared_pairs
        count = proof.pair_counts[old, new]
        allows_many = merged or new == "_"
        # that of a variable it takes over stays the same
        competing = totals_after[new] - proof.pair_counts[new, new] * _takes_over(before, after, old, new)
        share = count / max(totals_before[old], 1 if allows_many else competing)
        kinds = before[old][0], after[new][0]
        if kinds == (OWN_PARAMETER, VARIABLE) and name_similarity(old, new) < _MIN_NAME_SIMILARITY:
            continue  # removed, and replaced by something else
        confidence = strength * (1 + _NAME_SIMILARITY_WEIGHT * name_similarity(old, new))
        if (OWN_PARAMETER in kinds and _same_position(before, after, old, new)) or (declared and new == "_"):
            threshold = _MIN_STRENGTH_PARAMETER
        else:
            threshold = _MIN_STRENGTH if declared or OWN_PARAMETER in kinds else _MIN_STRENGTH_USES
        if (share >= 0.5 or (declared and strength >= _MIN_STRENGTH)) and confidence >= threshold:
            scored.append((-declared, -share * count, old, new))
    pairs: dict[str, str] = {}
    taken_names: set[str] = set()
    for _, _, old, new in sorted(scored):
        if old not in pairs and (merged or new == "_" or new not in taken_names):
            pairs[old] = new
            taken_names.add(new)
    return [
        RenamedVariable(old, new, before[old][0], after[new][0], before[old][1], after[new][1])
        for old, new in pairs.items()
    ]


def _is_free(before: Bindings, after: Bindings, proof: RenameProof, old: str, new: str) -> bool:
    if (old, new) in proof.declared_pairs:
        name_remains = (old, old) in proof.declared_pairs or (new, new) in proof.declared_pairs
        are_parameters = [
            names[name][0] == OWN_PARAMETER for name in (old, new) for names in (before, after) if name in names
        ]
        return not name_remains and not any(are_parameters) and not _only_declared(before, after, proof, old, new)
    return old not in after and (new not in before or _takes_over(before, after, old, new))


def _only_declared(before: Bindings, after: Bindings, proof: RenameProof, old: str, new: str) -> bool:
    """Whether no use of a name changed with its declaration, which says too little.

    A name that remains only passed on part of its value, unless a removed name took it over; a name
    that existed before took part of its value back.
    """
    if proof.pair_counts[old, new] > 1 or new == "_":
        return False
    value_taken = any(name != old and to == old and name not in after for name, to in proof.declared_pairs)
    if (old in after and not value_taken) or (new in before and name_similarity(old, new) < _MIN_NAME_SIMILARITY):
        return True
    return proof.strengths[old, new] < _MIN_STRENGTH_DECLARATION


def _takes_over(before: Bindings, after: Bindings, old: str, new: str) -> bool:
    return new in before and before[new][0] == VARIABLE and _same_position(before, after, old, new)


def _same_position(before: Bindings, after: Bindings, old: str, new: str) -> bool:
    kinds = before[old][0], after[new][0]
    return kinds == (OWN_PARAMETER, OWN_PARAMETER) and list(before).index(old) == list(after).index(new)
