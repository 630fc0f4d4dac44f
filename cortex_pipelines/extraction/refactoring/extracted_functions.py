"""Detect extracted functions; an inlined function is one with the versions swapped.

The code has to be removed from the origin and to appear in the new function, and the new function
has to be called where the code was.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from cortex_pipelines.extraction.refactoring.mapping import StatementMap, map_statements
from cortex_pipelines.extraction.refactoring.model import (
    FUNCTION_MARKS,
    NAMELESS,
    Function,
    Statement,
    select_statements,
)
from cortex_pipelines.extraction.settings import RefactoringSettings

_MIN_SIMILARITY = 0.4  # values became parameters, so less of a statement stays the same

_STRONG_SIMILARITY = 0.5  # not by chance
_KEPT_SIMILARITY = 0.7  # of a statement that stayed in the origin but changed
_MIN_DISTINCTIVE_WEIGHT = 3  # names and values of a statement that does not recur by chance
_MIN_REMOVED_WEIGHT, _MIN_REMOVED_SHARE = (4, 0.6)  # names and values removed from the origin, and their share


@dataclass(frozen=True)
class ExtractedFunction:
    """A function extracted from ``origin``, whose next version is ``caller``; the maps start at the origin."""

    origin: Function
    caller: Function
    extracted: Function
    extracted_map: StatementMap
    caller_map: StatementMap


def find_extractions(
    new: Iterable[Function],
    mapped_functions: Iterable[tuple[Function, Function, StatementMap]],
    settings: RefactoringSettings,
) -> list[ExtractedFunction]:
    by_name: dict[str, list[Function]] = defaultdict(list)
    for function in new:
        if function.name and function.statements:
            by_name[function.name].append(function)
    extractions = []
    for origin, caller, caller_map in mapped_functions:
        pending_names = [name for name in sorted(by_name) if caller.calls[name] > origin.calls[name]]
        passed_names = _names_passed_as_functions(by_name, origin, caller) - set(pending_names)
        pending_names += sorted(passed_names)
        tried_ids: set[int] = set()
        while pending_names:
            namesakes = [function for function in by_name.get(pending_names.pop(), ()) if _sees(caller, function)]
            # those of the caller's file if any; members of a nameless object are called only there
            same_file = [function for function in namesakes if function.location.path == caller.location.path]
            elsewhere = (other for other in namesakes if other.location.enclosing_names[-1:] != (NAMELESS,))
            for function in same_file or elsewhere:
                if id(function) in tried_ids:
                    continue
                tried_ids.add(id(function))
                statement_map = _map_to_extracted(function, origin, caller_map, is_passed=function.name in passed_names)
                if _is_extraction(statement_map, function, origin, caller_map, settings):
                    extractions.append(ExtractedFunction(origin, caller, function, statement_map, caller_map))
                    # the extracted function may have been split again
                    pending_names += sorted(function.calls)
    return extractions


def _sees(caller: Function, function: Function) -> bool:
    """Whether a caller is inside the function that another one is local to, if it is."""
    location, names = function.location, (*caller.location.enclosing_names, caller.name)
    is_local = location.enclosing_function and location.enclosing_names[-1] == location.enclosing_function
    return not is_local or names[: len(location.enclosing_names)] == location.enclosing_names


def _names_passed_as_functions(names: Collection[str], origin: Function, caller: Function) -> set[str]:
    """Names that replaced functions without a name, among the same words."""
    if not names or not origin.callbacks:
        return set()
    holder_words = [line.word_counts for line in origin.statements if not FUNCTION_MARKS.isdisjoint(line.texts)]
    return {
        name
        for name in names
        if caller.word_counts[name] > origin.word_counts[name]
        and any(_replaces_holder(line, name, holder_words) for line in caller.statements)
    }


def _replaces_holder(statement: Statement, name: str, holder_words: list[Counter[str]]) -> bool:
    """Whether half of a statement's other words surrounded a function before."""
    other_words = Counter(statement.word_counts)
    return other_words.pop(name, 0) > 0 and any(
        2 * (other_words & words).total() >= other_words.total() for words in holder_words
    )


