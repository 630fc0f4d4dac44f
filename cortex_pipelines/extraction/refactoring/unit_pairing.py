"""Matched units of two versions: files first, then types, then functions."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from posixpath import basename
from typing import NamedTuple, TypeVar

from cortex_pipelines.extraction.refactoring.mapping import (
    StatementMap,
    dice_similarity,
    is_similar_type,
    map_statements,
    name_similarity,
    one_to_one,
    parameter_similarity,
    type_similarity,
)
from cortex_pipelines.extraction.refactoring.model import MODULE_EXPORT, Function, ParsedFile, Type
from cortex_pipelines.extraction.settings import RefactoringSettings

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

Container = tuple[str, tuple[str, ...]]
"""A container: its file and the names from the outermost in."""


@dataclass
class Pairing:
    """Matched units of two versions, and the unmatched ones of each side.

    Functions that stay in their container, renamed or not, are ``in_place`` by the id of the one
    before, functions without a partner by their own.
    """

    files: list[tuple[ParsedFile | None, ParsedFile | None]]
    types: list[tuple[Type, Type]] = field(default_factory=list)
    in_place: dict[int, tuple[Function, Function]] = field(default_factory=dict)
    moved: list[tuple[Function, Function]] = field(default_factory=list)
    removed: dict[int, Function] = field(default_factory=dict)
    added: dict[int, Function] = field(default_factory=dict)
    containers: dict[Container, Container] = field(default_factory=dict)
    _maps: dict[tuple[int, int], StatementMap] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for old, new in self.files:
            self.removed |= {id(function): function for function in (old.functions if old else ())}
            self.added |= {id(function): function for function in (new.functions if new else ())}
            if old is not None and new is not None:
                self.containers[old.path, ()] = new.path, ()
        parsed_files = [file for pair in self.files for file in pair if file is not None]
        self.paths_with_errors = {file.path for file in parsed_files if file.has_error}
        self.base_types: dict[str, set[str]] = defaultdict(set)
        for kind in (kind for file in parsed_files for kind in file.types):
            self.base_types[kind.name] |= kind.parents

    def statement_map(self, old: Function, new: Function) -> StatementMap:
        key = id(old), id(new)
        if key not in self._maps:
            after = old if old.has_body_of(new) else new
            self._maps[key] = map_statements(old.statements, after.statements)
        return self._maps[key]

    def body_similarity(self, old: Function, new: Function) -> float:
        """Similarity of two bodies, 0 to 1; without shared words they are not mapped."""
        if old.has_body_of(new):
            return 1.0
        shares_words = dice_similarity(old.word_counts, new.word_counts) >= 0.2
        return self.statement_map(old, new).equal_share() if shares_words else 0.0

    def container_after(self, container: Container) -> Container:
        """The container in the new version that corresponds to one of the old."""
        path, enclosing = container
        for length in range(len(enclosing), -1, -1):
            moved_to = self.containers.get((path, enclosing[:length]))
            if moved_to is not None:
                return moved_to[0], moved_to[1] + enclosing[length:]
        return container

    def pair_types(self, old: Type, new: Type) -> None:
        self.types.append((old, new))
        self.containers[inner_container(old)] = inner_container(new)

    def pair_functions(self, old: Function, new: Function, *, is_move: bool = False) -> None:
        if is_move:
            self.moved.append((old, new))
        else:
            self.in_place[id(old)] = old, new
        if old.name:
            self.containers[inner_container(old)] = inner_container(new)
        del self.removed[id(old)], self.added[id(new)]

    def unpair_functions(self, old: Function) -> None:
        _, new = self.in_place.pop(id(old))
        self.containers.pop(inner_container(old), None)
        self.removed[id(old)], self.added[id(new)] = old, new


class MappedFunction(NamedTuple):
    """Two versions of a function."""

    old: Function
    new: Function
    pairing: Pairing

    @property
    def keeps_body(self) -> bool:
        return self.old.has_body_of(self.new)

    @property
    def statements(self) -> StatementMap:
        return self.pairing.statement_map(self.old, self.new)


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Items by a key; a key without any has an empty list."""
    groups: dict[K, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def outer_container(unit: Function | Type) -> Container:
    return unit.location.path, unit.location.enclosing_names


def inner_container(unit: Function | Type) -> Container:
    is_module_export = isinstance(unit, Function) and unit.full_name == MODULE_EXPORT
    names = () if is_module_export else (unit.name,)
    return unit.location.path, (*unit.location.enclosing_names, *names)


_WEAK_SIMILARITY = 0.3  # less similar types of one name may be different types
_TYPE_TAKEOVER_SIMILARITY = 0.8  # from here a type was renamed and another took its name
_MAX_SHARING_TYPES = 30  # a word that more types share is ignored


def pair_types(pairing: Pairing, settings: RefactoringSettings) -> None:
    removed = [kind for file, _ in pairing.files if file for kind in file.types]
    added = [kind for _, file in pairing.files if file for kind in file.types]
    by_container = grouped(added, lambda new: (outer_container(new), new.name))
    weak_pairs = []
    for old in sorted(removed, key=lambda kind: len(kind.location.enclosing_names)):
        namesakes = by_container[pairing.container_after(outer_container(old)), old.name]
        if not namesakes:
            continue
        new = namesakes.pop(0)
        if is_similar_type(old, new, _WEAK_SIMILARITY):
            pairing.pair_types(old, new)
        else:
            weak_pairs.append((old, new))
    paired = {kind for pair in pairing.types for kind in pair}
    doubtful = {kind for pair in weak_pairs for kind in pair}
    removed_paths = {old.path for old, new in pairing.files if old and not new}
    added_paths = {new.path for old, new in pairing.files if new and not old}
    scored = []
    for old, new in _type_candidates([k for k in removed if k not in paired], [k for k in added if k not in paired]):
        same_container = pairing.container_after(outer_container(old)) == outer_container(new)
        similarity = type_similarity(old, new)
        if similarity < _TYPE_TAKEOVER_SIMILARITY and not doubtful.isdisjoint((old, new)):
            continue
        file_replaced = old.location.path in removed_paths and new.location.path in added_paths
        threshold = settings.least_rename if same_container or file_replaced else settings.least_move_and_rename
        if similarity >= (settings.least_move if old.name == new.name else threshold):
            # namesakes inside of renamed functions are told apart by their files
            same_file_bonus = 0.1 * (pairing.containers.get((old.location.path, ())) == (new.location.path, ()))
            score = similarity + 0.2 * name_similarity(old.name, new.name) + 0.2 * same_container + same_file_bonus
            scored.append((-score, old.location.path, old.location.line, new.location.line, old, new))
    ranked = [(old, new) for *_, old, new in sorted(scored, key=lambda item: item[:4])]
    # a type that was not renamed kept its name
    for old, new in one_to_one([*ranked, *weak_pairs]):
        pairing.pair_types(old, new)


def _type_candidates(removed: list[Type], added: list[Type]) -> Iterable[tuple[Type, Type]]:
    by_word: dict[str, list[Type]] = defaultdict(list)
    for new in added:
        for word in _index_words(new):
            by_word[word].append(new)
    for old in removed:
        candidates = {
            id(new): new
            for word in sorted(_index_words(old))
            for new in by_word[word][:_MAX_SHARING_TYPES]
            if word == old.name or len(by_word[word]) <= _MAX_SHARING_TYPES
        }
        for new in candidates.values():
            if new.kind == old.kind:
                yield old, new


def _index_words(kind: Type) -> set[str]:
    return {kind.name, kind.location.path, *(method.name for method in kind.methods)}


_MAX_OVERLOADS = 50


def pair_unmoved(pairing: Pairing) -> None:
    candidates = grouped(pairing.added.values(), lambda new: (outer_container(new), new.name))
    groups = grouped(pairing.removed.values(), lambda old: (pairing.container_after(outer_container(old)), old.name))
    for key in sorted(groups):
        old_functions, new_functions = groups[key], candidates[key]
        if len(old_functions) == len(new_functions) == 1:
            pairing.pair_functions(old_functions[0], new_functions[0])
            continue
        unchanged = sorted(
            (abs(old_index - new_index), old_index, new_index)
            for old_index, old in enumerate(old_functions[:_MAX_OVERLOADS])
            for new_index, new in enumerate(new_functions[:_MAX_OVERLOADS])
            if _is_unchanged(old, new)
        )
        for old_index, new_index in one_to_one((old, new) for _, old, new in unchanged):
            pairing.pair_functions(old_functions[old_index], new_functions[new_index])
        scored = sorted(
            (
                -([p.type for p in old.parameters] == [p.type for p in new.parameters] and old.has_body == new.has_body)
                - parameter_similarity(old, new)
                - pairing.body_similarity(old, new),
                abs(old_index - new_index),
                old_index,
                new_index,
            )
            for old_index, old in enumerate(old_functions[:_MAX_OVERLOADS])
            if id(old) in pairing.removed
            for new_index, new in enumerate(new_functions[:_MAX_OVERLOADS])
            if id(new) in pairing.added
        )
        for old_index, new_index in one_to_one((old, new) for _, _, old, new in scored):
            pairing.pair_functions(old_functions[old_index], new_functions[new_index])


def _is_unchanged(old: Function, new: Function) -> bool:
    parameters = [[(parameter.name, parameter.type) for parameter in unit.parameters] for unit in (old, new)]
    return old.has_body_of(new) and parameters[0] == parameters[1]


_MIN_FILE_SIMILARITY = 0.5  # as git's rename detection
_MAX_LINE_FILES = 20  # a line of more files is ignored
_MIN_FILE_SIMILARITY_SAME_NAME = 0.3  # where only the folder is another
_FILE_TAKEOVER_SIMILARITY = 0.9  # similarity from which a file whose name was taken over is the same
_SAME_PATH_BONUS = 0.3  # advantage of an equal path


def pair_files(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pairs of paths in order: of one path, renamed, or by content where something else took the name."""
    lines_before = {path: _lines(text) for path, text in before.items()}
    lines_after = {path: _lines(text) for path, text in after.items()}
    same_path_similarity = {
        path: dice_similarity(lines_before[path], lines_after[path]) for path in before if path in after
    }
    confident_paths = {path for path, similarity in same_path_similarity.items() if similarity >= _MIN_FILE_SIMILARITY}
    scored = [
        (-similar - 0.05 * (basename(old) == basename(new)), old, new)
        for old, new, similar in _similar_files(
            {path: counts for path, counts in lines_before.items() if path not in confident_paths},
            {path: counts for path, counts in lines_after.items() if path not in confident_paths},
        )
        if similar >= _FILE_TAKEOVER_SIMILARITY or (old not in same_path_similarity and new not in same_path_similarity)
    ]
    scored += [
        (-similar - _SAME_PATH_BONUS, path, path)
        for path, similar in same_path_similarity.items()
        if path not in confident_paths
    ]
    paired = one_to_one((old, new) for _, old, new in sorted(scored))
    return sorted([*paired, *((path, path) for path in confident_paths)])


def _lines(text: str) -> Counter[str]:
    return Counter(line for line in map(str.strip, text.split("\n")) if len(line) > 2)


def _similar_files(
    before: Mapping[str, Counter[str]], after: Mapping[str, Counter[str]]
) -> list[tuple[str, str, float]]:
    files_by_line: dict[str, list[str]] = defaultdict(list)
    for path, lines in after.items():
        for line in lines:
            files_by_line[line].append(path)
    pairs = []
    for path, lines in before.items():
        shared: Counter[str] = Counter()
        for line in lines:
            sharing = files_by_line.get(line, ())
            if len(sharing) <= _MAX_LINE_FILES:
                shared.update(sharing)
        for candidate, _ in sorted(shared.items(), key=lambda entry: (-entry[1], entry[0]))[:10]:
            similarity = dice_similarity(lines, after[candidate])
            same_name = basename(path) == basename(candidate)
            threshold = _MIN_FILE_SIMILARITY_SAME_NAME if same_name else _MIN_FILE_SIMILARITY
            if similarity >= threshold and candidate != path:
                pairs.append((path, candidate, similarity))
    return pairs
