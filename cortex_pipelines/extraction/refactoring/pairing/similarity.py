"""Similarity of names, functions and types, 0 to 1."""

from collections import Counter
from difflib import SequenceMatcher
from functools import lru_cache

from cortex_pipelines.extraction.refactoring.mapping import StatementMap, map_statements
from cortex_pipelines.extraction.refactoring.model import Function, Type, identifier_words


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
    """Dice similarity of the parameter names; 1 if neither has any."""
    names = [Counter(parameter.name for parameter in function.parameters) for function in (first, second)]
    return dice_similarity(*names)


class FunctionSimilarity:
    """Similarity of functions, computed once per pair."""

    def __init__(self) -> None:
        self._maps: dict[tuple[int, int], StatementMap] = {}

    def statement_map(self, old: Function, new: Function) -> StatementMap:
        key = id(old), id(new)
        if key not in self._maps:
            self._maps[key] = map_statements(old.statements, new.statements)
        return self._maps[key]

    def body_similarity(self, old: Function, new: Function) -> float:
        """Similarity of two bodies; without shared words they are not mapped."""
        if dice_similarity(old.word_counts, new.word_counts) < 0.2:
            return 0.0
        return self.statement_map(old, new).equal_share()


def type_similarity(first: Type, second: Type) -> float:
    """Similarity of two types, by member names and all words in them."""
    members = [Counter([method.name for method in unit.methods]) + _fields(unit) for unit in (first, second)]
    words = [sum((method.word_counts for method in kind.methods), _word_counts(kind)) for kind in (first, second)]
    return 0.5 * dice_similarity(*members) + 0.5 * dice_similarity(*words)


def _fields(unit: Type) -> Counter[str]:
    return Counter(statement.texts[position] for statement in unit.statements for position, _ in statement.declarations)


def _word_counts(unit: Type) -> Counter[str]:
    return sum((statement.word_counts for statement in unit.statements), Counter())
