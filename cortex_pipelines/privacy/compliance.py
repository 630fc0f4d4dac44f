"""What was found in a project, what was done with it, and what of it may be trained on."""

import html
from typing import Any

import polars as pl

from cortex_pipelines.privacy.settings import PrivacySettings

_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem;max-width:70rem;color:#222}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem}"
    "td,th{border-bottom:1px solid #ddd;padding:.2rem .8rem;text-align:left}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}"
)


def check_compliance(
    files: pl.DataFrame,
    redactions: pl.DataFrame,
    skipped: pl.DataFrame,
    project: str,
    settings: PrivacySettings,
) -> dict[str, Any]:
    """The privacy and licence report of a project.

    Args:
        files: Rows of ``REPOSITORY_FILES``.
        redactions: Rows of ``REDACTIONS``, of files and of messages.
        skipped: Rows of ``SKIPPED_FILES``.
        project: The project's name.
        settings: What is looked for and taken out.

    Returns:
        Plain values, in a fixed order: ``project``; ``compliant`` (what was found of every category
        is taken out); ``found`` (places by category and rule, with the severity), ``action`` (what
        was done with each category), ``files`` (counts; ``trainable_without_licence`` rest on
        ``ingestion.trainable_without_licence`` alone), ``licences`` (files and bytes by licence,
        and whether they may be trained on), ``left_out`` (files by reason), ``places`` (each
        placeholder, by file).
    """
    return {
        "project": project,
        "compliant": set(settings.redact) >= {"secret", "personal"},
        "action": _action(settings),
        "found": _counted(redactions, ["category", "rule", "severity"], "places"),
        "files": {
            "published": files.height,
            "trainable": int(files["trainable"].sum()),
            "trainable_without_licence": files.filter(
                pl.col("trainable") & pl.col("licence").is_null()
            ).height,
            "redacted": redactions.select("source", "path").n_unique(),
        },
        "licences": _licences(files),
        "left_out": _counted(skipped, ["reason"], "files"),
        "forgotten": len(settings.forgotten),
        "places": redactions.sort("source", "path", "line", "start")
        .select("source", "path", "line", "category", "rule", "placeholder")
        .to_dicts(),
    }


def check_logs(
    events: pl.DataFrame, redacted: pl.DataFrame, settings: PrivacySettings
) -> dict[str, Any]:
    """The privacy report of the agent system's logs, which belong to no project.

    Args:
        events: Rows of ``COORDINATION_EVENTS``.
        redacted: Rows of ``REDACTED_EVENTS``.
        settings: What is looked for and taken out.

    Returns:
        As `check_compliance`: ``compliant``, ``found`` (places by category, rule and severity),
        ``action``, and ``records`` (counts).
    """
    keys = ["category", "rule", "severity"]
    found = redacted.group_by(keys).agg(pl.col("places").sum())
    return {
        "compliant": set(settings.redact) >= {"secret", "personal"},
        "action": _action(settings),
        "found": found.sort("places", *keys, descending=[True, False, False, False]).to_dicts(),
        "records": {
            "published": events.height,
            "redacted": redacted.select("file", "byte_offset").n_unique(),
        },
    }


def report_page(report: dict[str, Any]) -> str:
    """The report as one HTML page that needs nothing else."""
    name = html.escape(str(report["project"]))
    verdict = "everything found is taken out" if report["compliant"] else "not all is taken out"
    tables = "".join(
        f"<h2>{title}</h2>{_table(report[key])}"
        for title, key in (
            ("Found and replaced", "found"),
            ("Licences", "licences"),
            ("Left out of ingestion", "left_out"),
            ("Places", "places"),
        )
    )
    counts = ", ".join(
        f"{value:,} {key.replace('_', ' ')}" for key, value in report["files"].items()
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Compliance of {name}</title>"
        f"<style>{_STYLE}</style><h1>Compliance of {name}</h1>"
        f"<p>{verdict}; files: {counts}; tombstones: {report['forgotten']}.</p>{tables}</html>\n"
    )


def _action(settings: PrivacySettings) -> dict[str, str]:
    return {
        category: "replaced by a keyed placeholder" if category in settings.redact else "left as is"
        for category in ("secret", "personal")
    }


def _licences(files: pl.DataFrame) -> list[dict[str, Any]]:
    named = files.with_columns(pl.col("licence").fill_null("none"))
    grouped = named.group_by("licence").agg(
        files=pl.len().cast(pl.Int64),
        bytes=pl.col("size_bytes").sum(),
        trainable=pl.col("trainable").sum().cast(pl.Int64),
    )
    return grouped.sort("files", "licence", descending=[True, False]).to_dicts()


def _counted(frame: pl.DataFrame, keys: list[str], name: str) -> list[dict[str, Any]]:
    counted = frame.group_by(keys).agg(pl.len().cast(pl.Int64).alias(name))
    return counted.sort(name, *keys, descending=[True, *(False for _ in keys)]).to_dicts()


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "<p>none</p>"
    head = "".join(f"<th>{html.escape(key)}" for key in rows[0])
    body = "".join(f"<tr>{''.join(map(_cell, row.values()))}" for row in rows)
    return f"<table><tr>{head}{body}</table>"


def _cell(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"<td class=n>{value:,}"
    return f"<td>{html.escape(str(value))}"
