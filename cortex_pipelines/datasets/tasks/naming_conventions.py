"""Learn a project's naming conventions by kind and language."""

import re

import polars as pl

_STYLES = (
    ("UPPER_CASE", re.compile(r"_*[A-Z][A-Z0-9]*(?:_+[A-Z0-9]+)*_*")),
    ("lower", re.compile(r"_*[a-z][a-z0-9]*_*")),
    ("snake_case", re.compile(r"_*[a-z][a-z0-9]*(?:_+[a-z0-9]+)+_*")),
    ("camelCase", re.compile(r"[_$]*[a-z][a-z0-9]*(?:[A-Z][A-Za-z0-9]*)+_*")),
    ("PascalCase", re.compile(r"_*(?:[A-Z][A-Za-z0-9]*)+_*")),
)
_GROUP = ("kind", "language")
CONVENTIONS = pl.Schema(
    {"kind": pl.String, "language": pl.String, "convention": pl.String, "share": pl.Float64, "names": pl.Int64}
)


def style_of(name: str) -> str:
    """Case style of a name: ``lower`` (one word), ``snake_case``, ``camelCase``, and others."""
    return next((style for style, pattern in _STYLES if pattern.fullmatch(name)), "other")


def conventions(names: pl.DataFrame) -> pl.DataFrame:
    """Share of each naming style by kind and language.

    A single lower-case word fits both ``snake_case`` and ``camelCase``, and counts for the more frequent one of its
    kind and language; as ``lower`` on a tie. Returns columns ``kind``, ``language``, ``convention``, ``share`` (0 to
    1, of the names of that kind and language) and ``names``, most frequent first.
    ``names``: columns ``kind``, ``language`` and ``name``.
    """
    distinct_names = names.unique().sort("kind", "language", "name")
    styles = [style_of(name) for name in distinct_names["name"]]
    style = pl.col("style")
    snake, camel = ((style == convention).sum().over(_GROUP) for convention in ("snake_case", "camelCase"))
    word = (
        pl.when(snake > camel).then(pl.lit("snake_case")).when(camel > snake).then(pl.lit("camelCase")).otherwise(style)
    )
    styled = distinct_names.with_columns(pl.Series("style", styles, dtype=pl.String)).with_columns(
        pl.when(style == "lower").then(word).otherwise(style).alias("convention")
    )
    counts = styled.group_by(*_GROUP, "convention").agg(pl.len().cast(pl.Int64).alias("names"))
    total = pl.col("names").sum().over(_GROUP)
    return (
        counts.with_columns((pl.col("names") / total).alias("share"))
        .select(list(CONVENTIONS))
        .sort("kind", "language", "names", "convention", descending=[False, False, True, False])
        .cast(CONVENTIONS)
    )
