"""Map the statements of two versions to each other.

Equal statements in order first, then equal ones that moved, then similar ones, the most similar
first; enclosing statements are mapped by what they enclose.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import product
from math import fsum
from typing import TypeVar

from cortex_pipelines.extraction.refactoring.model import Function, Statement, Type, identifier_words

# with more, similar statements are only compared between the same neighbours
_MAX_PAIRS = 60_000
_BAND = 6
_MAX_ANCHORS = 1_000_000  # pairs of equal statements; beyond, frequent ones do not anchor
_SUBWORD_FACTOR = 0.9  # names of the same words are a little less than the same names
_OTHER_KIND_PENALTY = 0.1  # a return is less likely to have been an assignment
MIN_SIMILARITY = 0.55  # a similar statement shares about half of its words
_MIN_SIMILARITY_IN_PLACE = 0.4  # where its neighbours suggest the same statement

A = TypeVar("A")
B = TypeVar("B")


def one_to_one(ranked: Iterable[tuple[A, B]]) -> list[tuple[A, B]]:
    """The pairs of which no earlier one has a side, best first."""
    pairs: dict[A, B] = {}
    taken: set[B] = set()
    for old, new in ranked:
        if old not in pairs and new not in taken:
            pairs[old] = new
            taken.add(new)
    return list(pairs.items())


@dataclass
class StatementMap:
    """Index before to index after, with a similarity (0 to 1) by the index before."""

    before: list[Statement]
    after: list[Statement]
    pairs: dict[int, int] = field(default_factory=dict)
    similarities: dict[int, float] = field(default_factory=dict)

    def unmapped_before(self) -> list[int]:
        return [index for index in range(len(self.before)) if index not in self.pairs]

    def unmapped_after(self) -> list[int]:
        mapped_after = set(self.pairs.values())
        return [index for index in range(len(self.after)) if index not in mapped_after]

    def reversed(self) -> "StatementMap":
        pairs = {new: old for old, new in self.pairs.items()}
        likeness = {new: self.similarities[old] for old, new in self.pairs.items()}
        return StatementMap(self.after, self.before, pairs, likeness)

    @property
    def changed(self) -> bool:
        return any(self.before[a].texts != self.after[b].texts for a, b in self.pairs.items())

    def submap(self, old: int) -> "StatementMap":
        """The map of a statement and those inside it, as top-level statements."""
        new = self.pairs[old]
        ends = _end(self.before, old), _end(self.after, new)
        inner_pairs = {
            a: self.pairs[a] for a in range(old, ends[0]) if a in self.pairs and new <= self.pairs[a] < ends[1]
        }
        return StatementMap(
            self.before[old : ends[0]],
            self.after[new : ends[1]],
            {a - old: b - new for a, b in inner_pairs.items()},
            {a - old: self.similarities[a] for a in inner_pairs},
        )

    def equal_share(self) -> float:
        """Share of both versions that is equal, 0 to 1, weighted by statement size."""
        total = sum(statement.weight for statement in [*self.before, *self.after])
        equal_weight = fsum(
            self.similarities[old] * (self.before[old].weight + self.after[new].weight)
            for old, new in self.pairs.items()
        )
        return equal_weight / total if total else 1.0


def _end(statements: list[Statement], index: int) -> int:
    while statements[index].children:
        index = statements[index].children[-1]
    return index + 1


_Gaps = tuple[list[int], list[int]]
"""Gap between mapped statements that each statement of both versions lies in."""


def map_statements(
    before: list[Statement], after: list[Statement], min_similarity: float = MIN_SIMILARITY
) -> StatementMap:
    """Map statements; from ``min_similarity`` on regardless of their position."""
    statement_map = StatementMap(before, after)
    if before is after or [old.texts for old in before] == [new.texts for new in after]:
        for index in range(len(before)):
            _pair(statement_map, index, index, 1.0)
        return statement_map
    gaps = _map_equal(statement_map)
    _map_moved(statement_map)
    _map_similar(statement_map, gaps, min_similarity)
    _map_enclosing(statement_map)
    _map_in_place(statement_map)
    return statement_map


def statement_similarity(old: Statement, new: Statement) -> float:
    if old.texts == new.texts:
        return 1.0
    if not old.texts or not new.texts:
        return 0.0
    shared = max(
        dice_similarity(old.word_counts, new.word_counts),
        _SUBWORD_FACTOR * dice_similarity(old.subword_counts, new.subword_counts),
    )
    if old.shape == new.shape:
        return 0.4 + 0.6 * shared if shared else 0.3
    return shared if old.kind == new.kind else shared - _OTHER_KIND_PENALTY


def _map_equal(statement_map: StatementMap) -> _Gaps:
    """Map equal statements in order; returns the gap that each statement lies in."""
    keys = (
        [statement.texts for statement in statement_map.before],
        [statement.texts for statement in statement_map.after],
    )
    blocks = SequenceMatcher(None, *keys, autojunk=len(keys[0]) * len(keys[1]) > _MAX_ANCHORS)
    gaps: _Gaps = [], []
    for gap, (start, other, size) in enumerate(blocks.get_matching_blocks()):
        # those of the block itself are mapped, so that nobody asks for theirs
        gaps[0].extend([gap] * (start + size - len(gaps[0])))
        gaps[1].extend([gap] * (other + size - len(gaps[1])))
        for step in range(size):
            _pair(statement_map, start + step, other + step, 1.0)
    return gaps


def _map_moved(statement_map: StatementMap) -> None:
    indices_by_texts: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index in statement_map.unmapped_after():
        indices_by_texts[statement_map.after[index].texts].append(index)
    for index in statement_map.unmapped_before():
        statement = statement_map.before[index]
        candidates = indices_by_texts.get(statement.texts)
        if candidates and (statement.weight > 2 or _same_parent(statement_map, index, candidates[0])):
            same_parent = (
                position
                for position, candidate in enumerate(candidates[:_BAND])
                if _same_parent(statement_map, index, candidate)
            )
            _pair(statement_map, index, candidates.pop(next(same_parent, 0)), 1.0)


def _map_similar(statement_map: StatementMap, gaps: _Gaps, min_similarity: float) -> None:
    unmapped_before, unmapped_after = statement_map.unmapped_before(), statement_map.unmapped_after()
    if len(unmapped_before) * len(unmapped_after) <= _MAX_PAIRS:
        candidates: Iterable[tuple[int, int]] = product(unmapped_before, unmapped_after)
    else:
        candidates = _nearby_candidates(unmapped_before, unmapped_after, gaps)
    scored = []
    for old, new in candidates:
        if not _comparable(statement_map.before[old], statement_map.after[new]):
            continue
        similarity = statement_similarity(statement_map.before[old], statement_map.after[new])
        if similarity >= min_similarity:
            bonus = 0.1 * (gaps[0][old] == gaps[1][new]) + 0.1 * _same_parent(statement_map, old, new)
            scored.append((-similarity - bonus, abs(old - new), old, new, similarity))
    _pair_best(statement_map, sorted(scored))


def _nearby_candidates(unmapped_before: list[int], unmapped_after: list[int], gaps: _Gaps) -> Iterable[tuple[int, int]]:
    by_gap: tuple[dict[int, list[int]], dict[int, list[int]]] = defaultdict(list), defaultdict(list)
    for version, indices in enumerate((unmapped_before, unmapped_after)):
        for index in indices:
            by_gap[version][gaps[version][index]].append(index)
    for gap, old_indices in by_gap[0].items():
        new_indices = by_gap[1].get(gap, [])
        for position, old in enumerate(old_indices):
            centre = position * len(new_indices) // len(old_indices)
            for new in new_indices[max(0, centre - _BAND) : centre + _BAND + 1]:
                yield old, new


def _comparable(old: Statement, new: Statement) -> bool:
    return old.kind == new.kind if old.children and new.children else not old.children and not new.children


def _map_enclosing(statement_map: StatementMap) -> None:
    votes: Counter[tuple[int, int]] = Counter()
    for old, new in statement_map.pairs.items():
        parents = statement_map.before[old].parent, statement_map.after[new].parent
        if min(parents) >= 0:
            votes[parents] += statement_map.before[old].weight
    after = set(statement_map.pairs.values())
    # inner ones first: indices rise inwards
    for (old, new), _ in sorted(votes.items(), key=lambda vote: (-vote[1], vote[0])):
        if old in statement_map.pairs or new in after:
            continue
        if statement_map.before[old].kind == statement_map.after[new].kind:
            _pair(statement_map, old, new, statement_similarity(statement_map.before[old], statement_map.after[new]))
            after.add(new)


def _map_in_place(statement_map: StatementMap) -> None:
    scored = []
    after = set(statement_map.unmapped_after())
    for old in statement_map.unmapped_before():
        # statements next to the counterparts of this one's neighbours
        candidates = []
        if old - 1 in statement_map.pairs:
            candidates.append(statement_map.pairs[old - 1] + 1)
        if old + 1 in statement_map.pairs:
            candidates.append(statement_map.pairs[old + 1] - 1)
        if not candidates and old == 0:
            candidates.append(0)
        for new in candidates:
            if new in after and _comparable(statement_map.before[old], statement_map.after[new]):
                similarity = statement_similarity(statement_map.before[old], statement_map.after[new])
                if similarity >= _MIN_SIMILARITY_IN_PLACE:
                    scored.append((-similarity, abs(old - new), old, new, similarity))
    _pair_best(statement_map, sorted(set(scored)))


def _pair_best(statement_map: StatementMap, scored: list[tuple[float, int, int, int, float]]) -> None:
    after = set(statement_map.pairs.values())
    for _, _, old, new, similarity in scored:
        if old not in statement_map.pairs and new not in after:
            _pair(statement_map, old, new, similarity)
            after.add(new)


def _pair(statement_map: StatementMap, old: int, new: int, similarity: float) -> None:
    statement_map.pairs[old] = new
    statement_map.similarities[old] = similarity


def _same_parent(statement_map: StatementMap, old: int, new: int) -> bool:
    old_parent, new_parent = statement_map.before[old].parent, statement_map.after[new].parent
    return new_parent == (statement_map.pairs.get(old_parent, -2) if old_parent >= 0 else -1)


def dice_similarity(first: Counter[str], second: Counter[str]) -> float:
    total = first.total() + second.total()
    short, long = sorted((first, second), key=len)
    return 2 * sum(min(count, long[word]) for word, count in short.items()) / total if total else 1.0


@lru_cache(maxsize=65536)
def name_similarity(first: str, second: str) -> float:
    """Similarity of two identifiers, by words and by characters."""
    words = Counter(identifier_words(first)), Counter(identifier_words(second))
    letters = SequenceMatcher(None, first.lower(), second.lower(), autojunk=False).ratio()
    return max(dice_similarity(*words), letters if letters >= 0.6 else 0.0)


def parameter_similarity(first: Function, second: Function) -> float:
    names = [Counter(parameter.name for parameter in function.parameters) for function in (first, second)]
    return dice_similarity(*names)


def type_similarity(first: Type, second: Type) -> float:
    return _half_by_members(first, second) + 0.5 * dice_similarity(first.word_counts, second.word_counts)


def is_similar_type(first: Type, second: Type, least: float) -> bool:
    """Whether ``type_similarity`` is at least so much; bodies of methods are only read if it depends on them."""
    same_methods = [method.name for method in first.methods] == [method.name for method in second.methods]
    by_members = 0.5 if same_methods and first.has_body_of(second) else _half_by_members(first, second)
    return by_members >= least or type_similarity(first, second) >= least


def _half_by_members(first: Type, second: Type) -> float:
    members = [
        Counter(method.name for method in unit.methods)
        + Counter(line.texts[position] for line in unit.statements for position, _ in line.declarations)
        for unit in (first, second)
    ]
    return 0.5 * dice_similarity(*members)
