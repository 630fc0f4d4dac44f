"""Purity of refactorings: pure if units are equal with their renames undone, so that behaviour cannot change."""

from collections import Counter
from collections.abc import Mapping

from cortex_pipelines.extraction.refactoring.extracted_functions import ExtractedFunction
from cortex_pipelines.extraction.refactoring.model import FUNCTION_MARKS, Function, Statement, Type
from cortex_pipelines.extraction.refactoring.unit_pairing import Pairing

Names = Mapping[str, str]


class Purity:
    def __init__(self, pairing: Pairing) -> None:
        names = [(old.name, new.name) for old, new in pairing.types]
        names += [(old.name, new.name) for old, new in [*pairing.in_place.values(), *pairing.moved]]
        self._names = {old: new for old, new in names if old and old != new}
        self._unpaired_ids = {id(old) for old in pairing.removed.values()}
        self._unpaired_ids |= {id(new) for new in pairing.added.values()}

    def body(self, old: Function, new: Function, names: Names) -> bool:
        renames = {**self._names, **names}
        before = [self._renamed(statement, names) for statement in old.statements]
        return before == [statement.texts for statement in new.statements] and (
            tuple(renames.get(token, token) for token in old.head) == new.head
        )

    def parameters(self, old: Function, new: Function, names: Names) -> bool:
        renames = {**self._names, **names}
        after = {parameter.name: (parameter.type, parameter.default) for parameter in new.parameters}
        for parameter in old.parameters:
            values = renames.get(parameter.type, parameter.type), parameter.default
            if after.get(renames.get(parameter.name, parameter.name), values) != values:
                return False
        return True

    def function(self, old: Function, new: Function, names: Names) -> bool:
        renames = {**self._names, **names}
        parameter_names = [renames.get(parameter.name, parameter.name) for parameter in old.parameters]
        return (
            parameter_names == [parameter.name for parameter in new.parameters]
            and self.parameters(old, new, names)
            and self.body(old, new, names)
        )

    def fields(self, old: Type, new: Type) -> bool:
        """Whether a type is the same, up to the bodies of its methods."""
        is_paired = self._unpaired_ids.isdisjoint(id(method) for method in (*old.methods, *new.methods))
        before = [self._renamed(statement, {}) for statement in old.statements]
        return is_paired and before == [statement.texts for statement in new.statements]

    def extraction(self, extraction: ExtractedFunction, names: Names) -> bool:
        """Whether the new function does what was removed; extracted values may have become parameters."""
        mapped_indices = set(extraction.extracted_map.pairs.values())
        for index, statement in enumerate(extraction.extracted.statements):
            only_returns = statement.kind.startswith("return") and statement.weight <= 1
            if index not in mapped_indices and not only_returns:
                return False
        for index, old in enumerate(extraction.extracted_map.before):
            # removed without being extracted, or changed where it stays; what held a function now hands it on
            if index not in extraction.extracted_map.pairs and FUNCTION_MARKS.isdisjoint(old.texts):
                return False
        for index, position in extraction.extracted_map.pairs.items():
            old, new = (extraction.extracted_map.before[index], extraction.extracted.statements[position])
            if old.texts != new.texts and old.shape != new.shape:
                return False
        remaining_origin = Counter(self._renamed(old, names) for old in extraction.origin.statements)
        remaining_origin -= Counter(self._renamed(old, names) for old in extraction.extracted_map.before)
        remaining_caller = Counter(
            statement.texts
            for statement in extraction.caller.statements
            if extraction.extracted.name not in statement.texts
        )
        return remaining_origin == remaining_caller

    def _renamed(self, statement: Statement, names: Names) -> tuple[str, ...]:
        """The tokens with units and local ``names`` renamed; a property has no local name."""
        if self._names.keys().isdisjoint(statement.texts) and names.keys().isdisjoint(statement.texts):
            return statement.texts
        local = {**self._names, **names}
        return tuple(
            text if mark == "l" else (local if mark == "i" else self._names).get(text, text)
            for text, mark in zip(statement.texts, statement.marks, strict=True)
        )
