"""Compliance report: private data found, redactions, and licences of training data.

Published data is scanned again: a report that only repeats the settings would not describe the data.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from cortex_pipelines import pages
from cortex_pipelines.privacy.detect.findings import PERSONAL, SECRET
from cortex_pipelines.privacy.detect.scanning import scan_text
from cortex_pipelines.privacy.records import RecordRedactor
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache

_CATEGORIES = (SECRET, PERSONAL)
_RULE = ("category", "rule", "severity")
_COMMIT = r"^[0-9a-f]{40}([0-9a-f]{24})?$"
"""The path of what was redacted in a commit's message."""
_SCANNED = pl.Schema(dict.fromkeys(("cache_key", *_RULE), pl.String))


def check_compliance(
    files: pl.DataFrame,
    commits: pl.DataFrame,
    redactions: pl.DataFrame,
    skipped: pl.DataFrame,
    project: str,
    settings: PrivacySettings,
    cache: RowCache | None = None,
) -> dict[str, Any]:
    """The privacy and licence report of a project.

    Returns:
        Plain values, in a fixed order: ``project``; ``compliant``: published data has no private values left, and each
        trainable file has a licence; ``problems`` (reasons, in words); ``left`` (remaining values by category, rule and
        severity); ``found`` (redacted values, likewise); ``action`` (treatment of each category); ``files`` (counts;
        ``trainable_without_licence`` rest on ``ingestion.trainable_without_licence`` alone); ``commits`` (messages,
        published and redacted); ``licences`` (files and
        bytes by licence, and whether they may be trained on); ``left_out`` (files by reason); ``places`` (each
        placeholder, by file).
    """
    remaining = _count_remaining(files, commits, project, settings, cache)
    places = redactions.select("source", "path").unique()
    redacted = places.join(files, on=("source", "path"), how="semi").height
    without_licence = files.filter(pl.col("trainable") & pl.col("licence").is_null()).height
    problems = _describe_remaining(remaining)
    if without_licence:
        problems.append(
            f"{without_licence} files without a licence may be trained on, by "
            "ingestion.trainable_without_licence; set `licence` of the project in "
            "params.yaml, or take its kind out of that list"
        )
    return {
        "project": project,
        "compliant": not problems,
        "problems": problems,
        "left": remaining,
        "action": _action(settings),
        "found": _count_rows(redactions, _RULE, "places"),
        "files": {
            "published": files.height,
            "trainable": int(files["trainable"].sum()),
            "trainable_without_licence": without_licence,
            "redacted": redacted,
        },
        "commits": {"published": commits.height, "redacted": places["path"].str.contains(_COMMIT).sum()},
        "licences": files.with_columns(pl.col("licence").fill_null("none"))
        .group_by("licence")
        .agg(
            files=pl.len().cast(pl.Int64),
            bytes=pl.col("size_bytes").sum(),
            trainable=pl.col("trainable").sum().cast(pl.Int64),
        )
        .sort("files", "licence", descending=[True, False])
        .to_dicts(),
        "left_out": _count_rows(skipped, ["reason"], "files"),
        "forgotten": len(settings.forgotten),
        "places": redactions.sort("source", "path", "line", "start")
        .select("source", "path", "line", "category", "rule", "placeholder")
        .to_dicts(),
    }


def check_logs(events: pl.DataFrame, redacted: pl.DataFrame, settings: PrivacySettings) -> dict[str, Any]:
    """The privacy report of the agent system's logs, which belong to no project.

    Returns:
        As `check_compliance`: ``compliant``, ``problems``, ``left``, ``found`` (places by category,
        rule and severity), ``action``, and ``records`` (counts). Records are scanned again only
        where a category is not taken out: redaction finds nothing more in its own result.
    """
    remaining: list[dict[str, Any]] = []
    if not set(settings.redact) >= set(_CATEGORIES):
        scan = RecordRedactor(settings.model_copy(update={"redact": _CATEGORIES}), b"")
        rows = [
            (redaction.category, redaction.rule, redaction.severity)
            for payload in events["payload"]
            for redaction in scan(json.loads(payload)).redactions
        ]
        remaining = _count_rows(
            pl.DataFrame(rows, schema=dict.fromkeys(_RULE, pl.String), orient="row"), _RULE, "places"
        )
    counts = redacted.group_by(_RULE).agg(pl.col("places").sum())
    return {
        "compliant": not remaining,
        "problems": _describe_remaining(remaining),
        "left": remaining,
        "action": _action(settings),
        "found": counts.sort("places", *_RULE, descending=[True, False, False, False]).to_dicts(),
        "records": {"published": events.height, "redacted": redacted.select("file", "byte_offset").n_unique()},
    }


