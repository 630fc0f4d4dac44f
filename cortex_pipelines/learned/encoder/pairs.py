"""Pairs of texts that belong together, from what a project's assets hold: what the encoder learns from."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.datasets.dedup.similarity_join import near_duplicate_pairs
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.documentation import first_paragraph, repeats_name, without_docstring
from cortex_pipelines.learned.settings import EncoderSettings, PairKind
from cortex_pipelines.retrieval.vectors import encoder_text
from cortex_pipelines.schemas.augmentation import INJECTED_ERRORS, RENAMED_UNITS
from cortex_pipelines.schemas.extraction import CODE_UNITS, REFACTORING_PAIRS
from cortex_pipelines.schemas.retrieval import CODE_GRAPH
from cortex_pipelines.words import split_words

FUNCTIONS = ("function", "method")
_FEWEST_WORDS = 5  # of a sentence that says what a function does
_UNIT_COLUMNS = (
    *("unit_id", "source", "path", "language", "kind", "name", "qualified_name", "start_line", "end_line", "signature"),
    *("docstring", "code", "start_byte", "end_byte", "body_start_byte", "has_error", "generated", "trainable"),
)
_EDGE_COLUMNS = ("source", "relation", "from_path", "from_start_line", "to_path", "to_start_line")
_Unit = dict[str, Any]
_Related = tuple[str, _Unit, str | None]  # a text, the function that belongs to it, and code that does not

PAIRS = pl.Schema(
    dict.fromkeys(("kind", "example_id", "language", "anchor", "positive", "negative", "code"), pl.String)
)
"""``example_id`` and ``code``: the unit that the positive is of. ``negative`` may be null."""


@dataclass(frozen=True)
class ProjectFolders:
    """Outputs of one project."""

    code_units: Path
    augmented_units: Path
    code_graph: Path
    refactoring_pairs: Path


def functions_of(folder: Path) -> pl.DataFrame:
    """Functions and methods, with ``bare`` code, without documentation, and the ``sentence`` that documents them.

    The sentence is null without documentation, or if it only says the name again.
    """
    units = CODE_UNITS.read(folder, *_UNIT_COLUMNS).filter(
        pl.col("kind").is_in(FUNCTIONS) & ~pl.col("has_error") & ~pl.col("generated")
    )
    rows = [(_bare(unit, unit["code"]), _sentence(unit)) for unit in units.iter_rows(named=True)]
    added = pl.DataFrame(rows, schema={"bare": pl.String, "sentence": pl.String}, orient="row")
    return units.hstack(added).filter(pl.col("bare").is_not_null())


def _bare(unit: Mapping[str, Any], code: str) -> str | None:
    if unit["docstring"] is None:
        return code
    begin = unit["body_start_byte"]
    offset = None if begin is None else begin - unit["start_byte"]
    return without_docstring(code, unit["language"], unit["docstring"], offset)


def _sentence(unit: Mapping[str, Any]) -> str | None:
    text = " ".join(first_paragraph(unit["docstring"] or "").split()).split(". ")[0]
    return None if len(split_words(text)) < _FEWEST_WORDS or repeats_name(text, unit["name"]) else text


def unit_text(unit: Mapping[str, Any], code: str) -> str:
    """What the encoder reads of an undocumented function in an index."""
    return encoder_text(unit["kind"], unit["qualified_name"], "", code)


def project_pairs(folders: ProjectFolders, settings: EncoderSettings) -> pl.DataFrame:
    """Rows of ``PAIRS``: at most ``settings.pairs`` of each kind, chosen by hash."""
    functions = functions_of(folders.code_units).filter("trainable")
    units = {unit["unit_id"]: unit for unit in functions.iter_rows(named=True)}
    rows: list[tuple[str | None, ...]] = []
    for kind in settings.kinds:
        related = {
            (anchor, unit["bare"]): (anchor, unit, wrong) for anchor, unit, wrong in _READERS[kind](folders, units)
        }
        for key in sorted(related, key=lambda texts: by_hash("\0".join(texts)))[: settings.pairs]:
            anchor, unit, wrong = related[key]
            negative = unit_text(unit, wrong) if wrong is not None and settings.hard_negatives else None
            positive = unit_text(unit, unit["bare"])
            rows.append((kind, unit["unit_id"], unit["language"], anchor, positive, negative, unit["bare"]))
    return pl.DataFrame(rows, schema=PAIRS, orient="row")


def by_hash(text: str) -> bytes:
    """Key of an order that says nothing, and is the same each time."""
    return hashlib.sha256(text.encode(errors="replace")).digest()


def _documentation(folders: ProjectFolders, units: Mapping[str, _Unit]) -> Iterator[_Related]:
    """The sentence that documents a function; a mutant of it is what it does not say."""
    mutants = dict(
        INJECTED_ERRORS.read(folders.augmented_units, "unit_id", "buggy_code").sort("unit_id", "buggy_code").iter_rows()
    )
    for unit_id, unit in units.items():
        if unit["sentence"] is not None:
            mutant = mutants.get(unit_id)
            yield unit["sentence"], unit, None if mutant is None else _bare(unit, mutant)


def renamed_variants(folders: ProjectFolders, units: Mapping[str, _Unit]) -> Iterator[_Related]:
    """A function with other names of its variables."""
    for unit_id, code in RENAMED_UNITS.read(folders.augmented_units, "unit_id", "renamed_code").iter_rows():
        bare = _bare(units[unit_id], code) if unit_id in units else None
        if bare is not None:
            yield bare, units[unit_id], None


def _edges(relation: str, folders: ProjectFolders, units: Mapping[str, _Unit]) -> Iterator[_Related]:
    units_at = {(unit["source"], unit["path"], unit["start_line"]): unit for unit in units.values()}
    edges = CODE_GRAPH.read(folders.code_graph, *_EDGE_COLUMNS).filter(relation=relation)
    for source, _, from_path, from_line, to_path, to_line in edges.iter_rows():
        user, used = units_at.get((source, from_path, from_line)), units_at.get((source, to_path, to_line))
        if user is not None and used is not None and user is not used:
            yield unit_text(user, user["bare"]), used, None


def _commits(folders: ProjectFolders, units: Mapping[str, _Unit]) -> Iterator[_Related]:
    """The message of a commit, and a function that it refactored, as it is now."""
    units_at = {(unit["source"], unit["path"], unit["name"]): unit for unit in units.values()}
    columns = ("source", "path_after", "name_after", "message")
    for source, path, name, message in REFACTORING_PAIRS.read(folders.refactoring_pairs, *columns).iter_rows():
        if (source, path, name) in units_at and len(split_words(message)) >= _FEWEST_WORDS:
            yield message, units_at[source, path, name], None


_READERS: dict[PairKind, Callable[[ProjectFolders, Mapping[str, _Unit]], Iterator[_Related]]] = {
    "documentation": _documentation,
    "variants": renamed_variants,
    "calls": partial(_edges, "calls"),
    "tests": partial(_edges, "tests"),
    "commits": _commits,
}


def without_duplicates(pairs: pl.DataFrame, test_functions: pl.DataFrame, settings: DatasetSettings) -> pl.DataFrame:
    """Pairs whose code is not nearly that of a test function (``unit_id``, ``language``, ``bare``)."""
    distinct = pairs.select("example_id", "language", "code").unique("example_id", keep="first", maintain_order=True)
    other = test_functions.select(example_id="unit_id", language="language", code="bare")
    duplicates = near_duplicate_pairs(distinct, other, "code", settings)
    return pairs.filter(~pl.col("example_id").is_in(duplicates["example_id"].implode()))
