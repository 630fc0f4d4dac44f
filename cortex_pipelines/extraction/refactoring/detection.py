"""Detect refactorings between two versions of a set of files."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from cortex_pipelines.extraction.refactoring.extracted_functions import ExtractedFunction, find_extractions
from cortex_pipelines.extraction.refactoring.function_pairing import pair_functions
from cortex_pipelines.extraction.refactoring.inner_changes import (
    find_local_renames,
    inner_changes,
    renamed_in_extraction,
)
from cortex_pipelines.extraction.refactoring.model import MODULE_EXPORT, OBJECT, Function, Type
from cortex_pipelines.extraction.refactoring.purity import Purity
from cortex_pipelines.extraction.refactoring.refactoring import (
    DetectedChange,
    Refactoring,
    describe_function,
    describe_move,
)
from cortex_pipelines.extraction.refactoring.renames import MappedFunction
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings
from cortex_pipelines.extraction.refactoring.unit_pairing import (
    Container,
    Pairing,
    inner_container,
    outer_container,
    pair_files,
    pair_types,
)
from cortex_pipelines.extraction.refactoring.unit_reader import read_file


class ChangeFinder:
    def __init__(self, pairing: Pairing, settings: RefactoringSettings) -> None:
        self._pairing, self._settings, self._purity = pairing, settings, Purity(pairing)
        self._moved_ids = {id(other) for _, other in pairing.moved}
        self._moved_containers = {inner_container(old) for old, _ in pairing.moved}
        self._containers_after = set(pairing.containers.values())
        self._names: dict[int, dict[str, str]] = {}

    def all(self) -> Iterator[DetectedChange]:
        pairing = self._pairing
        mapped_functions: list[MappedFunction] = [
            (old, new, pairing.statement_map(old, new)) for old, new in [*pairing.functions, *pairing.moved]
        ]
        by_container = _functions_by_container(mapped_functions)
        local_renames = {
            id(old): find_local_renames(old, new, statement_map, by_container.get(inner_container(old), ()))
            for old, new, statement_map in mapped_functions
        }
        self._names = {key: renames.names for key, renames in local_renames.items()}
        for old, new, statement_map in mapped_functions:
            yield from self._function(old, new)
            yield from inner_changes(old, new, statement_map, local_renames[id(old)], self._purity)
        for pair in pairing.types:
            yield from self._type(*pair)
        for extraction in find_extractions(pairing.added.values(), mapped_functions, self._settings):
            yield from self._extracted(extraction)
        reversed_functions = [(new, old, statement_map.reversed()) for old, new, statement_map in mapped_functions]
        for extraction in find_extractions(pairing.removed.values(), reversed_functions, self._settings):
            yield self._inlined(extraction)

    def _type(self, old: Type, new: Type) -> Iterator[DetectedChange]:
        is_moved, is_renamed = old.location.path != new.location.path, old.name != new.name
        if old.kind != OBJECT and (is_moved or is_renamed):
            verb = _change_verb(is_moved, is_renamed)
            yield _unit_change(f"{verb} Class", verb, old, new, (old.name, new.name), self._same_type(old, new))

    def _same_type(self, old: Type, new: Type) -> bool:
        if self._purity.unpaired([*old.methods, *new.methods]):
            return False
        stayed = (self._pairing.in_place.get(id(method)) for method in old.methods)
        unchanged = (pair is not None and self._purity.function(*pair, self._names[id(pair[0])]) for pair in stayed)
        return self._purity.statements(old.statements, new.statements) and all(unchanged)

    def _function(self, old: Function, new: Function) -> Iterator[DetectedChange]:
        # what is assigned to a function's prototype is not inside of it
        holder_moved = not old.location.enclosing_function and outer_container(old) in self._moved_containers
        is_moved = id(new) in self._moved_ids or holder_moved
        # what it is assigned to is a part of a function's name
        names = old.full_name, new.full_name
        if not is_moved and (_same_name(old, new) or _are_constructors(old, new)):
            return
        is_nested = old.location.enclosing_function or new.location.enclosing_function
        if is_moved and is_nested and not self._moved_alone(old, new):
            return
        verb = _change_verb(is_moved, names[0] != names[1])
        if verb == "Move":
            verb = self._direction(old, new)
        is_pure = self._purity.function(old, new, self._names[id(old)])
        yield _unit_change(f"{verb} Method", verb, old, new, names, is_pure)

    def _direction(self, old: Function, new: Function) -> str:
        if old.location.owner and new.location.owner:
            owner = self._owner_after(old)
            if not {old.location.owner, owner}.isdisjoint(self._pairing.base_types(new.location.owner)):
                return "Push Down"
            if new.location.owner in self._pairing.base_types(old.location.owner):
                return "Pull Up"
        return "Move"

    def _moved_alone(self, old: Function, new: Function) -> bool:
        """Whether a function itself left or entered a function that is in both versions, not its enclosing code."""
        homes = self._pairing.containers
        container, enclosing = self._pairing.container_after(outer_container(old))
        path, to = outer_container(new)
        short, long = sorted((enclosing, to), key=len)
        lifted = container == path and long[: len(short)] == short
        both_nested = bool(old.location.enclosing_function and new.location.enclosing_function)
        return (
            (lifted or not both_nested)
            and (not old.location.enclosing_function or _enclosing_function(old) in homes)
            and (not new.location.enclosing_function or _enclosing_function(new) in self._containers_after)
        )

    def _owner_after(self, old: Function) -> str | None:
        _, enclosing = self._pairing.container_after(outer_container(old))
        return enclosing[-1] if enclosing and old.location.owner else old.location.owner

    def _extracted(self, extraction: ExtractedFunction) -> Iterator[DetectedChange]:
        leaves_container = _is_nested(extraction) or not self._same_container(extraction.origin, extraction.extracted)
        yield DetectedChange(
            "Extract And Move Method" if leaves_container else "Extract Method",
            (None, extraction.extracted.name),
            (extraction.origin.name or None, extraction.caller.name or None),
            (extraction.origin.location, extraction.extracted.location),
            f"{describe_function(extraction.extracted)} was extracted from {describe_function(extraction.origin)}",
            self._purity.extraction(extraction, self._names[id(extraction.origin)]),
            codes=_extraction_codes(extraction),
        )
        yield from renamed_in_extraction(extraction, self._purity)

    def _inlined(self, extraction: ExtractedFunction) -> DetectedChange:
        leaves_container = not self._same_container(extraction.extracted, extraction.origin)
        return DetectedChange(
            "Move And Inline Method" if leaves_container else "Inline Method",
            (extraction.extracted.name, None),
            (extraction.caller.name or None, extraction.origin.name or None),
            (extraction.extracted.location, extraction.origin.location),
            f"{describe_function(extraction.extracted)} was inlined into {describe_function(extraction.origin)}",
            self._purity.extraction(extraction, {}),
            codes=_extraction_codes(extraction)[::-1],
        )

    def _same_container(self, old: Function, new: Function) -> bool:
        path, _ = self._pairing.container_after(outer_container(old))
        return (path, self._owner_after(old)) == (new.location.path, new.location.owner)


def _unit_change(
    kind: str, verb: str, old: Function | Type, new: Function | Type, names: tuple[str, str], is_pure: bool
) -> DetectedChange:
    locations = (old.location, new.location)
    owners = (old.location.owner, new.location.owner)
    sentence = describe_move(verb, old.kind, names, locations)
    return DetectedChange(kind, (old.name, new.name), owners, locations, sentence, is_pure)


def _enclosing_function(function: Function) -> Container:
    path, enclosing = outer_container(function)
    names = list(enclosing)
    while names and names[-1] != function.location.enclosing_function:
        names.pop()
    return path, tuple(names)


def _functions_by_container(functions: list[MappedFunction]) -> dict[Container, list[MappedFunction]]:
    """The functions in each container, at any depth; what a file holds is in its module."""
    by_container: dict[Container, list[MappedFunction]] = defaultdict(list)
    for pair in functions:
        path, enclosing = outer_container(pair[0])
        if pair[0].name:
            by_container[path, ("",)].append(pair)
            for length in range(1, len(enclosing) + 1):
                by_container[path, enclosing[:length]].append(pair)
    return by_container


def _same_name(old: Function, new: Function) -> bool:
    old_parts, new_parts = old.full_name.split("."), new.full_name.split(".")
    if old.full_name == new.full_name == MODULE_EXPORT:
        return True
    # of paths of one length, only a holder was renamed
    one_length = len(old_parts) == len(new_parts)
    return old.name == new.name and (one_length or old_parts[0] != new_parts[0])


def _is_nested(extraction: ExtractedFunction) -> bool:
    outer, inner = extraction.caller.location, extraction.extracted.location
    is_inside = outer.start_line <= inner.start_line and inner.end_line <= outer.end_line
    names = inner.enclosing_names[len(outer.enclosing_names) :]  # one line may hold several
    return extraction.caller.name in names and outer.path == inner.path and is_inside


def _are_constructors(old: Function, new: Function) -> bool:
    named_as_class = (old.name, new.name) == (old.location.owner, new.location.owner)
    return named_as_class or (old.name != new.name and old.constructed_class == new.constructed_class)


def _change_verb(is_moved: bool, is_renamed: bool) -> str:
    if is_moved and is_renamed:
        return "Move And Rename"
    return "Move" if is_moved else "Rename"


__all__ = ["Refactoring", "detect"]


def detect(before: Mapping[str, str], after: Mapping[str, str], settings: RefactoringSettings) -> list[Refactoring]:
    """Refactorings between two versions (text by path), in order of path, line and type."""
    old_files = {path: text for path, text in before.items() if after.get(path) != text}
    new_files = {path: text for path, text in after.items() if before.get(path) != text}
    pairs = dict(pair_files(old_files, new_files))
    unpaired = sorted(set(new_files) - set(pairs.values()))
    names = [(path, pairs.get(path)) for path in sorted(old_files)] + [(None, path) for path in unpaired]
    limit = settings.max_file_bytes
    files = [
        (
            read_file(old, old_files[old], limit) if old is not None else None,
            read_file(new, new_files[new], limit) if new is not None else None,
        )
        for old, new in names
    ]
    pairing = Pairing(files)
    pair_types(pairing, settings)
    pair_functions(pairing, settings)
    return sorted({change.row() for change in ChangeFinder(pairing, settings).all()}, key=_order)


def _order(r: Refactoring) -> tuple[str | int, ...]:
    names = (r.name_before, r.name_after, r.container_before, r.container_after)
    location = (r.path_after, r.line_after, r.type, r.path_before, r.line_before)
    return (*location, *(name or "" for name in names), r.description)


def _extraction_codes(extraction: ExtractedFunction) -> tuple[str, str]:
    caller, extracted = extraction.caller.location.code, extraction.extracted.location.code
    code_after = caller if extracted in caller else f"{caller}\n\n{extracted}"
    return extraction.origin.location.code, code_after
