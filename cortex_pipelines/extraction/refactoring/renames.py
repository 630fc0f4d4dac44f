"""Renamed variables and parameters, from mapped statements.

The tokens that differ in statements that are otherwise the same are the evidence.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property

from cortex_pipelines.extraction.refactoring.mapping import StatementMap
from cortex_pipelines.extraction.refactoring.model import (
    PARAMETER,
    VARIABLE,
    Function,
    Statement,
)
from cortex_pipelines.extraction.refactoring.pairing.similarity import names_alike
from cortex_pipelines.extraction.refactoring.pairing.units import Home, home_of, inside

OWN = "own"
"""A parameter of the function itself; ``PARAMETER`` is one of a function inside it."""

_BARE = 0.25  # how much a statement says that has nothing but the name
_LEAST_STRENGTH = 0.7
_LEAST_ALONE = 0.9  # where the declaration alone speaks for it
_LEAST_USES = 1.1  # where no declaration speaks for it
_ALIKE = 0.5
_NAME = 0.5  # how much it says that the names are alike
_LEAST_OWN = 0.25  # the signature speaks for a parameter


@dataclass(frozen=True, slots=True)
class RenamedVariable:
    """A renamed variable or parameter.

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


Mapped = tuple[Function, Function, StatementMap]
"""Two versions of a function, and the map of their statements."""


def aligned(old: Statement, new: Statement) -> Iterator[tuple[int, int]]:
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
    """Evidence for renamed names from mapped statements.

    Args:
        replaced: How strongly a name took another's place, by both names.
        seen: How often a name took another's place, or stayed, by both names.
        declared: Pairs of names whose declarations took each other's place.
    """

    replaced: dict[tuple[str, str], float]
    seen: Counter[tuple[str, str]]
    declared: set[tuple[str, str]]

    @cached_property
    def before(self) -> Counter[str]:
        """How often each name before was seen."""
        counts: Counter[str] = Counter()
        for (name, _), count in self.seen.items():
            counts[name] += count
        return counts

    @cached_property
    def after(self) -> Counter[str]:
        """How often each name after was seen."""
        counts: Counter[str] = Counter()
        for (_, name), count in self.seen.items():
            counts[name] += count
        return counts


def evidence(mapped: StatementMap, inner: Iterable[Mapped] = ()) -> RenameProof:
    """Collect which names replaced which in mapped statements.

    Args:
        mapped: The statements of a function.
        inner: The functions inside of it, which see its names unless they bind them themselves.
    """
    collected = _collected(mapped)
    bound: dict[Home, tuple[set[str], set[str]]] = {}
    for old, new, statements in sorted(inner, key=lambda pair: len(pair[0].place.around)):
        # what a function between binds, this one does not see
        path, around = home_of(old)
        between = (bound.get((path, around[:end])) for end in range(len(around), 0, -1))
        outer = next((names for names in between if names), (set(), set()))
        own = set(names_of(old)) | outer[0], set(names_of(new)) | outer[1]
        bound[inside(old)] = own
        seen = _collected(statements)
        for pair, count in seen.seen.items():
            if pair[0] not in own[0] and pair[1] not in own[1]:
                collected.seen[pair] += count
                if pair in seen.replaced:
                    strength = collected.replaced.get(pair, 0.0) + seen.replaced[pair]
                    collected.replaced[pair] = strength
    return collected


def _collected(mapped: StatementMap) -> RenameProof:
    first = _first_declarations(mapped.before), _first_declarations(mapped.after)
    collected = RenameProof({}, Counter(), set())
    for index, place in mapped.pairs.items():
        old, new = mapped.before[index], mapped.after[place]
        pairs = list(aligned(old, new))
        same = sum(old.texts[a] == new.texts[b] for a, b in pairs if old.marks[a] != "o")
        names = Counter(
            (old.texts[a], new.texts[b]) for a, b in pairs if old.marks[a] == "i" == new.marks[b]
        )
        collected.seen += names
        for pair, count in names.items():
            if pair[0] != pair[1] and not _part_of(old.texts, new.texts):
                rest = max(old.weight, new.weight) - same - count
                strength = same / (same + rest) if same else _BARE
                collected.replaced[pair] = collected.replaced.get(pair, 0.0) + strength
        collected.declared |= {
            (old.texts[a], new.texts[b])
            for a, b in pairs
            if (index, a) in first[0] and (place, b) in first[1]
        }
    return collected


