"""Tables of learned models: candidates against the simplest one, on the same judged items."""

import polars as pl

from cortex_pipelines.schemas.table import Column, Table
from cortex_pipelines.schemas.vocabulary import LANGUAGES

MIN_ITEMS = 30
"""Fewest judged items of a comparison."""

LEADERBOARD = Table(
    "leaderboard",
    "One candidate of a learned task, against the simplest one on the same judged items.",
    (
        Column("asset", pl.String, "Asset that trains the candidates"),
        Column("task", pl.String, "What is learned"),
        Column("candidate", pl.String, "Way of doing it"),
        Column("metric", pl.String, "What is measured of each item, and which way is better"),
        Column("value", pl.Float64, "Mean of the metric"),
        Column("low", pl.Float64, "Lower end of its interval"),
        Column("high", pl.Float64, "Upper end of its interval"),
        Column("items", pl.Int64, "Judged items, none of them seen in training", between=(MIN_ITEMS, 1e12)),
        Column("baseline", pl.String, "The simplest candidate"),
        Column("difference", pl.Float64, "Mean difference to the baseline; positive is better"),
        Column("difference_low", pl.Float64, "Lower end of its interval; those of a task hold together"),
        Column("difference_high", pl.Float64, "Upper end of its interval"),
        Column("adopted", pl.Boolean, "Whether it is used; one candidate of a task is"),
    ),
    ("asset", "task", "candidate"),
)

FORECAST_SERIES = Table(
    "series",
    "One series that forecasts were compared on.",
    (
        Column("collection", pl.String, "Where it comes from"),
        Column("series", pl.String, "Its name there"),
        Column("values", pl.Int64, "Its length"),
        Column("seasons", pl.List(pl.Int64), "Lags at which it repeats itself, in steps"),
        Column("horizon", pl.Int64, "Steps ahead that were compared"),
        Column("best", pl.String, "Candidate with the smallest error"),
        Column("filled", pl.String, "What was missing and is filled in; null if nothing", True),
    ),
    ("collection", "series"),
)

FORECAST_ERRORS = Table(
    "errors",
    "The forecast of one series from one origin by one candidate.",
    (
        Column("collection", pl.String, "Where the series comes from"),
        Column("series", pl.String, "Its name there"),
        Column("candidate", pl.String, "Way of forecasting"),
        Column("origin", pl.Int64, "Values of the series before it"),
        Column("mase", pl.Float64, "Mean absolute error by the mean absolute seasonal change before the origin"),
        Column("pinball", pl.Float64, "Mean pinball loss of 10, 50 and 90 %, by the same"),
        Column("covered", pl.Float64, "Share of the steps inside the 80 % band", between=(0, 1)),
    ),
    ("collection", "series", "candidate", "origin"),
)

DEFECT_SCORES = Table(
    "scores",
    "One function with a known defect by one way to find it, trained without its project.",
    (
        Column("item_id", pl.String, "The injected error"),
        Column("project", pl.String, "Project of the function"),
        Column("path", pl.String, "Path of its file"),
        Column("language", pl.String, "Language", one_of=LANGUAGES),
        Column("candidate", pl.String, "Way of finding defects"),
        Column("statements", pl.Int64, "Statements of the function", between=(1, 1e9)),
        Column("rank", pl.Float64, "Rank of the wrong statement; in the middle of equal ones", between=(1, 1e9)),
        Column("above", pl.Float64, "Share of right functions that are less suspect than this one", between=(0, 1)),
    ),
    ("project", "item_id", "candidate"),
)

ENCODER_ITEMS = Table(
    "items",
    "How one candidate encoder did on one judged item, of a project that it was not trained on.",
    (
        Column("task", pl.String, "What is judged", one_of=("search", "clones", "category")),
        Column("project", pl.String, "Project of the function; of a hand-labelled unit its language"),
        Column("path", pl.String, "Its file"),
        Column("item", pl.String, "Id of the function; name and number of a hand-labelled unit"),
        Column("candidate", pl.String, "Way of finding it"),
        Column("score", pl.Float64, "Reciprocal of its rank; of a category 1 if it is right", between=(0, 1)),
    ),
    ("task", "project", "path", "item", "candidate"),
)
