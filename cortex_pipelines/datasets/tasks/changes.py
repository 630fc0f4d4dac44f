"""Candidates from changes of code, in the form of the refactoring task.

Changes of one commit are in one split, that of the hash of the commit; without a commit that of the hash of its path.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from cortex_pipelines.datasets.decontamination import Fingerprints, contaminated
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.splitting.assign import split_by_hash
from cortex_pipelines.datasets.unit_text import LINE_COMMENTS, FileKey
from cortex_pipelines.extraction.pairs.purposes import purpose_in_message
from cortex_pipelines.extraction.patterns.pattern import Pattern, fill_metavariables
from cortex_pipelines.extraction.patterns.pattern_files import read_patterns
from cortex_pipelines.extraction.reviews.exports import is_export, read_export
from cortex_pipelines.extraction.reviews.mail import is_mailbox, read_mailbox
from cortex_pipelines.extraction.reviews.review import DAMAGED, Review
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.privacy.pseudonyms import project_key
from cortex_pipelines.privacy.redaction import redact_text
from cortex_pipelines.privacy.settings import PrivacySettings

_S = pl.String
_SCHEMA = pl.Schema(
    {
        **dict.fromkeys(("unit_id", "source", "path", "language", "kind", "origin"), _S),
        **dict.fromkeys(("prompt", "completion", "cluster", "split", "split_reason"), _S),
        **dict.fromkeys(("purpose", "error_type", "refactoring", "smell", "explanation"), _S),
        **dict.fromkeys(("revision", "blob", "licence", "not_made", "category"), _S),
        **dict.fromkeys(("start_byte", "end_byte", "cluster_size", "redactions"), pl.Int64),
        "cyclomatic": pl.Int64,
        "weight": pl.Float64,
    }
)
LOCATION = pl.Schema({**dict.fromkeys(("path", "split", "split_reason", "licence"), _S), "trainable": pl.Boolean})
_CODES = ("before", "after")
# White space as Python strips it; polars keeps the ASCII separators.
_WHITE = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


def change_candidates(
    changes: pl.DataFrame,
    files: pl.DataFrame,
    splits: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    settings: DatasetSettings,
) -> pl.DataFrame:
    """Candidates from people's changes to files of a project.

    ``changes``: ``unit_id``, ``source`` (null if the file is not in the project), ``path``, ``language``, ``before``,
    ``after``, ``kind``, ``origin``, ``request`` and ``title`` (lines around the code before), ``why_not`` (reason for
    rejecting it, or null), and optionally ``export_source`` (source of the export) and columns of the data set.
    """
    file_splits, licences = splits_by_file(splits, settings), licences_by_file(files)
    paths = changes.select("source", path_after="path", path_before=None, commit=None).iter_rows(named=True)
    locations = [locate_change(path, file_splits, licences, settings) for path in paths]
    location_columns = pl.DataFrame(locations, schema=LOCATION, orient="row")
    may_train = pl.col("source").is_not_null() & pl.col("trainable")
    read_in = [name for name in ("source", "export_source") if name in changes.columns]
    rows = (
        changes.drop("path")
        .hstack(location_columns)
        .with_columns(
            may_train.alias("trainable"),
            pl.coalesce(read_in).alias("source"),
            pl.col("unit_id").alias("cluster"),
            pl.lit("").alias("indent"),
        )
    )
    codes = (rows["before"] + "\n" + rows["after"]).to_list()
    barred = (
        pl.when(pl.col("why_not").fill_null("") != "")
        .then("why_not")
        .when(~pl.col("language").is_in(list(LINE_COMMENTS)).fill_null(False))
        .then(pl.lit("language"))
        .when(~pl.col("trainable"))  # the licence of a file outside of the project is unknown
        .then(pl.lit("licence"))
        .when(contaminated(codes, benchmarks, rows["language"].to_list()))
        .then(pl.lit("contaminated"))
    )
    rows = rows.with_columns(barred.alias("barred"))
    usable = rows.filter(pl.col("barred").is_null())
    excluded = rows.filter(pl.col("barred").is_not_null()).with_columns(pl.col("barred").alias("not_made"))
    with_prompts = candidates_of(usable.hstack(prompt_columns(usable, settings)))
    return pl.concat([with_prompts, candidates_of(excluded)])


def candidates_of(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        pl.col(name) if name in rows.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in _SCHEMA.items()
    )


def locate_change(
    pair: dict[str, Any],
    file_splits: Mapping[FileKey, tuple[str, str]],
    licences: Mapping[FileKey, tuple[str | None, bool]],
    settings: DatasetSettings,
) -> tuple[str | bool | None, ...]:
    path = pair["path_after"] or pair["path_before"] or ""
    file_keys = [(pair["source"], candidate_path) for candidate_path in (path, pair["path_before"]) if candidate_path]
    split_and_reason = next((file_splits[file_key] for file_key in file_keys if file_key in file_splits), None)
    if pair["commit"]:
        split = split_by_hash(f"{pair['source']}:{pair['commit']}", settings)
        split_and_reason = split, f"commit of the change: {split} by hash"
    elif split_and_reason is None:
        split = split_by_hash(f"{pair['source']}:{path}", settings)
        split_and_reason = split, f"path of the change, no longer in the project: {split} by hash"
    licence = next((licences[file_key] for file_key in file_keys if file_key in licences), (None, True))
    return path, *split_and_reason, *licence


def licences_by_file(files: pl.DataFrame) -> dict[FileKey, tuple[str | None, bool]]:
    columns = files.select("source", "path", "licence", "trainable").iter_rows()
    return {(source, path): (licence, trainable) for source, path, licence, trainable in columns}


def splits_by_file(splits: pl.DataFrame, settings: DatasetSettings) -> dict[FileKey, tuple[str, str]]:
    """Split, by hash, of each file with units: for what is not a unit, such as a change of the file.

    Its units are divided; what shows one that is held out leaves train by its text.
    """
    files = splits.filter(pl.col("split").is_not_null()).select("source", "path").unique(maintain_order=True)
    by_hash = {(source, path): split_by_hash(f"{source}:{path}", settings) for source, path in files.iter_rows()}
    return {file_key: (split, f"path of the change: {split} by hash") for file_key, split in by_hash.items()}


def prompt_columns(rows: pl.DataFrame, settings: DatasetSettings) -> pl.DataFrame:
    """Prompt and completion of each change, or an exclusion reason.

    ``rows``: columns ``language``, ``path``, ``indent``, ``before``, ``after``, and the lines ``request`` and
    ``title`` that stand around the code before.
    """
    comment = pl.col("language").replace_strict(LINE_COMMENTS, return_dtype=_S)
    code_texts = (pl.col("indent") + pl.col(name).str.strip_chars_end(_WHITE) for name in _CODES)
    lines = ((comment + " " + pl.col(name)).alias(name) for name in ("path", "request", "title"))
    before, after = map(pl.col, _CODES)
    largest = pl.max_horizontal(before.str.len_bytes(), after.str.len_bytes())
    exclusion = (
        pl.when(before == after)
        .then(pl.lit("answer_in_prompt"))
        .when(largest > settings.max_change_bytes)
        .then(pl.lit("body_size"))
    )
    parts = ("path", "request", "before", pl.lit(""), "title", pl.lit(""))
    prompt = pl.concat_str(*parts, separator="\n")
    when_usable = pl.when(pl.col("not_made").is_null())
    return (
        rows.select(*(code_column.alias(name) for code_column, name in zip(code_texts, _CODES, strict=True)), *lines)
        .with_columns(exclusion.alias("not_made"))
        .select(when_usable.then(prompt).alias("prompt"), when_usable.then(after).alias("completion"), "not_made")
    )


REVIEW_FILE_COLUMNS = ("source", "path", "language", "revision", "text")
"""Columns read from REPOSITORY_FILES."""

_LONGEST_REMARK = 1000
REVIEW_ROWS = pl.Schema(
    dict.fromkeys(("source", "path", "export", "export_source", "revision", "language", "unit_id"), _S)
    | dict.fromkeys(("before", "after", "explanation", "purpose", "why_not"), _S)
)


def review_rows(files: pl.DataFrame, project: str, privacy: PrivacySettings) -> pl.DataFrame:
    """The reviews in a project's files, redacted, each once.

    ``files``: REPOSITORY_FILES of one project, with ``text``.
    """
    key = project_key(project, privacy)
    languages = {
        (source, path): language for source, path, language in files.select("source", "path", "language").iter_rows()
    }
    rows: dict[str, dict[str, Any]] = {}
    may_be_export = pl.col("language").is_null() | pl.col("language").is_in(["json", "text"])
    export_files = files.select(REVIEW_FILE_COLUMNS).filter(may_be_export).sort("source", "path")
    for source, path, language, revision, text in export_files.iter_rows():
        if language == "json" or path.lower().endswith(".ndjson"):
            reviews = read_export(text) if is_export(text) else []
        else:
            reviews = read_mailbox(text) if is_mailbox(path, text) else []
        for review in reviews:
            if review.why_not == DAMAGED:
                review = replace(review, path=path)
            row = _row(_redacted(review, privacy, key), languages)
            rows.setdefault(row["unit_id"], {**row, "export": path, "export_source": source, "revision": revision})
    return pl.DataFrame([rows[name] for name in sorted(rows)], schema=REVIEW_ROWS, orient="row")


def _redacted(review: Review, privacy: PrivacySettings, key: bytes) -> Review:
    texts = {
        name: redact_text(getattr(review, name), review.path, None, privacy, key).text for name in ("before", "after")
    }
    # a remark is prose, whatever file it is about
    remark = redact_text(review.remark, "remark.txt", None, privacy, key).text
    path = redact_text(review.path, "", None, privacy, key).text
    return replace(review, path=path, remark=remark[:_LONGEST_REMARK], **texts)


def _row(review: Review, languages: Mapping[FileKey, str | None]) -> dict[str, Any]:
    source = next((source for source, path in sorted(languages) if path == review.path), None)
    language = languages[source, review.path] if source else None
    parts = (review.path, review.before, review.remark, review.after, review.why_not)
    return {
        "source": source,
        "path": review.path,
        "language": language or language_of(review.path, review.before),
        "unit_id": hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32],
        "before": review.before,
        "after": review.after,
        "explanation": review.remark,
        "purpose": purpose_in_message(review.remark),
        "why_not": review.why_not,
    }


NO_COUNTER_EXAMPLE = "pattern_without_counter_example"

PATTERN_ROWS = pl.Schema(
    dict.fromkeys(("source", "path", "revision", "language", "unit_id", "name"), _S)
    | dict.fromkeys(("before", "after", "explanation", "purpose", "why_not"), _S)
)


def pattern_rows(files: pl.DataFrame, project: str, privacy: PrivacySettings) -> pl.DataFrame:
    """The patterns in a project's files, redacted, one row for each of their languages.

    ``files``: REPOSITORY_FILES of one project, with ``language``, ``revision`` and ``text``.
    """
    key = project_key(project, privacy)
    revisions = {
        (source, path): revision for source, path, revision in files.select("source", "path", "revision").iter_rows()
    }
    rows: list[dict[str, Any]] = []
    for pattern_file in read_patterns(files):
        source, path = pattern_file.source, pattern_file.path
        location = {"source": source, "path": path, "revision": revisions[source, path]}
        if pattern_file.pattern is None:
            # no column has its text: the name distinguishes entries of a file
            rejected = {"name": pattern_file.detail, "purpose": "readability", "why_not": pattern_file.why_not}
            of_file = [rejected | dict.fromkeys(("before", "after", "explanation"), "")]
        else:
            of_file = _rows(pattern_file.pattern, privacy, key)
        for row in of_file:
            parts = (*location.values(), row["name"], row.get("language") or "", row["before"], row["after"])
            unit_id = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
            rows.append({**row, **location, "unit_id": unit_id})
    return pl.DataFrame(rows, schema=PATTERN_ROWS, orient="row").sort("unit_id")


def _rows(pattern: Pattern, privacy: PrivacySettings, key: bytes) -> list[dict[str, Any]]:
    def redacted(text: str, name: str) -> str:
        return redact_text(text, name, None, privacy, key).text

    when = redacted(pattern.when, "when.txt")
    codes = {"before": pattern.counter_example or "", "after": pattern.example}
    return [
        {
            "language": language,
            "name": pattern.name,
            **{field: redacted(fill_metavariables(code, language), field) for field, code in codes.items()},
            "explanation": when,
            "purpose": purpose_in_message(when),
            "why_not": None if pattern.counter_example else NO_COUNTER_EXAMPLE,
        }
        for language in pattern.languages
    ]
