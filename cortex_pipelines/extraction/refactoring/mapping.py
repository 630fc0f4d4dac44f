"""Which statement of one version is which of the other.

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
    """Statements of two versions that are the same.

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
        """Statements that are gone."""
        return [index for index in range(len(self.before)) if index not in self.pairs]

    def left_after(self) -> list[int]:
        """Statements that are new."""
        kept = set(self.pairs.values())
        return [index for index in range(len(self.after)) if index not in kept]

    def reversed(self) -> "StatementMap":
        """The same map with time running backwards."""
        pairs = {other: one for one, other in self.pairs.items()}
        likeness = {other: self.likeness[one] for one, other in self.pairs.items()}
        return StatementMap(self.after, self.before, pairs, likeness)

    def share(self) -> float:
        """How much of both versions is the same, 0 to 1."""
        total = sum(one.weight for one in self.before) + sum(one.weight for one in self.after)
        same = sum(
            self.likeness[one] * (self.before[one].weight + self.after[other].weight)
            for one, other in self.pairs.items()
        )
        return same / total if total else 1.0


def map_statements(
    before: list[Statement], after: list[Statement], least: float = LEAST
) -> StatementMap:
    """The statements of two versions of a function that are the same.

    Args:
        before, after: The statements.
        least: Likeness of statements that are mapped though their place does not suggest it.
    """
    found = StatementMap(before, after)
    gaps = _map_equal(found)
    _map_moved(found)
    _map_similar(found, gaps, least)
    _map_enclosing(found)
    _map_in_place(found)
    return found


def likeness(one: Statement, other: Statement) -> float:
    """How alike two statements are, 0 to 1: shared words, and the same shape."""
    if one.texts == other.texts:
        return 1.0
    if not one.texts or not other.texts:
        return 0.0
    shared = max(_shared(one.words, other.words), _PARTS * _shared(one.parts, other.parts))
    if one.shape == other.shape:
        return 0.4 + 0.6 * shared if shared else 0.3
    return shared if one.kind == other.kind else shared - _OTHER_KIND


def _shared(one: Counter[str], other: Counter[str]) -> float:
    total = one.total() + other.total()
    if len(one) > len(other):
        one, other = other, one
    return 2 * sum(min(count, other[word]) for word, count in one.items()) / total if total else 0.0


def _map_equal(found: StatementMap) -> tuple[list[int], list[int]]:
    """Map equal statements in order; gives the gap between them that each statement is in."""
    keys = [one.texts for one in found.before], [one.texts for one in found.after]
    blocks = SequenceMatcher(None, *keys, autojunk=len(keys[0]) * len(keys[1]) > _MAX_ANCHORS)
    gaps = [0] * len(found.before), [0] * len(found.after)
    ends = (0, 0)
    for gap, (start, other, size) in enumerate(blocks.get_matching_blocks()):
        for side, first in enumerate((start, other)):
            for index in range(ends[side], first):
                gaps[side][index] = gap
            for index in range(first, first + size):
                gaps[side][index] = -1
        for step in range(size):
            _pair(found, start + step, other + step, 1.0)
        ends = start + size, other + size
    return gaps


def _map_moved(found: StatementMap) -> None:
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index in found.left_after():
        places[found.after[index].texts].append(index)
    for index in found.left_before():
        one = found.before[index]
        others = places.get(one.texts)
        if others and (one.weight > 2 or _same_parent(found, index, others[0])):
            near = (
                place for place, o in enumerate(others[:_BAND]) if _same_parent(found, index, o)
            )
            _pair(found, index, others.pop(next(near, 0)), 1.0)


def _map_similar(found: StatementMap, gaps: tuple[list[int], list[int]], least: float) -> None:
    scored = []
    for one, other in _candidates(found, gaps):
        like = likeness(found.before[one], found.after[other])
        if like >= least:
            near = 0.1 * (gaps[0][one] == gaps[1][other]) + 0.1 * _same_parent(found, one, other)
            scored.append((-like - near, abs(one - other), one, other, like))
    _take(found, sorted(scored))


def _candidates(
    found: StatementMap, gaps: tuple[list[int], list[int]]
) -> Iterable[tuple[int, int]]:
    ones, others = found.left_before(), found.left_after()
    if len(ones) * len(others) <= _MAX_PAIRS:
        pairs = [(one, other) for one in ones for other in others]
    else:
        pairs = list(_near(ones, others, gaps))
    return [(a, b) for a, b in pairs if _comparable(found.before[a], found.after[b])]


def _near(
    ones: list[int], others: list[int], gaps: tuple[list[int], list[int]]
) -> Iterable[tuple[int, int]]:
    """Statements between the same neighbours, and about as far from them."""
    sides: tuple[dict[int, list[int]], dict[int, list[int]]] = defaultdict(list), defaultdict(list)
    for side, indices in enumerate((ones, others)):
        for index in indices:
            sides[side][gaps[side][index]].append(index)
    for gap, inside in sides[0].items():
        opposite = sides[1].get(gap, [])
        for place, one in enumerate(inside):
            at = place * len(opposite) // len(inside)
            for other in opposite[max(0, at - _BAND) : at + _BAND + 1]:
                yield one, other


def _comparable(one: Statement, other: Statement) -> bool:
    if bool(one.children) != bool(other.children):
        return False
    return not one.children or one.kind == other.kind


def _map_enclosing(found: StatementMap) -> None:
    """Map what encloses mostly the same statements."""
    votes: Counter[tuple[int, int]] = Counter()
    for one, other in found.pairs.items():
        up = found.before[one].parent, found.after[other].parent
        if min(up) >= 0:
            votes[up] += found.before[one].weight
    after = set(found.pairs.values())
    # inner ones first: indices rise inwards
    for (one, other), _ in sorted(votes.items(), key=lambda vote: (-vote[1], vote[0])):
        if one in found.pairs or other in after:
            continue
        if found.before[one].kind == found.after[other].kind:
            _pair(found, one, other, likeness(found.before[one], found.after[other]))
            after.add(other)


def _map_in_place(found: StatementMap) -> None:
    """Map what is left where the statements around, before or behind are the same."""
    scored = []
    after = set(found.left_after())
    for one in found.left_before():
        for other in _neighbours(found, one):
            if other in after and _comparable(found.before[one], found.after[other]):
                like = likeness(found.before[one], found.after[other])
                if like >= _LEAST_IN_PLACE:
                    scored.append((-like, abs(one - other), one, other, like))
    _take(found, sorted(set(scored)))


def _neighbours(found: StatementMap, one: int) -> list[int]:
    """Statements after that stand right behind or before what their like stands beside."""
    places = []
    if one - 1 in found.pairs:
        places.append(found.pairs[one - 1] + 1)
    if one + 1 in found.pairs:
        places.append(found.pairs[one + 1] - 1)
    if not places and one == 0:
        places.append(0)
    return [place for place in places if 0 <= place < len(found.after)]


def _take(found: StatementMap, scored: list[tuple[float, int, int, int, float]]) -> None:
    after = set(found.pairs.values())
    for _, _, one, other, like in scored:
        if one not in found.pairs and other not in after:
            _pair(found, one, other, like)
            after.add(other)


def _pair(found: StatementMap, one: int, other: int, like: float) -> None:
    found.pairs[one] = other
    found.likeness[one] = like


def _same_parent(found: StatementMap, one: int, other: int) -> bool:
    up, over = found.before[one].parent, found.after[other].parent
    return over == (found.pairs.get(up, -2) if up >= 0 else -1)
