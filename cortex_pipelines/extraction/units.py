"""Units of code: functions, methods, types, imports and declarations, with exact spans.

The query of a language defines its units; this module knows no language. A span begins with the
first decorator, annotation, attribute or modifier (``export`` too) and ends with the last
statement or closing brace, not with trailing comments. Conventions where languages
differ:

* A function whose nearest enclosing type, function or module is a type is a method; constructors,
  getters, shorthand methods of an object and ``Foo.prototype.bar = function`` are methods too. A
  property of an object whose value is a function is neither, and is not a unit.
* A function or class that is assigned to a name has that name, and is not a variable. A function
  expression that is passed on or returned is not a unit, even if it has its own name.
* Variables and constants are those of modules, classes and objects; locals and parameters are not
  units. In Python an assignment in any block of a module or class declares too. Each name of
  ``a, b = 1, 2`` is a unit with the span of the declaration. Constant is what the language says
  cannot be assigned again (``const``, ``static final``, members of a Java enum); in Python a name
  in capitals.
* Each import statement is a unit (in Go, a line of it), named after the imported module.
* ``record`` is a class, ``@interface`` an interface, ``union`` a struct; other type aliases are
  not units. The type named by an ``impl`` or a receiver, and what a function is assigned to,
  are part of the qualified name.
"""

import gc
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any

import polars as pl

from cortex_pipelines.damage import SkipReason, attempt
from cortex_pipelines.extraction.nesting import Unit, nested_units
from cortex_pipelines.extraction.outline import outline
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.extraction.test_cases import select_test_cases
from cortex_pipelines.parallel.ordered import mapped_rows
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.extraction import CODE_UNITS, TEST_CASES, UNPARSED_FILES
from cortex_pipelines.syntax.grammars import PARSED, TooManyStepsError, grammar_for
from cortex_pipelines.syntax.unparsable import syntax_tree


def read_code(
    text: str | bytes, language: str, path: str, settings: ExtractionSettings
) -> tuple[list[Unit], SkipReason | None]:
    """Units of one file, and test cases that are not units (``it("…", …)``, kind ``test``); or why not."""
    data = text.encode(errors="replace") if isinstance(text, str) else text
    grammar = grammar_for(language, path)
    tree = syntax_tree(data, grammar, settings.max_file_bytes)
    if isinstance(tree, SkipReason):
        return [], tree
    try:
        file_outline = outline(tree.root_node, grammar, data)
    except TooManyStepsError as error:
        return [], SkipReason("too_many_steps", str(error))
    return nested_units(data, tree.root_node, file_outline, settings), None


def unit_id(source: str, path: str, blob: str, unit: Unit) -> str:
    location = f"{unit.kind}\0{unit.name}\0{unit.start_byte}\0{unit.end_byte}"
    identity = f"{source}\0{path}\0{blob}\0{location}".encode(errors="replace")
    return blake2b(identity, digest_size=16).hexdigest()


_KEY = "cache_key"
# Columns that a file's rows depend on; the other columns are joined afterwards.
_CACHED_FILE_COLUMNS = ("source", "path", "blob", "language")
_FILE_COLUMNS = {**{name: name for name in ("generated", "licence", "trainable", "author")}, "revision": "commit"}
_REASON_COLUMNS = SkipReason._fields
_SCHEMA = {
    _KEY: pl.String,
    "unit_id": pl.String,
    **{name: CODE_UNITS.schema[name] for name in (*_CACHED_FILE_COLUMNS, *Unit._fields)},
    **dict.fromkeys(_REASON_COLUMNS, pl.String),
}


@dataclass(frozen=True)
class Extraction:
    """The tables of the asset ``code_units``, by their names."""

    units: pl.DataFrame
    tests: pl.DataFrame
    unparsed_files: pl.DataFrame


