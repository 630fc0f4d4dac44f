"""Similarity of names, functions and types, 0 to 1."""

from collections import Counter
from difflib import SequenceMatcher
from functools import lru_cache

from cortex_pipelines.extraction.refactoring.mapping import StatementMap, map_statements
from cortex_pipelines.extraction.refactoring.model import Function, Type, words_of


def shared(first: Counter[str], second: Counter[str]) -> float:
    """Dice similarity of two bags of words."""
    total = first.total() + second.total()
    return 2 * (first & second).total() / total if total else 1.0


@lru_cache(maxsize=65536)
def names_alike(first: str, second: str) -> float:
    """Similarity of two identifiers, by words and by characters."""
    words = Counter(words_of(first)), Counter(words_of(second))
    letters = SequenceMatcher(None, first.lower(), second.lower(), autojunk=False).ratio()
    return max(shared(*words), letters if letters >= 0.6 else 0.0)


def parameters_alike(first: Function, second: Function) -> float:
    """Dice similarity of the parameter names; 1 if there are none."""
    names = [Counter(parameter.name for parameter in side.parameters) for side in (first, second)]
    return shared(*names)


class FunctionLikeness:
    """Similarity of functions, computed once per pair."""

    def __init__(self) -> None:
        self._maps: dict[tuple[int, int], StatementMap] = {}

    def mapped(self, old: Function, new: Function) -> StatementMap:
        """Statement map of two functions."""
        key = id(old), id(new)
        if key not in self._maps:
            self._maps[key] = map_statements(old.statements, new.statements)
        return self._maps[key]

    def bodies(self, old: Function, new: Function) -> float:
        """Similarity of two bodies; without shared words they are not mapped."""
        if shared(old.words, new.words) < 0.2:
            return 0.0
        return self.mapped(old, new).share()


def types_alike(first: Type, second: Type) -> float:
    """Similarity of two types, by member names and all words in them."""
    members = [
        Counter([method.name for method in side.methods]) + _fields(side)
        for side in (first, second)
    ]
    words = [
        sum((method.words for method in side.methods), _words(side)) for side in (first, second)
    ]
    return 0.5 * shared(*members) + 0.5 * shared(*words)


def _fields(side: Type) -> Counter[str]:
    return Counter(
        statement.texts[position]
        for statement in side.statements
        for position, _ in statement.declares
    )


def _words(side: Type) -> Counter[str]:
    return sum((statement.words for statement in side.statements), Counter())
