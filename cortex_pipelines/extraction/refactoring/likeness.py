"""How alike names, functions and types are, 0 to 1."""

from collections import Counter
from difflib import SequenceMatcher
from functools import lru_cache

from cortex_pipelines.extraction.refactoring.mapping import StatementMap, map_statements
from cortex_pipelines.extraction.refactoring.model import Function, Type, words_of


def shared(first: Counter[str], second: Counter[str]) -> float:
    """Share of two bags of words that is in both."""
    total = first.total() + second.total()
    return 2 * (first & second).total() / total if total else 1.0


@lru_cache(maxsize=65536)
def names_alike(first: str, second: str) -> float:
    """How alike two identifiers are: by their words, and by their characters."""
    words = Counter(words_of(first)), Counter(words_of(second))
    letters = SequenceMatcher(None, first.lower(), second.lower(), autojunk=False).ratio()
    return max(shared(*words), letters if letters >= 0.6 else 0.0)


def parameters_alike(first: Function, second: Function) -> float:
    """Share of the parameters' names that is in both; 1 where there are none."""
    names = [Counter(parameter.name for parameter in side.parameters) for side in (first, second)]
    return shared(*names)


class FunctionLikeness:
    """Likeness of functions, computed once a pair."""

    def __init__(self) -> None:
        self._maps: dict[tuple[int, int], StatementMap] = {}

    def mapped(self, old: Function, new: Function) -> StatementMap:
        """Which statement of one is which of the other."""
        key = id(old), id(new)
        if key not in self._maps:
            self._maps[key] = map_statements(old.statements, new.statements)
        return self._maps[key]

    def bodies(self, old: Function, new: Function) -> float:
        """Share of two bodies that is the same; without words in common they are not mapped."""
        if shared(old.words, new.words) < 0.2:
            return 0.0
        return self.mapped(old, new).share()


def types_alike(first: Type, second: Type) -> float:
    """How alike two types are: names of members, and the words of all they hold."""
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
