"""Tables of the routing audit."""

import polars as pl

from cortex_pipelines.schemas.table import Column, Table

OFF_POLICY = Table(
    "off_policy",
    "What the logs say the router would achieve, by one estimator; or why they cannot say.",
    (
        Column(
            "estimator",
            pl.String,
            "Estimator; logged is the router that took the decisions, none a refusal",
            one_of=("logged", "ips", "snips", "doubly_robust", "none"),
        ),
        Column("items", pl.Int64, "Logged decisions about held-out tasks, outcome known"),
        Column("effective", pl.Float64, "What they are worth, in decisions of the router", True),
        Column("estimate", pl.Float64, "Expected share of tasks that succeed", True),
        Column("low", pl.Float64, "Lower end of its interval", True),
        Column("high", pl.Float64, "Upper end of its interval", True),
        Column("refused", pl.String, "Why there is no estimate; null if there is", True),
    ),
    ("estimator",),
    min_rows=1,
)


AUDIT_GROUPS = Table(
    "groups",
    "The held-out tasks that share a value of an attribute, and how the router serves them.",
    (
        Column(
            "attribute",
            pl.String,
            "What they share",
            one_of=("master", "priority", "source", "language"),
        ),
        Column("value", pl.String, "The value; not known where it is missing"),
        Column("items", pl.Int64, "Number of tasks"),
        Column("accuracy", pl.Float64, "Share sent to the right master", between=(0, 1)),
        Column("accuracy_low", pl.Float64, "Lower end of its interval", between=(0, 1)),
        Column("accuracy_high", pl.Float64, "Upper end of its interval", between=(0, 1)),
        Column("confidence", pl.Float64, "Mean confidence of the router", between=(0, 1)),
        Column("overconfidence", pl.Float64, "Mean confidence less accuracy", between=(-1, 1)),
        Column("overconfidence_low", pl.Float64, "Lower end of its interval", between=(-1, 1)),
        Column("overconfidence_high", pl.Float64, "Upper end of its interval", between=(-1, 1)),
        Column("abstention", pl.Float64, "Share left to a person", between=(0, 1)),
        Column("abstention_low", pl.Float64, "Lower end of its interval", between=(0, 1)),
        Column("abstention_high", pl.Float64, "Upper end of its interval", between=(0, 1)),
        Column("warnings", pl.List(pl.String), "What the group falls behind in; empty if nothing"),
    ),
    ("attribute", "value"),
)
