"""Renamed variables and parameters: what mapped statements call by another name.

The tokens that differ in statements that are otherwise the same are the evidence.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property

from cortex_pipelines.extraction.refactoring.likeness import names_alike
from cortex_pipelines.extraction.refactoring.mapping import StatementMap
from cortex_pipelines.extraction.refactoring.model import (
    PARAMETER,
    VARIABLE,
    Function,
    Statement,
)

OWN = "own"
"""A parameter of the function itself, where ``PARAMETER`` is one of a function inside it."""

_BARE = 0.25  # how much a statement says that has nothing but the name
_LEAST_STRENGTH = 0.7
_LEAST_USES = 1.1  # where no declaration speaks for it
_ALIKE = 0.5
_NAME = 0.5  # how much it says that the names are alike
_LEAST_OWN = 0.25  # the signature speaks for a parameter


@dataclass(frozen=True, slots=True)
class Renamed:
    """A variable or parameter that goes by another name.

    Args:
        before, after: The names.
        kind_before, kind_after: ``variable``, ``parameter`` or ``own``.
        line_before, line_after: Lines of the declarations.
    """

    before: str
    after: str
    kind_before: str
    kind_after: str
    line_before: int
    line_after: int


def aligned(one: Statement, other: Statement) -> Iterator[tuple[int, int]]:
    """Positions of the tokens of two statements that are the same or take each other's place."""
    if one.shape == other.shape:
        yield from zip(range(len(one.texts)), range(len(other.texts)), strict=True)
        return
    matcher = SequenceMatcher(None, one.texts, other.texts, autojunk=len(one.texts) > 1000)
    for op, a, a_end, b, b_end in matcher.get_opcodes():
        if op == "equal" or (op == "replace" and one.marks[a:a_end] == other.marks[b:b_end]):
            yield from zip(range(a, a_end), range(b, b_end), strict=True)


@dataclass
class Evidence:
    """What mapped statements say of names: each speaks for what else in it is the same.

    Args:
        replaced: How strongly a name took another's place, by both names.
        seen: How often a name took another's place, or stayed, by both names.
        declared: Pairs of names whose declarations took each other's place.
        lost: Names whose declaration before is in no mapped statement.
    """

    replaced: dict[tuple[str, str], float]
    seen: Counter[tuple[str, str]]
    declared: set[tuple[str, str]]
    lost: set[str]

    @cached_property
    def before(self) -> Counter[str]:
        """How often each name before was seen."""
        found: Counter[str] = Counter()
        for (one, _), count in self.seen.items():
            found[one] += count
        return found

    @cached_property
    def after(self) -> Counter[str]:
        """How often each name after was seen."""
        found: Counter[str] = Counter()
        for (_, other), count in self.seen.items():
            found[other] += count
        return found


def evidence(mapped: StatementMap) -> Evidence:
    """What took whose place in mapped statements."""
    first = _first_declarations(mapped.before), _first_declarations(mapped.after)
    lost = {
        mapped.before[index].texts[place] for index, place in first[0] if index not in mapped.pairs
    }
    found = Evidence({}, Counter(), set(), lost)
    for index, place in mapped.pairs.items():
        one, other = mapped.before[index], mapped.after[place]
        pairs = list(aligned(one, other))
        same = sum(one.texts[a] == other.texts[b] for a, b in pairs if one.marks[a] != "o")
        names = Counter(
            (one.texts[a], other.texts[b])
            for a, b in pairs
            if one.marks[a] == "i" == other.marks[b]
        )
        found.seen += names
        for pair, count in names.items():
            if pair[0] != pair[1] and not _part_of(one.texts, other.texts):
                rest = max(one.weight, other.weight) - same - count
                strength = same / (same + rest) if same else _BARE
                found.replaced[pair] = found.replaced.get(pair, 0.0) + strength
        found.declared |= {
            (one.texts[a], other.texts[b])
            for a, b in pairs
            if (index, a) in first[0] and (place, b) in first[1]
        }
    return found


