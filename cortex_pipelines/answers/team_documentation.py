"""The documented units of a team's train split, and the names that its code knows."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import polars as pl

from cortex_pipelines.answers.documentation_style import DocumentationStyle, DocumentedUnit, default_style, learn_style
from cortex_pipelines.answers.unit_facts import UnitFacts

_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_DOCSTRING = re.compile(r"\"{3}.*?\"{3}", re.DOTALL)
_COLUMNS = ("name", "language", "kind", "docstring", "code")
_ALIKE, _NEARLY_THE_SAME = 0.5, 0.8
"""Share of common words in the code of two units, of one name or of different names, that one text may document."""


@dataclass(frozen=True)
class TeamDocumentation:
    units: Sequence[DocumentedUnit] = ()
    words: frozenset[str] = frozenset()
    _styles: dict[str, DocumentationStyle] = field(default_factory=dict, compare=False)

    def style(self, language: str) -> DocumentationStyle:
        """The team's conventions; the language's own where too little is documented."""
        if language not in self._styles:
            self._styles[language] = learn_style(self.units, language) if self.units else default_style(language)
        return self._styles[language]

    def knows(self, name: str) -> bool:
        return name in self.words

    def nearest(self, facts: UnitFacts) -> tuple[DocumentedUnit, float] | None:
        """The documented unit whose text fits best, with the similarity of the code (0 to 1)."""
        kind, language = facts.unit.kind, facts.language
        similar: list[tuple[bool, float, DocumentedUnit]] = []
        for unit, words in self._words_of.get((language, kind), ()):
            similarity = len(words & facts.identifiers) / max(len(words | facts.identifiers), 1)
            if similarity >= (_ALIKE if unit.name == facts.name else _NEARLY_THE_SAME):
                similar.append((unit.name == facts.name, similarity, unit))
        if not similar:
            return None
        _, similarity, unit = max(similar)
        return unit, similarity

    @cached_property
    def _words_of(self) -> Mapping[tuple[str, str], list[tuple[DocumentedUnit, frozenset[str]]]]:
        grouped: dict[tuple[str, str], list[tuple[DocumentedUnit, frozenset[str]]]] = {}
        for unit in self.units:
            words = frozenset(_IDENTIFIER.findall(_DOCSTRING.sub("", unit.code, count=1)))
            grouped.setdefault((unit.language, unit.kind), []).append((unit, words))
        return grouped


def team_documentation(outputs: Mapping[str, Path]) -> TeamDocumentation:
    """Documentation of a project's units; empty without ``code_units`` and ``unit_splits``."""
    units, splits = (
        outputs.get(asset, Path()) / name
        for asset, name in (("code_units", "units.parquet"), ("unit_splits", "splits.parquet"))
    )
    if not units.is_file() or not splits.is_file():
        return TeamDocumentation()
    return _read(units, splits, units.stat().st_mtime_ns, splits.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read(units: Path, splits: Path, *_versions: int) -> TeamDocumentation:
    split = pl.read_parquet(splits, columns=["unit_id", "split"]).filter(split="train")
    train = pl.read_parquet(units, columns=["unit_id", *_COLUMNS]).join(split, on="unit_id", how="semi").sort("unit_id")
    words = frozenset(word for code in train["code"] for word in _IDENTIFIER.findall(code))
    documented = train.filter(pl.col("docstring").is_not_null()).select(_COLUMNS)
    return TeamDocumentation([DocumentedUnit(*row) for row in documented.iter_rows()], words)
