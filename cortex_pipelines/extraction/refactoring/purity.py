"""Whether anything but what was found differs: a refactoring is pure if behaviour cannot change.

A unit is compared after its renames were undone. What is left that differs makes it mixed.
"""

from collections import Counter
from collections.abc import Mapping

from cortex_pipelines.extraction.refactoring.extracting import Extraction
from cortex_pipelines.extraction.refactoring.model import Function, Statement
from cortex_pipelines.extraction.refactoring.pairing import Pairing

Names = Mapping[str, str]


class Purity:
    """Compares units with all renames of types and functions undone.

    Args:
        paired: What is the same in both versions.
    """

    def __init__(self, paired: Pairing) -> None:
        names = [(one.name, other.name) for one, other in paired.types]
        names += [(one.name, other.name) for one, other in [*paired.functions, *paired.moved]]
        self._names = {one: other for one, other in names if one and one != other}
        self._changed = {id(one) for one in paired.gone.values()}
        self._changed |= {id(other) for other in paired.new.values()}

    def body(self, one: Function, other: Function, names: Names) -> bool:
        """Whether two versions of a function do the same, given renamed variables."""
        known = {**self._names, **names}
        before = [self._renamed(statement, known) for statement in one.statements]
        return before == [statement.texts for statement in other.statements] and self._head(
            one, other, known
        )

    def parameters(self, one: Function, other: Function, names: Names) -> bool:
        """Whether the parameters that both versions have kept their types and defaults."""
        known = {**self._names, **names}
        after = {parameter.name: parameter for parameter in other.parameters}
        for parameter in one.parameters:
            same = after.get(known.get(parameter.name, parameter.name))
            if same is not None:
                values = known.get(parameter.type, parameter.type), parameter.default
                if values != (same.type, same.default):
                    return False
        return True

    def function(self, one: Function, other: Function, names: Names) -> bool:
        """Whether a function is the same but for its name, its place and renamed variables."""
        known = {**self._names, **names}
        kept = [known.get(parameter.name, parameter.name) for parameter in one.parameters]
        return (
            kept == [parameter.name for parameter in other.parameters]
            and self.parameters(one, other, names)
            and self.body(one, other, names)
        )

    def unpaired(self, functions: list[Function]) -> bool:
        """Whether one of some functions has no version on the other side."""
        return any(id(function) in self._changed for function in functions)

    def statements(self, before: list[Statement], after: list[Statement]) -> bool:
        """Whether statements outside of functions are the same."""
        ones = [self._renamed(statement, self._names) for statement in before]
        return ones == [statement.texts for statement in after]

    def extraction(self, found: Extraction, names: Names) -> bool:
        """Whether what is gone from the origin is all that the new function does.

        What took its place in the origin has to call the new function; values of the part may have
        become parameters.
        """
        known = {**self._names, **names}
        taken = set(found.mapped.pairs.values())
        for index, statement in enumerate(found.extracted.statements):
            if index not in taken and not _only_returns(statement):
                return False
        for index, place in found.mapped.pairs.items():
            one, other = found.mapped.before[index], found.extracted.statements[place]
            if one.texts != other.texts and one.shape != other.shape:
                return False
        left = Counter(self._renamed(one, known) for one in found.origin.statements)
        left -= Counter(self._renamed(one, known) for one in found.mapped.before)
        rest = Counter(
            statement.texts
            for statement in found.caller.statements
            if found.extracted.name not in statement.texts
        )
        return left == rest

    def _renamed(self, statement: Statement, names: Names) -> tuple[str, ...]:
        if names.keys().isdisjoint(statement.texts):
            return statement.texts
        return tuple(
            names.get(text, text) if mark != "l" else text
            for text, mark in zip(statement.texts, statement.marks, strict=True)
        )

    def _head(self, one: Function, other: Function, names: Names) -> bool:
        return tuple(names.get(token, token) for token in one.head) == other.head


def _only_returns(statement: Statement) -> bool:
    return statement.kind.startswith("return") and statement.weight <= 1