def _part_of(old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    """Whether one statement uses a part of what the other uses: ``a.b`` and ``a.b.c``."""
    short, long = sorted((old, new), key=len)
    end = len(short)
    return end < len(long) and long[end] in (".", "[") and long[end - 1] == short[end - 1]


def _first_declarations(statements: list[Statement]) -> set[tuple[int, int]]:
    """First binding of each name: index of the statement and position in it."""
    declarations: dict[str, tuple[int, int]] = {}
    for index, statement in enumerate(statements):
        for position, _ in statement.declares:
            declarations.setdefault(statement.texts[position], (index, position))
    return set(declarations.values())


def replaced_calls(mapped: StatementMap) -> Iterator[tuple[str, str]]:
    """Pairs of function names called in each other's place in mapped statements."""
    for index, place in mapped.pairs.items():
        old, new = mapped.before[index], mapped.after[place]
        if old.texts == new.texts:
            continue
        for a, b in _callees(old, new):
            if old.texts[a] != new.texts[b] and old.marks[a] in "ip":
                yield old.texts[a], new.texts[b]


def _callees(old: Statement, new: Statement) -> set[tuple[int, int]]:
    """Positions of calls in each other's place, even if their receivers differ."""
    pairs = set(aligned(old, new))
    matcher = SequenceMatcher(None, old.texts, new.texts, autojunk=len(old.texts) > 1000)
    for op, _, a_end, _, b_end in matcher.get_opcodes():
        if op == "replace":
            pairs.add((a_end - 1, b_end - 1))
    return {
        (a, b) for a, b in pairs if old.texts[a + 1 : a + 2] == ("(",) == new.texts[b + 1 : b + 2]
    }


def names_of(function: Function) -> dict[str, tuple[str, int]]:
    """Kind and line of each name that a function binds, by the name."""
    bound = {parameter.name: (OWN, parameter.line) for parameter in function.parameters}
    for name, kind, line in bound_in(function.statements):
        bound.setdefault(name, (kind, line))
    return bound


def bound_in(statements: Iterable[Statement]) -> Iterator[tuple[str, str, int]]:
    """Names that statements bind, with kind and line."""
    for statement in statements:
        for position, kind in statement.declares:
            yield statement.texts[position], kind, statement.line


def callbacks(mapped: StatementMap) -> Iterator[StatementMap]:
    """The parts of a map that are scopes of their own: statements with functions without a name."""
    for index, place in mapped.pairs.items():
        old, new = mapped.before[index], mapped.after[place]
        if old.has_function and new.has_function:
            yield mapped.part(index)


def renamed_names(
    before: dict[str, tuple[str, int]],
    after: dict[str, tuple[str, int]],
    seen: RenameProof,
    *,
    merged: bool = False,
) -> list[RenamedVariable]:
    """Decide which names were renamed, given the names bound on both sides.

    A name counts as renamed if it is bound on its side only (or its declaration became that of the
    other), and at least half of what mapped statements show of both names is this replacement.

    Args:
        before, after: Kind and line of the names that each side binds.
        seen: What mapped statements say.
        merged: Whether several names may become one, as where copies of code become one function.
    """
    scored = []
    for (old, new), strength in sorted(seen.replaced.items()):
        if old not in before or new not in after or not _free(before, after, seen, old, new):
            continue
        declared = (old, new) in seen.declared
        count = seen.seen[old, new]
        many = merged or new == "_"
        # that of a variable it takes over stays the same
        others = seen.after[new] - seen.seen[new, new] * _takes_over(before, after, old, new)
        share = count / max(seen.before[old], 1 if many else others)
        kinds = before[old][0], after[new][0]
        if kinds == (OWN, VARIABLE) and names_alike(old, new) < _ALIKE:
            continue  # it is gone, and something else takes its place
        sure = strength * (1 + _NAME * names_alike(old, new))
        if (OWN in kinds and _same_place(before, after, old, new)) or (declared and new == "_"):
            least = _LEAST_OWN
        else:
            least = _LEAST_STRENGTH if declared or OWN in kinds else _LEAST_USES
        if (share >= 0.5 or (declared and strength >= _LEAST_STRENGTH)) and sure >= least:
            scored.append((-declared, -share * count, old, new))
    pairs: dict[str, str] = {}
    taken: set[str] = set()
    for _, _, old, new in sorted(scored):
        if old not in pairs and (merged or new == "_" or new not in taken):
            pairs[old] = new
            taken.add(new)
    return [
        RenamedVariable(old, new, before[old][0], after[new][0], before[old][1], after[new][1])
        for old, new in pairs.items()
    ]


def _free(
    before: dict[str, tuple[str, int]],
    after: dict[str, tuple[str, int]],
    seen: RenameProof,
    old: str,
    new: str,
) -> bool:
    """Whether the old name is absent afterwards and the new name was absent before."""
    if (old, new) in seen.declared:
        kept = (old, old) in seen.declared or (new, new) in seen.declared
        own = [
            names[name][0] == OWN
            for name in (old, new)
            for names in (before, after)
            if name in names
        ]
        return not kept and not any(own) and not _only_declared(before, after, seen, old, new)
    return old not in after and (new not in before or _takes_over(before, after, old, new))


def _only_declared(
    before: dict[str, tuple[str, int]],
    after: dict[str, tuple[str, int]],
    seen: RenameProof,
    old: str,
    new: str,
) -> bool:
    """Whether no use of a name changed with its declaration, which says too little.

    A name that stays only gave a part of its value to the other, unless one that is gone took it;
    one that was there took back a part of its own.
    """
    if seen.seen[old, new] > 1 or new == "_":
        return False
    taken = any(name != old and to == old and name not in after for name, to in seen.declared)
    if (old in after and not taken) or (new in before and names_alike(old, new) < _ALIKE):
        return True
    return seen.replaced[old, new] < _LEAST_ALONE


def _takes_over(
    before: dict[str, tuple[str, int]], after: dict[str, tuple[str, int]], old: str, new: str
) -> bool:
    """Whether a parameter took the name of a variable that is gone."""
    return new in before and before[new][0] == VARIABLE and _same_place(before, after, old, new)


def _same_place(
    before: dict[str, tuple[str, int]], after: dict[str, tuple[str, int]], old: str, new: str
) -> bool:
    """Whether parameters have the same position in their list."""
    kinds = before[old][0], after[new][0]
    return kinds == (OWN, OWN) and list(before).index(old) == list(after).index(new)


def type_of_rename(renamed: RenamedVariable) -> str:
    """RefactoringMiner's name for a rename."""
    kinds = renamed.kind_before, renamed.kind_after
    if kinds == (VARIABLE, OWN):
        return "Parameterize Variable"
    if kinds == (OWN, VARIABLE):
        return "Localize Parameter"
    if OWN in kinds or kinds == (PARAMETER, PARAMETER):
        return "Rename Parameter"
    return "Rename Variable"
