"""Purity of refactorings: pure if behaviour cannot change.

A unit is compared after its renames were undone. What is left that differs makes it mixed.
"""

from collections import Counter
from collections.abc import Mapping

from cortex_pipelines.extraction.refactoring.extracted_functions import ExtractedFunction
from cortex_pipelines.extraction.refactoring.model import Function, Statement
from cortex_pipelines.extraction.refactoring.pairing.units import Pairing

Names = Mapping[str, str]


class Purity:
    """Compares units with all renames of types and functions undone.

    Args:
        paired: What is the same in both versions.
    """

    def __init__(self, paired: Pairing) -> None:
        names = [(old.name, new.name) for old, new in paired.types]
        names += [(old.name, new.name) for old, new in [*paired.functions, *paired.moved]]
        self._names = {old: new for old, new in names if old and old != new}
        self._changed = {id(old) for old in paired.removed.values()}
        self._changed |= {id(new) for new in paired.added.values()}

    def body(self, old: Function, new: Function, names: Names) -> bool:
        """Whether two bodies are equal, given renamed variables."""
        known = {**self._names, **names}
        before = [self._renamed(statement, known) for statement in old.statements]
        return before == [statement.texts for statement in new.statements] and self._head(
            old, new, known
        )

    def parameters(self, old: Function, new: Function, names: Names) -> bool:
        """Whether shared parameters kept their types and defaults."""
        known = {**self._names, **names}
        after = {parameter.name: parameter for parameter in new.parameters}
        for parameter in old.parameters:
            same = after.get(known.get(parameter.name, parameter.name))
            if same is not None:
                values = known.get(parameter.type, parameter.type), parameter.default
                if values != (same.type, same.default):
                    return False
        return True

    def function(self, old: Function, new: Function, names: Names) -> bool:
        """Whether a function is equal apart from name, place and renamed variables."""
        known = {**self._names, **names}
        kept = [known.get(parameter.name, parameter.name) for parameter in old.parameters]
        return (
            kept == [parameter.name for parameter in new.parameters]
            and self.parameters(old, new, names)
            and self.body(old, new, names)
        )

    def unpaired(self, functions: list[Function]) -> bool:
        """Whether any of the functions has no match."""
        return any(id(function) in self._changed for function in functions)

    def statements(self, before: list[Statement], after: list[Statement]) -> bool:
        """Whether statements outside functions are equal."""
        renamed = [self._renamed(statement, self._names) for statement in before]
        return renamed == [statement.texts for statement in after]

    def extraction(self, extraction: ExtractedFunction, names: Names) -> bool:
        """Whether the new function does exactly what was removed from the origin.

        What took its place in the origin has to call the new function; values of the part may have
        become parameters.
        """
        known = {**self._names, **names}
        taken = set(extraction.mapped.pairs.values())
        for index, statement in enumerate(extraction.extracted.statements):
            if index not in taken and not _only_returns(statement):
                return False
        for index, place in extraction.mapped.pairs.items():
            old, new = extraction.mapped.before[index], extraction.extracted.statements[place]
            if old.texts != new.texts and old.shape != new.shape:
                return False
        left = Counter(self._renamed(old, known) for old in extraction.origin.statements)
        left -= Counter(self._renamed(old, known) for old in extraction.mapped.before)
        rest = Counter(
            statement.texts
            for statement in extraction.caller.statements
            if extraction.extracted.name not in statement.texts
        )
        return left == rest

    def _renamed(self, statement: Statement, names: Names) -> tuple[str, ...]:
        if names.keys().isdisjoint(statement.texts):
            return statement.texts
        return tuple(
            names.get(text, text) if mark != "l" else text
            for text, mark in zip(statement.texts, statement.marks, strict=True)
        )

    def _head(self, old: Function, new: Function, names: Names) -> bool:
        return tuple(names.get(token, token) for token in old.head) == new.head


def _only_returns(statement: Statement) -> bool:
    return statement.kind.startswith("return") and statement.weight <= 1