def _map_to_extracted(
    function: Function, origin: Function, caller_map: StatementMap, *, is_passed: bool
) -> StatementMap:
    candidates = [
        index
        for index in range(len(origin.statements))
        if caller_map.similarities.get(index, 0.0) < 1.0 and (not is_passed or index in origin.callbacks)
    ]
    statement_map = map_statements(
        select_statements(origin.statements, candidates), function.statements, _MIN_SIMILARITY
    )
    # a returned expression is mapped to the statement it was part of
    for new in statement_map.unmapped_after():
        returned = statement_map.after[new]
        if not returned.kind.startswith("return") or returned.weight < 2:
            continue
        for old, statement in enumerate(statement_map.before):
            if old not in statement_map.pairs and _contains(statement, returned.texts[1:], returned.marks[1:]):
                statement_map.pairs[old] = new
                statement_map.similarities[old] = 1.0
                break
    return statement_map


def _contains(statement: Statement, texts: tuple[str, ...], marks: str) -> bool:
    size = len(texts)
    for start in range(len(statement.texts) - size + 1):
        same_marks = statement.marks[start : start + size] == marks
        tokens = zip(texts, statement.texts[start : start + size], marks, strict=True)
        if same_marks and all(mark == "i" or text == other for text, other, mark in tokens):
            return True
    return False


def _is_extraction(
    statement_map: StatementMap,
    function: Function,
    origin: Function,
    caller_map: StatementMap,
    settings: RefactoringSettings,
) -> bool:
    """Whether most of the new function, or of the removed code, comes from the origin."""
    strong_matches = [
        index
        for index, similarity in statement_map.similarities.items()
        if similarity >= _STRONG_SIMILARITY and not _called_before(statement_map, index, function.name, caller_map)
    ]
    if not strong_matches:
        return False
    mapped_weight = sum(statement_map.after[index].weight for index in set(statement_map.pairs.values()))
    if mapped_weight >= settings.least_extract * function.weight:
        return True
    removed = [
        statement
        for position, statement in enumerate(origin.statements)
        if caller_map.similarities.get(position, 0.0) < _KEPT_SIMILARITY
    ]
    texts = Counter(statement.texts for statement in removed)
    removed_matches = [index for index in strong_matches if texts[statement_map.before[index].texts]]
    weight = sum(statement_map.before[index].weight for index in removed_matches)
    # of a statement whose expression alone was taken, no more can be much
    extracted_weight = sum(
        statement_map.after[new].weight for new in {statement_map.pairs[index] for index in removed_matches}
    )
    required_weight = _MIN_REMOVED_SHARE * sum(statement.weight for statement in removed)
    if min(weight, extracted_weight) >= _MIN_REMOVED_WEIGHT and weight >= required_weight:
        return True
    return _replaced_by_call(function, origin, caller_map)


def _called_before(statement_map: StatementMap, index: int, name: str, caller_map: StatementMap) -> bool:
    """Whether a statement called another function in place of the new one."""
    old, new = statement_map.before[index], statement_map.after[statement_map.pairs[index]]
    if old.calls[name]:
        return True  # one of the same name
    for line in caller_map.after:
        pairs = zip(old.texts, line.texts, strict=False) if line.shape == old.shape else ()
        replacements = [(old_text, new_text) for old_text, new_text in pairs if old_text != new_text]
        replaced = {before_text for before_text, _ in replacements}
        # what the new function calls may have been taken along with the call
        if {after_text for _, after_text in replacements} == {name} and replaced.isdisjoint(new.texts):
            return True
    return False


def _replaced_by_call(function: Function, origin: Function, caller_map: StatementMap) -> bool:
    extracted_texts = {line.texts for line in function.statements if line.weight >= _MIN_DISTINCTIVE_WEIGHT}
    calls = [position for position, line in enumerate(caller_map.after) if line.calls[function.name]]
    for index, statement in enumerate(origin.statements):
        if statement.texts in extracted_texts and caller_map.similarities.get(index, 0.0) < _KEPT_SIMILARITY:
            earlier = (caller_map.pairs[old] for old in range(index, -1, -1) if old in caller_map.pairs)
            later = (caller_map.pairs[old] for old in range(index, len(caller_map.before)) if old in caller_map.pairs)
            start = next(earlier, -1)
            if any(start <= call_index <= next(later, len(caller_map.after)) for call_index in calls):
                return True
    return False
