"""Functions whose body another function of the project has, word for word or nearly so."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from cortex_pipelines.check.checked_file import CheckedFile
from cortex_pipelines.check.findings import Finding
from cortex_pipelines.check.project_facts import ProjectFacts
from cortex_pipelines.datasets.dedup.shingles import Shingles, ShingleSets, all_shingles
from cortex_pipelines.extraction.test_cases import is_test

RULE = "existing-function"

_SHINGLE = 5  # tokens
_FEWEST_SHINGLES = 30  # of a body: shorter ones are alike by chance
_SIMILARITY = 0.95  # Jaccard index of shingles
_PARALLEL = 5  # functions of the same names in two folders, as the drivers of two databases have
_EXAMPLES = re.compile(r"(^|/)(docs?|examples?|_examples|benchmarks?|samples?)/", re.IGNORECASE)
_OF_TRAIT = re.compile(r"^\s*impl\b.* for ", re.MULTILINE)
_CALLED = re.compile(r"(?<![\w.$])\w+(?=\()")
_COMMENTS = {"python": r"#[^\n\"']*"}
_C_COMMENTS = r"//[^\n\"'`]*|/\*[\s\S]*?\*/"


class _Function(NamedTuple):
    path: str
    qualified_name: str
    line: int
    body: str


class _Index:
    """Functions by the shingles of their bodies."""

    def __init__(self, functions: Sequence[_Function]) -> None:
        self.functions = functions
        self.sets: ShingleSets = all_shingles([function.body for function in functions], _SHINGLE)
        owners = np.repeat(np.arange(len(functions)), self.sets.sizes)
        order = np.argsort(self.sets.hashes, kind="stable")
        self._hashes, self._owners = self.sets.hashes[order], owners[order]

    @cached_property
    def _by_folder(self) -> dict[str, dict[tuple[str, str], str]]:
        """Bodies by the name of their file and their own, by folder."""
        bodies: defaultdict[str, dict[tuple[str, str], str]] = defaultdict(dict)
        for function in self.functions:
            folder, _, name = function.path.rpartition("/")
            bodies[folder][name, function.qualified_name] = function.body
        return bodies

    def are_parallel(self, function: _Function, other: _Function) -> bool:
        """Whether two functions are one in two implementations of a thing, in folders that mostly differ."""
        (folder, _, name), (other_folder, _, other_name) = (each.path.rpartition("/") for each in (function, other))
        if folder == other_folder or (name, function.qualified_name) != (other_name, other.qualified_name):
            return False
        bodies, other_bodies = (self._by_folder.get(each, {}) for each in (folder, other_folder))
        in_common = bodies.keys() & other_bodies.keys()
        equal = sum(bodies[key] == other_bodies[key] for key in in_common)
        return len(in_common) >= _PARALLEL and equal < len(in_common) / 2

    def _body(self, path: str, name: str) -> str | None:
        folder, _, file_name = path.rpartition("/")
        return self._by_folder.get(folder, {}).get((file_name, name))

    def calls_the_same(self, function: _Function, other: _Function, index: "_Index") -> bool:
        """Whether no name that a function calls is one function in its file and another in the other's."""
        called = set(_CALLED.findall(function.body))
        bodies = ((self._body(function.path, name), index._body(other.path, name)) for name in called)
        return all(body == other_body for body, other_body in bodies if None not in (body, other_body))

    def similar(self, shingles: Shingles) -> Iterator[tuple[float, _Function]]:
        """Functions of similar bodies, the most similar first."""
        starts = np.searchsorted(self._hashes, shingles, side="left")
        ends = np.searchsorted(self._hashes, shingles, side="right")
        matches = [self._owners[start:end] for start, end in zip(starts, ends, strict=True) if end > start]
        if not matches:
            return
        common = np.bincount(np.concatenate(matches), minlength=len(self.functions))
        similarities = common / (self.sets.sizes + len(shingles) - common)
        for number in np.argsort(-similarities, kind="stable"):
            if similarities[number] < _SIMILARITY:
                return
            yield float(similarities[number]), self.functions[number]


