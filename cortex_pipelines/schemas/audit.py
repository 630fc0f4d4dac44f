import polars as pl

from cortex_pipelines.schemas.table import Column, Table

OFF_POLICY = Table(
    "off_policy",
    "Off-policy estimate of the router's success rate, or the reason for refusing one.",
    (
        Column(
            "estimator",
            pl.String,
            "Estimator; logged is the router that took the decisions, none a refusal",
            one_of=("logged", "ips", "snips", "doubly_robust", "none"),
        ),
        Column("items", pl.Int64, "Logged decisions about held-out tasks, outcome known"),
        Column("effective", pl.Float64, "Effective sample size, in decisions of the router", True),
        Column("estimate", pl.Float64, "Estimated success rate", True),
        Column("low", pl.Float64, "Lower end of its interval", True),
        Column("high", pl.Float64, "Upper end of its interval", True),
        Column("refused", pl.String, "Reason for refusing an estimate; null if estimated", True),
    ),
    ("estimator",),
    min_rows=1,
)


AUDIT_GROUPS = Table(
    "groups",
    "Router performance on held-out tasks that share an attribute value.",
    (
        Column("attribute", pl.String, "What they share", one_of=("master", "priority", "source", "language")),
        Column("value", pl.String, "The value; not known where it is missing"),
        Column("items", pl.Int64, "Number of tasks"),
        Column("accuracy", pl.Float64, "Accuracy", between=(0, 1)),
        Column("accuracy_low", pl.Float64, "Lower end of its interval", between=(0, 1)),
        Column("accuracy_high", pl.Float64, "Upper end of its interval", between=(0, 1)),
        Column("confidence", pl.Float64, "Mean confidence of the router", between=(0, 1)),
        Column("overconfidence", pl.Float64, "Mean confidence less accuracy", between=(-1, 1)),
        Column("overconfidence_low", pl.Float64, "Lower end of its interval", between=(-1, 1)),
        Column("overconfidence_high", pl.Float64, "Upper end of its interval", between=(-1, 1)),
        Column("abstention", pl.Float64, "Share of abstentions", between=(0, 1)),
        Column("abstention_low", pl.Float64, "Lower end of its interval", between=(0, 1)),
        Column("abstention_high", pl.Float64, "Upper end of its interval", between=(0, 1)),
        Column("warnings", pl.List(pl.String), "Metrics in which the group falls behind; empty if none"),
    ),
    ("attribute", "value"),
)
