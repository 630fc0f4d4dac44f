"""Map the statements of two versions to each other.

Equal statements in order first, then equal ones that moved, then similar ones, the most similar
first; what encloses others is known by them too.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from cortex_pipelines.extraction.refactoring.model import Statement

# beyond, similar statements are looked for between the same neighbours only
_MAX_PAIRS = 60_000
_BAND = 6
_MAX_ANCHORS = 1_000_000  # pairs of equal statements; beyond, frequent ones are no anchors
_PARTS = 0.9  # names of the same words are a little less than the same names
_OTHER_KIND = 0.1  # a return is less likely to have been an assignment
LEAST = 0.55  # a similar statement shares about half of what it says
_LEAST_IN_PLACE = 0.4  # where what is around it says that it is the same


@dataclass
class StatementMap:
    """Map between the statements of two versions.

    Args:
        before, after: The statements.
        pairs: Index before to index after.
        likeness: Likeness (0 to 1) of each pair, by the index before.
    """

    before: list[Statement]
    after: list[Statement]
    pairs: dict[int, int] = field(default_factory=dict)
    likeness: dict[int, float] = field(default_factory=dict)

    def left_before(self) -> list[int]:
        """Removed statements."""
        return [index for index in range(len(self.before)) if index not in self.pairs]

    def left_after(self) -> list[int]:
        """Added statements."""
        kept = set(self.pairs.values())
        return [index for index in range(len(self.after)) if index not in kept]

    def reversed(self) -> "StatementMap":
        """The same map from the new version to the old."""
        pairs = {new: old for old, new in self.pairs.items()}
        likeness = {new: self.likeness[old] for old, new in self.pairs.items()}
        return StatementMap(self.after, self.before, pairs, likeness)

    @property
    def changed(self) -> bool:
        """Whether any statement differs from the one that it is mapped to."""
        return any(self.before[a].texts != self.after[b].texts for a, b in self.pairs.items())

    def part(self, old: int) -> "StatementMap":
        """The map of a statement and those inside it, which know their parents no more."""
        new = self.pairs[old]
        ends = _end(self.before, old), _end(self.after, new)
        inside = {
            a: self.pairs[a]
            for a in range(old, ends[0])
            if a in self.pairs and new <= self.pairs[a] < ends[1]
        }
        return StatementMap(
            self.before[old : ends[0]],
            self.after[new : ends[1]],
            {a - old: b - new for a, b in inside.items()},
            {a - old: self.likeness[a] for a in inside},
        )

    def share(self) -> float:
        """Share of both versions that is equal, 0 to 1, weighted by statement size."""
        total = sum(statement.weight for statement in [*self.before, *self.after])
        same = sum(
            self.likeness[old] * (self.before[old].weight + self.after[new].weight)
            for old, new in self.pairs.items()
        )
        return same / total if total else 1.0


def _end(statements: list[Statement], index: int) -> int:
    """Index after the last statement inside a statement."""
    while statements[index].children:
        index = statements[index].children[-1]
    return index + 1


def map_statements(
    before: list[Statement], after: list[Statement], least: float = LEAST
) -> StatementMap:
    """Map the statements of two versions of a function.

    Args:
        before, after: The statements.
        least: Likeness of statements that are mapped though their place does not suggest it.
    """
    mapped = StatementMap(before, after)
    gaps = _map_equal(mapped)
    _map_moved(mapped)
    _map_similar(mapped, gaps, least)
    _map_enclosing(mapped)
    _map_in_place(mapped)
    return mapped


def likeness(old: Statement, new: Statement) -> float:
    """Similarity of two statements, 0 to 1: shared words and shape."""
    if old.texts == new.texts:
        return 1.0
    if not old.texts or not new.texts:
        return 0.0
    shared = max(_shared(old.words, new.words), _PARTS * _shared(old.parts, new.parts))
    if old.shape == new.shape:
        return 0.4 + 0.6 * shared if shared else 0.3
    return shared if old.kind == new.kind else shared - _OTHER_KIND


def _shared(first: Counter[str], second: Counter[str]) -> float:
    total = first.total() + second.total()
    if len(first) > len(second):
        first, second = second, first
    return (
        2 * sum(min(count, second[word]) for word, count in first.items()) / total if total else 0.0
    )


def _map_equal(mapped: StatementMap) -> tuple[list[int], list[int]]:
    """Map equal statements in order; returns the gap that each statement lies in."""
    keys = (
        [statement.texts for statement in mapped.before],
        [statement.texts for statement in mapped.after],
    )
    blocks = SequenceMatcher(None, *keys, autojunk=len(keys[0]) * len(keys[1]) > _MAX_ANCHORS)
    gaps = [0] * len(mapped.before), [0] * len(mapped.after)
    ends = (0, 0)
    for gap, (start, other, size) in enumerate(blocks.get_matching_blocks()):
        for side, first in enumerate((start, other)):
            for index in range(ends[side], first):
                gaps[side][index] = gap
            for index in range(first, first + size):
                gaps[side][index] = -1
        for step in range(size):
            _pair(mapped, start + step, other + step, 1.0)
        ends = start + size, other + size
    return gaps


def _map_moved(mapped: StatementMap) -> None:
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index in mapped.left_after():
        places[mapped.after[index].texts].append(index)
    for index in mapped.left_before():
        statement = mapped.before[index]
        others = places.get(statement.texts)
        if others and (statement.weight > 2 or _same_parent(mapped, index, others[0])):
            near = (
                place for place, o in enumerate(others[:_BAND]) if _same_parent(mapped, index, o)
            )
            _pair(mapped, index, others.pop(next(near, 0)), 1.0)


def _map_similar(mapped: StatementMap, gaps: tuple[list[int], list[int]], least: float) -> None:
    scored = []
    for old, new in _candidates(mapped, gaps):
        like = likeness(mapped.before[old], mapped.after[new])
        if like >= least:
            near = 0.1 * (gaps[0][old] == gaps[1][new]) + 0.1 * _same_parent(mapped, old, new)
            scored.append((-like - near, abs(old - new), old, new, like))
    _take(mapped, sorted(scored))


def _candidates(
    mapped: StatementMap, gaps: tuple[list[int], list[int]]
) -> Iterable[tuple[int, int]]:
    unmapped_before, unmapped_after = mapped.left_before(), mapped.left_after()
    if len(unmapped_before) * len(unmapped_after) <= _MAX_PAIRS:
        pairs = [(old, new) for old in unmapped_before for new in unmapped_after]
    else:
        pairs = list(_near(unmapped_before, unmapped_after, gaps))
    return [(a, b) for a, b in pairs if _comparable(mapped.before[a], mapped.after[b])]


def _near(
    unmapped_before: list[int], unmapped_after: list[int], gaps: tuple[list[int], list[int]]
) -> Iterable[tuple[int, int]]:
    """Candidates between the same mapped neighbours, at about the same distance."""
    sides: tuple[dict[int, list[int]], dict[int, list[int]]] = defaultdict(list), defaultdict(list)
    for side, indices in enumerate((unmapped_before, unmapped_after)):
        for index in indices:
            sides[side][gaps[side][index]].append(index)
    for gap, inside in sides[0].items():
        opposite = sides[1].get(gap, [])
        for place, old in enumerate(inside):
            at = place * len(opposite) // len(inside)
            for new in opposite[max(0, at - _BAND) : at + _BAND + 1]:
                yield old, new


def _comparable(old: Statement, new: Statement) -> bool:
    if bool(old.children) != bool(new.children):
        return False
    return not old.children or old.kind == new.kind


def _map_enclosing(mapped: StatementMap) -> None:
    """Map statements that enclose mostly the same statements."""
    votes: Counter[tuple[int, int]] = Counter()
    for old, new in mapped.pairs.items():
        up = mapped.before[old].parent, mapped.after[new].parent
        if min(up) >= 0:
            votes[up] += mapped.before[old].weight
    after = set(mapped.pairs.values())
    # inner ones first: indices rise inwards
    for (old, new), _ in sorted(votes.items(), key=lambda vote: (-vote[1], vote[0])):
        if old in mapped.pairs or new in after:
            continue
        if mapped.before[old].kind == mapped.after[new].kind:
            _pair(mapped, old, new, likeness(mapped.before[old], mapped.after[new]))
            after.add(new)


def _map_in_place(mapped: StatementMap) -> None:
    """Map remaining statements whose parents or neighbours are mapped."""
    scored = []
    after = set(mapped.left_after())
    for old in mapped.left_before():
        for new in _neighbours(mapped, old):
            if new in after and _comparable(mapped.before[old], mapped.after[new]):
                like = likeness(mapped.before[old], mapped.after[new])
                if like >= _LEAST_IN_PLACE:
                    scored.append((-like, abs(old - new), old, new, like))
    _take(mapped, sorted(set(scored)))


def _neighbours(mapped: StatementMap, old: int) -> list[int]:
    """Statements next to the counterparts of this statement's neighbours."""
    places = []
    if old - 1 in mapped.pairs:
        places.append(mapped.pairs[old - 1] + 1)
    if old + 1 in mapped.pairs:
        places.append(mapped.pairs[old + 1] - 1)
    if not places and old == 0:
        places.append(0)
    return [place for place in places if 0 <= place < len(mapped.after)]


def _take(mapped: StatementMap, scored: list[tuple[float, int, int, int, float]]) -> None:
    after = set(mapped.pairs.values())
    for _, _, old, new, like in scored:
        if old not in mapped.pairs and new not in after:
            _pair(mapped, old, new, like)
            after.add(new)


def _pair(mapped: StatementMap, old: int, new: int, like: float) -> None:
    mapped.pairs[old] = new
    mapped.likeness[old] = like


def _same_parent(mapped: StatementMap, old: int, new: int) -> bool:
    up, over = mapped.before[old].parent, mapped.after[new].parent
    return over == (mapped.pairs.get(up, -2) if up >= 0 else -1)
