"""Anomaly report as one HTML page."""

import json

import polars as pl

from cortex_pipelines.pages import SAMPLE, heading, page, paragraph, table

_HOW = (
    "Each log is divided by time: principal components, an isolation forest and an autoencoder "
    "learn from the earliest records, the next choose and set the threshold, the latest are "
    "watched. No log says what was unusual, so the choice is made with something put into held-out "
    "windows (a spike, a shift, a trend, a value standing still): the figure is how often such a "
    "window scores above one as it was (area under the ROC curve). The mean of the three is used "
    "unless one of them gains more than two standard errors. The figure compares detectors on one "
    "series; it says nothing of how many real failures are found. Where the latest records are "
    "unlike those before for an innocent reason, more than the named share of them gives an alarm."
)
_MOST = 50


def anomaly_report(tables: dict[str, pl.DataFrame], alarm_share: float, sample: bool) -> str:
    parts = [paragraph(SAMPLE, warning=True)] if sample else []
    parts += [paragraph(_HOW)]
    windows, alerts = tables["windows"], tables["alerts"]
    for row in tables["series"].iter_rows(named=True):
        parts.append(heading(row["file"]))
        parts.append(
            paragraph(f"{row['records']} records of {', '.join(row['subjects'])}: {', '.join(row['metrics'])}.")
        )
        if row["left_out"] is not None:
            parts.append(paragraph(f"Not watched: {row['left_out']}."))
            continue
        latest = windows.filter((pl.col("file") == row["file"]) & (pl.col("part") == "latest"))
        parts.append(_choice(row["criterion"], row["chosen"]))
        parts.append(
            paragraph(
                f"{latest['alert'].sum()} of {latest.height} of the latest windows are above the "
                f"threshold {row['threshold']:.4g}; {alarm_share:.0%} of usual ones may be."
            )
        )
        parts.append(_alerts(alerts.filter(pl.col("file") == row["file"])))
    return page("Unusual behaviour of workers", parts)


def _choice(criterion: str, selected: str) -> str:
    rows = [
        (name + (" (used)" if name == selected else ""), f"{value:.3f}")
        for name, value in sorted(json.loads(criterion).items(), key=lambda item: -item[1])
    ]
    return table(("detector", "disturbed windows found"), rows)


def _alerts(alerts: pl.DataFrame) -> str:
    rows = [
        (
            row["subject"],
            f"{row['start']:%Y-%m-%d %H:%M:%S}",
            f"{row['score']:.4g}",
            row["metric"],
            f"{row['observed']:.4g}",
            f"{row['usual']:.4g}",
        )
        for row in alerts.sort("score", "start", descending=[True, False]).head(_MOST).iter_rows(named=True)
    ]
    return table(("worker", "from (UTC)", "score", "stands out", "observed", "usual"), rows)
