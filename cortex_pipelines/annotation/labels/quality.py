"""Code quality of a unit: a weighted mean of features between 0 and 1.

The score is monotone: it never falls when documentation is added, nor rises when a unit gets longer, more complex,
more deeply nested, or takes another parameter or anti-pattern. It measures how a unit is written, not whether it is
correct.
"""

from math import fsum

import polars as pl

from cortex_pipelines.annotation.settings import AnnotationSettings, QualityWeights


def quality(settings: AnnotationSettings) -> pl.Expr:
    features = quality_features(settings)
    weights = settings.quality_weights.model_dump()
    total = fsum(weights.values())
    parts = [features[name] * weights[name] for name in QualityWeights.model_fields]
    mean: pl.Expr = pl.sum_horizontal(parts) / total
    return mean.round(6).alias("quality")


def quality_features(settings: AnnotationSettings) -> dict[str, pl.Expr]:
    """Feature values by their names in ``QualityWeights``: 1 is best, 0 worst."""
    return {
        "documented": _holds(pl.col("docstring").is_not_null()),
        "short": _at_most("lines", settings.max_lines),
        "simple": pl.min_horizontal(
            _at_most("cyclomatic", settings.max_cyclomatic), _at_most("cognitive", settings.max_cognitive)
        ),
        "shallow": _at_most("nesting", settings.max_nesting),
        "few_parameters": _at_most("parameters", settings.max_parameters),
        "named": _holds(pl.col("name").str.len_chars() >= 3),
        "clean": 1.0 / (1 + pl.col("smell_count")),
        "parses": _holds(~pl.col("has_error")),
        "hand_written": _holds(~pl.col("generated")),
    }


def _holds(condition: pl.Expr) -> pl.Expr:
    return condition.cast(pl.Float64)


def _at_most(column: str, limit: int) -> pl.Expr:
    return limit / pl.max_horizontal(pl.col(column), pl.lit(limit))
