"""Detect extracted functions; an inlined function is one with the versions swapped.

The part has to be gone where it was, to stand in the new function, and the new function has to be
called where the part was.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from cortex_pipelines.extraction.refactoring.mapping import StatementMap, map_statements
from cortex_pipelines.extraction.refactoring.model import NAMELESS, Function, Statement, chosen
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings
from cortex_pipelines.extraction.refactoring.statements import called_names
from cortex_pipelines.extraction.refactoring.syntax import FUNCTION_MARKS

_LEAST = 0.4  # values became parameters: less of a statement stays the same

_STRONG = 0.5  # likeness that is not by chance
_KEPT = 0.7  # likeness of what stayed in the origin though it changed
_SAYING = 3  # names and values of a statement that is not repeated by chance
_MUCH, _MOST = 4, 0.6  # what is gone from the origin: names and values, and share of it


@dataclass(frozen=True)
class ExtractedFunction:
    """A function extracted from another.

    Args:
        origin: The function before that the part was taken from.
        caller: The same function after.
        extracted: The new function.
        mapped: Which statement of the origin went where in the new function.
        rest: Which statement of the origin stayed where in the caller.
    """

    origin: Function
    caller: Function
    extracted: Function
    mapped: StatementMap
    rest: StatementMap


def find_extractions(
    new: Iterable[Function],
    kept: Iterable[tuple[Function, Function, StatementMap]],
    settings: RefactoringSettings,
) -> list[ExtractedFunction]:
    """Find the new functions that were extracted from others.

    Args:
        new: Functions that have no version before.
        kept: Functions that have one, with the map of their statements.
        settings: Thresholds.
    """
    by_name: dict[str, list[Function]] = defaultdict(list)
    for function in new:
        if function.name and function.statements:
            by_name[function.name].append(function)
    extractions = []
    for origin, caller, rest in kept:
        called = [name for name in sorted(by_name) if caller.calls[name] > origin.calls[name]]
        handed = _handed_on(by_name, origin, caller) - set(called)
        called += sorted(handed)
        tried: set[int] = set()
        while called:
            for function in _nearest(by_name.get(called.pop(), []), caller):
                if id(function) in tried:
                    continue
                tried.add(id(function))
                mapped = _taken(function, origin, rest, handed=function.name in handed)
                if _is_extraction(mapped, function, origin, rest, settings):
                    extractions.append(ExtractedFunction(origin, caller, function, mapped, rest))
                    # what was taken from the origin may have been taken apart again
                    called += sorted(function.calls)
    return extractions


def _nearest(functions: list[Function], caller: Function) -> list[Function]:
    """Those of functions of one name that a call means: those of its file, if it has any.

    Nothing else can name what an object without a name holds.
    """
    near = [one for one in functions if one.place.path == caller.place.path]
    return near or [one for one in functions if one.place.around[-1:] != (NAMELESS,)]


def _handed_on(names: Collection[str], origin: Function, caller: Function) -> set[str]:
    """Names that stand where functions without a name were, among the same words."""
    if not names or not origin.callbacks:
        return set()
    holders = [
        line.words for line in origin.statements if not FUNCTION_MARKS.isdisjoint(line.texts)
    ]
    return {
        name
        for name in names
        if caller.words[name] > origin.words[name]
        and any(_beside(line, name, holders) for line in caller.statements)
    }


def _beside(statement: Statement, name: str, holders: list[Counter[str]]) -> bool:
    """Whether half of what a statement says besides a name stood around a function."""
    rest = Counter(statement.words)
    return rest.pop(name, 0) > 0 and any(
        2 * (rest & words).total() >= rest.total() for words in holders
    )


def _taken(
    function: Function, origin: Function, rest: StatementMap, *, handed: bool
) -> StatementMap:
    """Map changed or removed statements of the origin to the new function."""
    free = [
        index
        for index in range(len(origin.statements))
        if rest.likeness.get(index, 0.0) < 1.0 and (not handed or index in origin.callbacks)
    ]
    mapped = map_statements(chosen(origin.statements, free), function.statements, _LEAST)
    _map_expressions(mapped)
    return mapped


def _map_expressions(mapped: StatementMap) -> None:
    """Map a returned expression to the statement it was part of."""
    for new in mapped.left_after():
        expression = _expression(mapped.after[new])
        if expression is None:
            continue
        for old, statement in enumerate(mapped.before):
            if old not in mapped.pairs and _holds(statement, *expression):
                mapped.pairs[old] = new
                mapped.likeness[old] = 1.0
                break


def _expression(statement: Statement) -> tuple[tuple[str, ...], str] | None:
    """Tokens and marks of a returned expression, if it is long enough to compare."""
    if not statement.kind.startswith("return") or statement.weight < 2:
        return None
    return statement.texts[1:], statement.marks[1:]


def _holds(statement: Statement, texts: tuple[str, ...], marks: str) -> bool:
    """Whether a statement contains an expression, ignoring variable names."""
    size = len(texts)
    for start in range(len(statement.texts) - size + 1):
        if statement.marks[start : start + size] == marks and all(
            mark == "i" or text == other
            for text, other, mark in zip(
                texts, statement.texts[start : start + size], marks, strict=True
            )
        ):
            return True
    return False


def _is_extraction(
    mapped: StatementMap,
    function: Function,
    origin: Function,
    rest: StatementMap,
    settings: RefactoringSettings,
) -> bool:
    """Whether most of the new function, or of the removed code, comes from the origin."""
    strong = [
        index
        for index, like in mapped.likeness.items()
        if like >= _STRONG and not _called_before(mapped, index, function.name, rest)
    ]
    if not strong:
        return False
    same = sum(mapped.after[index].weight for index in set(mapped.pairs.values()))
    if same >= settings.least_extract * function.weight:
        return True
    removed = [
        statement
        for at, statement in enumerate(origin.statements)
        if rest.likeness.get(at, 0.0) < _KEPT
    ]
    texts = Counter(statement.texts for statement in removed)
    taken = [index for index in strong if texts[mapped.before[index].texts]]
    weight = sum(mapped.before[index].weight for index in taken)
    # of a statement whose expression alone was taken, no more can be much
    moved = sum(mapped.after[new].weight for new in {mapped.pairs[index] for index in taken})
    most = _MOST * sum(statement.weight for statement in removed)
    if min(weight, moved) >= _MUCH and weight >= most:
        return True
    return _replaced_by_call(function, origin, rest)


def _called_before(mapped: StatementMap, index: int, name: str, rest: StatementMap) -> bool:
    """Whether a statement called another function in place of the new one."""
    old, new = mapped.before[index], mapped.after[mapped.pairs[index]]
    if called_names([old])[name]:
        return True  # one of the same name
    for line in rest.after:
        pairs = zip(old.texts, line.texts, strict=False) if line.shape == old.shape else ()
        changed = [(was, to) for was, to in pairs if was != to]
        replaced = {was for was, _ in changed}
        # what the new function calls may have been taken along with the call
        if {to for _, to in changed} == {name} and replaced.isdisjoint(new.texts):
            return True
    return False


def _replaced_by_call(function: Function, origin: Function, rest: StatementMap) -> bool:
    """Whether a statement of the new function stood verbatim where the call is now."""
    kept = {line.texts for line in function.statements if line.weight >= _SAYING}
    calls = [at for at, line in enumerate(rest.after) if called_names([line])[function.name]]
    for index, statement in enumerate(origin.statements):
        if statement.texts in kept and rest.likeness.get(index, 0.0) < _KEPT:
            start = next((rest.pairs[at] for at in range(index, -1, -1) if at in rest.pairs), -1)
            ends = (rest.pairs[at] for at in range(index, len(rest.before)) if at in rest.pairs)
            if any(start <= at <= next(ends, len(rest.after)) for at in calls):
                return True
    return False
