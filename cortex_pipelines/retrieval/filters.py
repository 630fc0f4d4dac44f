"""Filters on the results of a search, and the sentence for those that nothing passes."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from cortex_pipelines.path_patterns import PathPatternError, path_pattern
from cortex_pipelines.retrieval.collection import Collection


class FilterError(ValueError):
    pass


@dataclass(frozen=True)
class Filters:
    """Filters on results; empty for all. ``path`` is a pattern as in ``.gitignore``.

    ``technology``: a library's name, or a part of it between slashes, dots or dashes. ``intent``: a kind of intent, or
    words of one.
    """

    language: str | None = None
    kind: str | None = None
    path: str | None = None
    category: str | None = None
    licence: str | None = None
    author: str | None = None
    tests: bool | None = None
    min_complexity: int | None = None
    technology: str | None = None
    intent: str | None = None
    since: date | None = None

    def check(self) -> None:
        """Raises FilterError: the path is not a pattern."""
        if self.path is not None:
            try:
                path_pattern(self.path)
            except PathPatternError as error:
                raise FilterError(f"--path: {error}") from error


NO_FILTERS = Filters()


def matching_documents(collection: Collection, filters: Filters) -> npt.NDArray[np.bool_]:
    conditions = [pl.col(name) == value for name in ("kind", "category") if (value := getattr(filters, name))]
    if filters.min_complexity is not None:
        conditions.append(pl.col("complexity") >= filters.min_complexity)
    if filters.technology is not None:
        named = pl.element().str.contains(rf"(?i)(^|[/.@-]){re.escape(filters.technology)}($|[/.-])")
        conditions.append(pl.col("technologies").list.eval(named).list.any())
    if filters.intent is not None:
        words = [pl.col("intent").str.contains(rf"(?i)\b{re.escape(word)}\b") for word in filters.intent.split()]
        is_kind = pl.col("intent_kind") == filters.intent.lower()
        conditions.append(is_kind | pl.all_horizontal([pl.col("intent").is_not_null(), *words]))
    documents = _matches(collection.documents, conditions)
    if filters.tests is not None:
        documents &= collection.is_test == filters.tests
    names = ("language", "licence", "author")
    conditions = [pl.col(name) == value for name in names if (value := getattr(filters, name))]
    if filters.since is not None:
        conditions.append(pl.col("changed").dt.date() >= filters.since)
    files = _matches(collection.files, conditions)
    if filters.path is not None:
        files &= path_pattern(filters.path).match_all(collection.files["path"]).to_numpy()
    return documents & files[collection.file_numbers]


def _matches(rows: pl.DataFrame, conditions: Sequence[pl.Expr]) -> npt.NDArray[np.bool_]:
    """Which rows meet all conditions; unknown values do not."""
    matching = np.ones(rows.height, dtype=bool)
    for condition in conditions:
        matching &= rows.select(condition.fill_null(False)).to_series().to_numpy()
    return matching


def no_match_message(collection: Collection, filters: Filters) -> str:
    options = []
    for name, value in asdict(filters).items():
        if value is not None:
            option = f"--{'' if value is not False else 'no-'}{name.replace('_', '-')}"
            options.append(option if isinstance(value, bool) else f"{option} {value}")
    facts = {
        "languages": collection.files["language"],
        "kinds": collection.documents["kind"],
        "categories": collection.documents["category"],
        "licences": collection.files["licence"],
    }
    if filters.technology is not None:
        facts["technologies"] = collection.documents["technologies"].explode()
    present = [
        f"{name} {', '.join(values)}"
        for name, column in facts.items()
        if (values := column.drop_nulls().unique().sort().to_list())
    ]
    facts_text = " and the ".join(present) or "files of no known language"
    hint = ""
    if filters.path is not None:
        paths, pattern = collection.files["path"], path_pattern(filters.path)
        other_case = paths.filter(pattern.match_all(paths, any_case=True) & ~pattern.match_all(paths)).sort()
        hint = f"; case counts in --path: there is {other_case[0]}" if len(other_case) else ""
    return f"nothing that is indexed passes {', '.join(options) or 'the filters'}; there are the {facts_text}{hint}"