def file_units(text: str | bytes, language: str, path: str, settings: ExtractionSettings) -> list[Unit]:
    """The units of one file in byte order, outermost first; offsets count bytes of the UTF-8 text.

    The language is as tables call it; the path's ending may decide the grammar. Around a syntax error
    there are as many units as the parser could make out, none in a file that is not parsed
    (``syntax/unparsable.py``).

    Raises:
        UnknownLanguageError: no grammar parses the language.
    """
    units, _ = read_code(text, language, path, settings)
    return [unit for unit in units if unit.kind != "test"]


def extract(
    files: pl.DataFrame, settings: ExtractionSettings, project: str = "", cache: RowCache | None = None
) -> Extraction:
    parsed_files = files.filter(pl.col("language").is_in(sorted(PARSED))).sort("source", "path")
    columns = [parsed_files[name] for name in (*_CACHED_FILE_COLUMNS, "text")]
    keys = [
        blake2b("\0".join(parts).encode(errors="replace"), digest_size=16).hexdigest()
        for parts in zip(*columns, strict=True)
    ]
    keyed = parsed_files.with_columns(pl.Series(_KEY, keys, dtype=pl.String))

    def compute(keys: pl.Series) -> pl.DataFrame:
        uncached = keyed.filter(pl.col(_KEY).is_in(keys.to_list())).select(_KEY, *_CACHED_FILE_COLUMNS, "text")
        return mapped_rows(partial(_rows, settings=settings), uncached, "Extracting units", skipped=_unparsed_row)

    rows = cache.rows(f"units-{project}", keyed[_KEY], compute) if cache else compute(keyed[_KEY])
    file_columns = keyed.select("source", "path", pl.col(list(_FILE_COLUMNS)).name.map(_FILE_COLUMNS.__getitem__))
    rows = rows.join(file_columns, on=["source", "path"], how="left")
    definitions = rows.filter(pl.col("reason").is_null())
    tests = select_test_cases(definitions)
    units = definitions.filter(pl.col("kind") != "test").with_columns(project=pl.lit(project))
    return Extraction(
        CODE_UNITS.conform(units),
        TEST_CASES.conform(tests),
        UNPARSED_FILES.conform(rows.filter(pl.col("reason").is_not_null())),
    )


def _unparsed_row(file: pl.DataFrame, reason: str) -> pl.DataFrame:
    row = file.drop("text").with_columns(reason=pl.lit("damaged"), detail=pl.lit(reason))
    return pl.concat([pl.DataFrame(schema=_SCHEMA), row], how="diagonal")


def _rows(files: pl.DataFrame, settings: ExtractionSettings) -> pl.DataFrame:
    columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA if name not in _REASON_COLUMNS}
    unparsed: list[tuple[str, ...]] = []
    collects_garbage = gc.isenabled()
    gc.disable()  # millions of small acyclic values: a tenth of the time
    try:
        for *file_values, text in files.iter_rows():
            _, source, path, blob, language = file_values
            outcome = attempt(partial(read_code, text, language, path, settings))
            units, skip_reason = ([], outcome) if isinstance(outcome, SkipReason) else outcome
            if skip_reason:
                unparsed.append((*file_values, *skip_reason))
            for name, value in zip((_KEY, *_CACHED_FILE_COLUMNS), file_values, strict=True):
                columns[name] += [value] * len(units)
            columns["unit_id"] += [unit_id(source, path, blob, unit) for unit in units]
            for name, values in zip(Unit._fields, zip(*units, strict=True), strict=False):
                columns[name] += values
    finally:
        if collects_garbage:
            gc.enable()
    schema = {name: _SCHEMA[name] for name in columns}
    unit_rows = pl.DataFrame(columns, schema=schema)
    reasons = {name: _SCHEMA[name] for name in (_KEY, *_CACHED_FILE_COLUMNS, *_REASON_COLUMNS)}
    unparsed_rows = pl.DataFrame(unparsed, schema=reasons, orient="row")
    return pl.concat([unit_rows, unparsed_rows], how="diagonal").select(list(_SCHEMA))
