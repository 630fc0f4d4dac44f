"""Detect refactorings between two versions of a set of files."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from threading import Lock

from cachetools import LRUCache, cached

from cortex_pipelines.extraction.refactoring.extracted_functions import ExtractedFunction, find_extractions
from cortex_pipelines.extraction.refactoring.function_pairing import pair_functions
from cortex_pipelines.extraction.refactoring.inner_changes import (
    find_local_changes,
    inner_changes,
    renamed_in_extraction,
)
from cortex_pipelines.extraction.refactoring.model import (
    MODULE_EXPORT,
    OBJECT,
    Function,
    ParsedFile,
    Refactoring,
    Type,
    refactoring_of,
    titles_of,
)
from cortex_pipelines.extraction.refactoring.purity import Purity
from cortex_pipelines.extraction.refactoring.unit_pairing import (
    Container,
    MappedFunction,
    Pairing,
    inner_container,
    outer_container,
    pair_files,
    pair_types,
)
from cortex_pipelines.extraction.refactoring.unit_reader import read_file
from cortex_pipelines.extraction.settings import RefactoringSettings


class ChangeFinder:
    def __init__(self, pairing: Pairing, settings: RefactoringSettings) -> None:
        self._pairing, self._settings, self._purity = pairing, settings, Purity(pairing)
        self._moved_ids = {id(other) for _, other in pairing.moved}
        self._moved_containers = {inner_container(old) for old, _ in pairing.moved}
        self._containers_after = set(pairing.containers.values())
        self._names: dict[int, dict[str, str]] = {}

    def all(self) -> Iterator[Refactoring]:
        pairing = self._pairing
        functions = [MappedFunction(*pair, pairing) for pair in [*pairing.in_place.values(), *pairing.moved]]
        # the functions in each container, at any depth; what a file holds is in its module
        by_container: dict[Container, list[MappedFunction]] = defaultdict(list)
        for mapped in functions:
            path, enclosing = outer_container(mapped.old)
            if mapped.old.name:
                by_container[path, ("",)].append(mapped)
                for length in range(1, len(enclosing) + 1):
                    by_container[path, enclosing[:length]].append(mapped)
        local_changes = {
            id(mapped.old): find_local_changes(mapped, by_container.get(inner_container(mapped.old), ()))
            for mapped in functions
        }
        self._names = {key: changes.names for key, changes in local_changes.items()}
        for mapped in functions:
            yield from self._function(mapped.old, mapped.new)
            yield from inner_changes(mapped, local_changes[id(mapped.old)], self._purity)
        for pair in pairing.types:
            yield from self._type(*pair)
        changed = [(mapped.old, mapped.new, mapped.statements) for mapped in functions if not mapped.keeps_body]
        for extraction in find_extractions(pairing.added.values(), changed, self._settings):
            yield self._extraction(extraction)
            yield from renamed_in_extraction(extraction, self._purity)
        reversed_functions = [(new, old, statements.reversed()) for old, new, statements in changed]
        for extraction in find_extractions(pairing.removed.values(), reversed_functions, self._settings):
            yield self._extraction(extraction, is_inlined=True)

    def _type(self, old: Type, new: Type) -> Iterator[Refactoring]:
        is_moved = old.location.path != new.location.path
        if old.kind == OBJECT or not (is_moved or old.name != new.name):
            return
        stayed = (self._pairing.in_place.get(id(method)) for method in old.methods)
        is_pure = self._purity.fields(old, new) and all(
            pair is not None and self._purity.function(*pair, self._names[id(pair[0])]) for pair in stayed
        )
        yield _unit_change("Class", "Move" if is_moved else "", old, new, (old.name, new.name), is_pure)

    def _function(self, old: Function, new: Function) -> Iterator[Refactoring]:
        # what is assigned to a function's prototype is not inside of it
        holder_moved = not old.location.enclosing_function and outer_container(old) in self._moved_containers
        is_moved = id(new) in self._moved_ids or holder_moved
        named_as_class = (old.name, new.name) == (old.location.owner, new.location.owner)
        are_constructors = old.name != new.name and old.constructed_class == new.constructed_class
        if not is_moved and (_same_name(old, new) or named_as_class or are_constructors):
            return
        is_nested = old.location.enclosing_function or new.location.enclosing_function
        if is_moved and is_nested and not self._moved_alone(old, new):
            return
        move = "Move" if is_moved else ""
        if is_moved and old.location.owner and new.location.owner:
            owners_before = {old.location.owner, self._owner_after(old)}
            if not owners_before.isdisjoint(self._pairing.base_types[new.location.owner]):
                move = "Push Down"
            elif new.location.owner in self._pairing.base_types[old.location.owner]:
                move = "Pull Up"
        is_pure = self._purity.function(old, new, self._names[id(old)])
        # what it is assigned to is a part of a function's name
        yield _unit_change("Method", move, old, new, (old.full_name, new.full_name), is_pure)

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

    def _extraction(self, extraction: ExtractedFunction, *, is_inlined: bool = False) -> Refactoring:
        """An extraction, or an inlining, whose versions ``extraction`` holds in reverse."""
        origin, caller, extracted = extraction.origin, extraction.caller, extraction.extracted
        code, extracted_code = caller.location.code, extracted.location.code
        if extracted_code not in code:
            code = f"{code}\n\n{extracted_code}"
        names, containers = (None, extracted.name), (origin.name or None, caller.name or None)
        locations, codes = (origin.location, extracted.location), (origin.location.code, code)
        titles = titles_of(extracted, origin)
        if is_inlined:
            sentence = f"{titles[0]} was inlined into {titles[1]}"
            is_pure = self._purity.extraction(extraction, {})
            type_ = "Inline Method" if self._same_container(extracted, origin) else "Move And Inline Method"
            return refactoring_of(
                type_, names[::-1], containers[::-1], locations[::-1], sentence, is_pure, codes=codes[::-1]
            )
        sentence = f"{titles[0]} was extracted from {titles[1]}"
        is_pure = self._purity.extraction(extraction, self._names[id(origin)])
        outer, inner = caller.location, extracted.location
        inner_names = inner.enclosing_names[len(outer.enclosing_names) :]  # one line may hold several
        is_inside = outer.start_line <= inner.start_line and inner.end_line <= outer.end_line
        is_nested = caller.name in inner_names and outer.path == inner.path and is_inside
        stays = not is_nested and self._same_container(origin, extracted)
        type_ = "Extract Method" if stays else "Extract And Move Method"
        return refactoring_of(type_, names, containers, locations, sentence, is_pure, codes=codes)

    def _same_container(self, old: Function, new: Function) -> bool:
        path, _ = self._pairing.container_after(outer_container(old))
        return (path, self._owner_after(old)) == (new.location.path, new.location.owner)


def _unit_change(
    unit: str, move: str, old: Function | Type, new: Function | Type, names: tuple[str, str], is_pure: bool
) -> Refactoring:
    """A unit moved (``move`` says how, empty if it was not), renamed or both."""
    locations = (old.location, new.location)
    changes = [f"was renamed to {names[1]}"] if names[0] != names[1] else []
    if move:
        if old.location.path == new.location.path:
            places = [".".join(place.enclosing_names) or "the module" for place in locations]
        else:
            places = [f"{place.owner} in {place.path}" if place.owner else place.path for place in locations]
        changes.append(f"moved from {places[0]} to {places[1]}")
    verb = "Move And Rename" if len(changes) > 1 else move or "Rename"
    sentence = f"the {old.kind} {names[0]} {' and '.join(changes)}"
    owners = (old.location.owner, new.location.owner)
    return refactoring_of(f"{verb} {unit}", (old.name, new.name), owners, locations, sentence, is_pure)


def _enclosing_function(function: Function) -> Container:
    path, enclosing = outer_container(function)
    names = list(enclosing)
    while names and names[-1] != function.location.enclosing_function:
        names.pop()
    return path, tuple(names)


def _same_name(old: Function, new: Function) -> bool:
    old_parts, new_parts = old.full_name.split("."), new.full_name.split(".")
    if MODULE_EXPORT in (old.full_name, new.full_name):
        return True  # what has no name is not renamed
    # of paths of one length, only a holder was renamed
    one_length = len(old_parts) == len(new_parts)
    return old.name == new.name and (one_length or old_parts[0] != new_parts[0])


# What a commit made of a file is what the next one found. With a million bytes a process keeps forty megabytes more,
# for a tenth of the time.
_RECENT_BYTES, _SKIPPED_BYTES = 200_000, 10_000


@cached(LRUCache(_RECENT_BYTES, getsizeof=lambda file: file.size if file else _SKIPPED_BYTES), lock=Lock())
def _parsed(path: str, text: str, limit: int) -> ParsedFile | None:
    return read_file(path, text, limit)


def detect(before: Mapping[str, str], after: Mapping[str, str], settings: RefactoringSettings) -> list[Refactoring]:
    """Refactorings between two versions (text by path), in order of path, line and type."""
    old_files = {path: text for path, text in before.items() if after.get(path) != text}
    new_files = {path: text for path, text in after.items() if before.get(path) != text}
    pairs = dict(pair_files(old_files, new_files))
    limit = settings.max_file_bytes
    old_parsed = {path: _parsed(path, text, limit) for path, text in sorted(old_files.items())}
    new_parsed = {path: _parsed(path, text, limit) for path, text in sorted(new_files.items())}
    files = [(file, new_parsed.pop(pairs[path]) if path in pairs else None) for path, file in old_parsed.items()]
    pairing = Pairing([*files, *((None, file) for file in new_parsed.values())])
    pair_types(pairing, settings)
    pair_functions(pairing, settings)
    return sorted(set(ChangeFinder(pairing, settings).all()), key=_order)


def _order(r: Refactoring) -> tuple[str | int, ...]:
    names = (r.name_before, r.name_after, r.container_before, r.container_after)
    location = (r.path_after, r.line_after, r.type, r.path_before, r.line_before)
    return (*location, *(name or "" for name in names), r.description)