def find_existing_functions(file: CheckedFile, project: ProjectFacts, rules: Collection[str]) -> Iterator[Finding]:
    units_path = project.table("code_units", "units.parquet")
    if RULE not in rules or units_path is None:
        return
    index = _build_index(units_path, project.source, file.language)
    units = {}
    functions = []
    for unit in file.units:
        is_function = unit.kind in ("function", "method") and unit.body_start_byte is not None
        if is_function and _is_comparable(file.source_path, unit.qualified_name, unit.context):
            body = file.data[unit.body_start_byte : unit.end_byte].decode(errors="replace")
            function = _Function(
                file.source_path, unit.qualified_name, unit.start_line, _without_comments(body, file.language)
            )
            functions.append(function)
            units[function] = unit
    file_index = _Index(functions)
    project_functions = {(function.path, function.qualified_name) for function in index.functions}
    for number, function in enumerate(functions):
        shingles = file_index.sets[number]
        if len(shingles) < _FEWEST_SHINGLES or file.is_broken(units[function].start_byte, units[function].end_byte):
            continue
        is_new = (function.path, function.qualified_name) not in project_functions
        similar = [(similarity, other) for similarity, other in index.similar(shingles) if other.path != function.path]
        similar += [(similarity, other) for similarity, other in file_index.similar(shingles) if other != function]
        for similarity, other in sorted(similar, key=lambda each: (-each[0], each[1].path, each[1].line)):
            in_file = other.path == function.path
            comes_first = (other.path, other.line) < (function.path, function.line)
            is_there = in_file or (project.folder / other.path).is_file()
            is_second = is_there and (comes_first or (is_new and not in_file))
            is_other = _belong_together(function, other) or index.are_parallel(function, other)
            if is_second and not is_other and (in_file or file_index.calls_the_same(function, other, index)):
                unit = units[function]
                words = "does what" if similarity == 1 else f"does nearly ({similarity:.0%} the same) what"
                message = f"{unit.name} {words} {other.qualified_name} does ({other.path}:{other.line})."
                yield file.name_finding(unit, RULE, message)
                break


def _belong_together(function: _Function, other: _Function) -> bool:
    """Whether one encloses the other, overloads it for another type, or is its asynchronous version."""
    names = function.qualified_name, other.qualified_name
    if function.path == other.path and any(f"{a}.".startswith(f"{b}.") for a, b in (names, names[::-1])):
        return True
    plain = [re.sub("async_?|await", "", name, flags=re.IGNORECASE) for name in names]
    return (plain[0] == plain[1] and names[0] != names[1]) or ("await " in function.body) != ("await " in other.body)


def _is_comparable(path: str, qualified_name: str = "", context: str = "") -> bool:
    """Whether a function is neither a test or example nor required by a Rust trait."""
    return not is_test(path, qualified_name) and not _EXAMPLES.search(path) and not _OF_TRAIT.search(context)


def _without_comments(body: str, language: str) -> str:
    return re.sub(_COMMENTS.get(language, _C_COMMENTS), " ", body)


@lru_cache(maxsize=8)
def _build_index(path: Path, source: str, language: str) -> _Index:
    table = pl.scan_parquet(path).filter(
        ~pl.col("generated"),
        pl.col("language") == language,
        pl.col("kind").is_in(("function", "method")),
        pl.col("body_start_byte").is_not_null(),
        *([pl.col("source") == source] if source else []),
    )
    columns = ("path", "qualified_name", "start_line", "code", "start_byte", "body_start_byte", "context")
    functions = []
    for name, qualified_name, line, code, start, body, context in table.select(columns).collect().iter_rows():
        if _is_comparable(name, qualified_name, context):
            text = code.encode()[body - start :].decode(errors="replace")
            functions.append(_Function(name, qualified_name, line, _without_comments(text, language)))
    return _Index(functions)
