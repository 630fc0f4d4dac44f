"""One source file for the readers: text, lines, syntax tree and YAML."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import takewhile
from pathlib import Path
from posixpath import basename, dirname
from typing import Any

import polars as pl
from tree_sitter import Node

from cortex_pipelines.damage import SkipReason
from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.yaml_tree import Yaml, documents
from cortex_pipelines.extraction.documentation import comment_text
from cortex_pipelines.extraction.settings import ArchitectureSettings, ExtractionSettings
from cortex_pipelines.parallel.ordered import mapped_rows
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.syntax.grammars import PARSED, grammar_for, matches
from cortex_pipelines.syntax.unparsable import syntax_tree

_COMMENT = re.compile(r"[ \t]*(#(?!\[|!)|//|/\*|\*|--)")
_HASHES = re.compile(r"^[ \t]*(?:#+|--+)[ \t]?", re.MULTILINE)
_MAX_COMMENT_LINES = 60
_MAX_CAPTURES = 5_000  # of one kind in a file
NOT_DESCRIPTIVE = re.compile(
    r"(?i)copyright|licen[sc]ed?\b|SPDX|all rights reserved|eslint|@ts-|@flow|prettier|jshint|"
    r"go:build|\+build|Code generated|use strict|<reference|noqa|yaml-language-server"
)
"""Comments that do not describe the code below: licences and tool directives."""

Captures = dict[str, list[Node]]


@dataclass(frozen=True)
class SourceFile:
    path: str
    language: str | None
    text: str
    settings: ArchitectureSettings
    parsing: ExtractionSettings
    queries: Path = Path(__file__).parent / "queries"
    chains: dict[int, Node] = field(default_factory=dict)
    """The outermost call of each call chain that the query matched."""

    @cached_property
    def name(self) -> str:
        return basename(self.path)

    @cached_property
    def folder(self) -> str:
        return dirname(self.path)

    @cached_property
    def lines(self) -> list[str]:
        """Lines, split at line feeds alone, as the grammars count them."""
        return self.text.split("\n")

    @cached_property
    def captures(self) -> dict[str, list[Captures]]:
        """What the query of the language matches, by the first name that is not private."""
        by_kind: dict[str, list[Captures]] = defaultdict(list)
        if self.language in PARSED:
            grammar = grammar_for(self.language or "", self.path)
            tree = syntax_tree(self.text.encode(errors="replace"), grammar, self.parsing.max_file_bytes)
            found = [] if isinstance(tree, SkipReason) else matches(grammar, tree.root_node, self.queries)
            for _, captures in found:
                by_kind[next(name for name in captures if not name.startswith("_"))].append(captures)
        return by_kind

    def nodes(self, kind: str) -> list[Node]:
        return [captures[kind][0] for captures in self.captures.get(kind, ())[:_MAX_CAPTURES]]

    @cached_property
    def yaml(self) -> list[Yaml]:
        """The documents of a YAML or JSON file, up to the first error."""
        return documents(self.text, self.settings)

    def line_with(self, pattern: str, after: int = 1) -> int:
        """First line from ``after`` on that matches a pattern; ``after`` if none does."""
        regex = re.compile(pattern)
        numbered = enumerate(self.lines[after - 1 :], after)
        return next((number for number, line in numbered if regex.search(line)), after)

    def comment_above(self, line: int) -> str | None:
        above = self.lines[max(line - 1 - _MAX_COMMENT_LINES, 0) : line - 1]
        block = list(takewhile(_COMMENT.match, reversed(above)))
        comment = comment_text(_HASHES.sub("", "\n".join(reversed(block))))
        return comment if comment and not NOT_DESCRIPTIVE.search(comment) else None


def numbered_matches(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """The matches in a text with the lines that they begin on."""
    line, offset = 1, 0
    for match in pattern.finditer(text):
        line += text.count("\n", offset, match.start())
        offset = match.start()
        yield line, match


Reader = Callable[[SourceFile], Iterator[Fact]]
READERS: dict[str, tuple[Callable[[SourceFile], bool], Reader]] = {}
"""Readers of facts by name, with what selects their files; ``readers/`` registers them."""


def fact_reader(applies_to: Callable[[SourceFile], bool]) -> Callable[[Reader], Reader]:
    def register(reader: Reader) -> Reader:
        READERS[reader.__name__] = (applies_to, reader)
        return reader

    return register


def _rows_read(
    files: pl.DataFrame, read: Callable[[str, str | None, str], Iterable[tuple[Any, ...]]], schema: pl.Schema
) -> pl.DataFrame:
    rows = [(key, *row) for path, language, text, key in files.iter_rows() for row in read(path, language, text)]
    return pl.DataFrame(rows, {"cache_key": pl.String, **schema}, orient="row")


def rows_by_file(
    files: pl.DataFrame,
    schema: pl.Schema,
    read: Callable[[str, str | None, str], Iterable[tuple[Any, ...]]],
    cache: RowCache | None,
    name: str,
) -> pl.DataFrame:
    """What is read from each file by path, language and text alone, with ``source`` and ``path``, in their order."""
    files = files.select("source", "path", "language", "text").sort("source", "path")
    parts = files.select("path", pl.col("language").fill_null(""), "text").iter_rows()
    keys = [hashlib.blake2b("\0".join(each).encode(errors="replace"), digest_size=16).hexdigest() for each in parts]
    keyed = files.with_columns(pl.Series("cache_key", keys, dtype=pl.String))

    def compute(missing: pl.Series) -> pl.DataFrame:
        uncached = keyed.join(missing.alias("cache_key").to_frame(), on="cache_key", how="semi")
        uncached = uncached.unique("cache_key", keep="first", maintain_order=True).drop("source")
        work = partial(_rows_read, read=read, schema=schema)
        return mapped_rows(work, uncached, f"Reading {name.partition('/')[0]}")

    computed = compute(keyed["cache_key"]) if cache is None else cache.rows(name, keyed["cache_key"], compute)
    locations, computed = keyed.select("source", "path", "cache_key"), computed.select("cache_key", *schema)
    return locations.join(computed, on="cache_key", how="inner", maintain_order="left_right").drop("cache_key")