def _part_of(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one of two statements takes a part of what the other takes: ``a.b`` and ``a.b.c``."""
    short, long = sorted((one, other), key=len)
    end = len(short)
    return end < len(long) and long[end] in (".", "[") and long[end - 1] == short[end - 1]


def _first_declarations(statements: list[Statement]) -> set[tuple[int, int]]:
    """Where each name is bound first: index of the statement and position in it."""
    found: dict[str, tuple[int, int]] = {}
    for index, statement in enumerate(statements):
        for position, _ in statement.declares:
            found.setdefault(statement.texts[position], (index, position))
    return set(found.values())


def replaced_calls(mapped: StatementMap) -> Iterator[tuple[str, str]]:
    """Names of functions that mapped statements call in each other's place."""
    for index, place in mapped.pairs.items():
        one, other = mapped.before[index], mapped.after[place]
        if one.texts == other.texts:
            continue
        for a, b in _callees(one, other):
            if one.texts[a] != other.texts[b] and one.marks[a] in "ip":
                yield one.texts[a], other.texts[b]


def _callees(one: Statement, other: Statement) -> set[tuple[int, int]]:
    """Positions of what is called in each other's place, also where what it belongs to differs."""
    pairs = set(aligned(one, other))
    matcher = SequenceMatcher(None, one.texts, other.texts, autojunk=len(one.texts) > 1000)
    for op, _, a_end, _, b_end in matcher.get_opcodes():
        if op == "replace":
            pairs.add((a_end - 1, b_end - 1))
    return {
        (a, b) for a, b in pairs if one.texts[a + 1 : a + 2] == ("(",) == other.texts[b + 1 : b + 2]
    }


def names_of(function: Function) -> dict[str, tuple[str, int]]:
    """Kind and line of each name that a function binds, by the name."""
    found = {one.name: (OWN, one.line) for one in function.parameters}
    for name, kind, line in bound_in(function.statements):
        found.setdefault(name, (kind, line))
    return found


def bound_in(statements: Iterable[Statement]) -> Iterator[tuple[str, str, int]]:
    """Names that statements bind, with kind and line."""
    for statement in statements:
        for position, kind in statement.declares:
            yield statement.texts[position], kind, statement.line


def renamed_names(
    before: dict[str, tuple[str, int]],
    after: dict[str, tuple[str, int]],
    seen: Evidence,
    *,
    merged: bool = False,
) -> list[Renamed]:
    """The names that were renamed, given what is bound on both sides.

    A name counts as renamed if it is bound on its side only (or its declaration became that of the
    other), and at least half of what mapped statements show of both names is this replacement.

    Args:
        before, after: Kind and line of the names that each side binds.
        seen: What mapped statements say.
        merged: Whether several names may become one, as where copies of code become one function.
    """
    scored = []
    for (one, other), strength in sorted(seen.replaced.items()):
        if one not in before or other not in after or not _free(before, after, seen, one, other):
            continue
        declared = (one, other) in seen.declared
        count = seen.seen[one, other]
        many = merged or other == "_"
        share = count / max(seen.before[one], 1 if many else seen.after[other])
        kinds = before[one][0], after[other][0]
        if kinds == (OWN, VARIABLE) and names_alike(one, other) < _ALIKE:
            continue  # it is gone, and something else takes its place
        sure = strength * (1 + _NAME * names_alike(one, other))
        if (OWN in kinds and _same_place(before, after, one, other)) or (declared and other == "_"):
            least = _LEAST_OWN
        else:
            least = _LEAST_STRENGTH if declared or OWN in kinds else _LEAST_USES
        if (share >= 0.5 or (declared and strength >= _LEAST_STRENGTH)) and sure >= least:
            scored.append((-declared, -share * count, one, other))
    pairs: dict[str, str] = {}
    taken: set[str] = set()
    for _, _, one, other in sorted(scored):
        if one not in pairs and (merged or other == "_" or other not in taken):
            pairs[one] = other
            taken.add(other)
    return [
        Renamed(one, other, before[one][0], after[other][0], before[one][1], after[other][1])
        for one, other in pairs.items()
    ]


def _free(
    before: dict[str, tuple[str, int]],
    after: dict[str, tuple[str, int]],
    seen: Evidence,
    one: str,
    other: str,
) -> bool:
    """Whether neither name is what it was, or the other has become, on the other side."""
    if (one, other) in seen.declared:
        kept = (one, one) in seen.declared or (other, other) in seen.declared
        own = [
            names[name][0] == OWN
            for name in (one, other)
            for names in (before, after)
            if name in names
        ]
        return not kept and not any(own)
    return one not in after and other not in before


def _same_place(
    before: dict[str, tuple[str, int]], after: dict[str, tuple[str, int]], one: str, other: str
) -> bool:
    """Whether parameters are at the same place of their list."""
    kinds = before[one][0], after[other][0]
    return kinds == (OWN, OWN) and list(before).index(one) == list(after).index(other)


def type_of_rename(renamed: Renamed) -> str:
    """RefactoringMiner's name for a rename."""
    kinds = renamed.kind_before, renamed.kind_after
    if kinds == (VARIABLE, OWN):
        return "Parameterize Variable"
    if kinds == (OWN, VARIABLE):
        return "Localize Parameter"
    if OWN in kinds or kinds == (PARAMETER, PARAMETER):
        return "Rename Parameter"
    return "Rename Variable"