def report_page(report: dict[str, Any]) -> str:
    problems = [f"{problem[0].upper()}{problem[1:]}." for problem in report["problems"]]
    good = ["Nothing private is left in what is published, and all that may be trained on has a licence."]
    files, commits = report["files"], report["commits"]
    counts = (
        f"{files['trainable']:,} of {files['published']:,} files may be trained on. Private values were replaced in "
        f"{files['redacted']:,} of them and in {commits['redacted']:,} of {commits['published']:,} commit messages. "
        f"Files and authors that were forgotten: {report['forgotten']}."
    )
    parts = [
        pages.heading("What is wrong, and what to do" if problems else "What is good"),
        pages.listing(problems or good),
        pages.paragraph(counts),
    ]
    for title, key in (
        ("Left in what is published", "left"),
        ("Found and replaced", "found"),
        ("Licences", "licences"),
        ("Left out of ingestion", "left_out"),
    ):
        parts += [pages.heading(title), pages.records(report[key])]
    parts.append(pages.collapsible("Each place", [pages.records(report["places"])]))
    return pages.page(f"Compliance of {report['project']}", parts)


def _count_remaining(
    files: pl.DataFrame, commits: pl.DataFrame, project: str, settings: PrivacySettings, cache: RowCache | None
) -> list[dict[str, Any]]:
    texts: dict[str, tuple[str, str, str | None]] = {}
    text_keys: list[str] = []
    messages = commits.select("subject", "body").iter_rows()
    for text in (
        *files.select("text", "path", "language").iter_rows(),
        *((f"{subject}\n\n{body}", "", None) for subject, body in messages),
    ):
        key = hashlib.sha256(json.dumps(text).encode()).hexdigest()
        texts[key] = text
        text_keys.append(key)

    def compute(keys: pl.Series) -> pl.DataFrame:
        rows = [
            (key, finding.category, finding.rule, finding.severity)
            for key in keys
            for text, path, language in [texts[key]]
            for finding in scan_text(text, path, settings, language)
        ]
        return pl.DataFrame(rows, schema=_SCANNED, orient="row")

    keys = pl.Series("cache_key", sorted(texts), dtype=pl.String)
    rows = cache.rows(f"compliance/{project}", keys, compute) if cache else compute(keys)
    occurrences = pl.DataFrame({"cache_key": text_keys}, schema={"cache_key": pl.String})
    return _count_rows(occurrences.join(rows, on="cache_key"), _RULE, "places")


def _describe_remaining(counts: Iterable[dict[str, Any]]) -> list[str]:
    totals = dict.fromkeys(_CATEGORIES, 0)
    for row in counts:
        totals[row["category"]] += row["places"]
    return [
        f"{category} data is left in {count} places; add {category} to privacy.redact"
        for category, count in totals.items()
        if count
    ]


def _action(settings: PrivacySettings) -> dict[str, str]:
    return {
        category: "replaced by a keyed placeholder" if category in settings.redact else "left as is"
        for category in _CATEGORIES
    }


def _count_rows(frame: pl.DataFrame, keys: Sequence[str], name: str) -> list[dict[str, Any]]:
    counts = frame.group_by(keys).agg(pl.len().cast(pl.Int64).alias(name))
    return counts.sort(name, *keys, descending=[True, *(False for _ in keys)]).to_dicts()
