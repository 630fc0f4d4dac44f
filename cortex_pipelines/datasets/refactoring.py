"""Candidates of the refactoring data set: code to put right or to improve, and the result.

Three sources: errors put in on purpose, smells that a rule can mend, and changes from history. An
error and a smell are on the side of the unit they were made from; a change from history is on the
side of the file that it ended up in, or, where that is gone, on that of its path by hash.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from cortex_pipelines.annotation.fixes import SmellFix
from cortex_pipelines.datasets.build import Project, Tables, finished_tables
from cortex_pipelines.datasets.completion import MADE
from cortex_pipelines.datasets.contamination import Fingerprints, contaminated
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.splits import side_by_hash
from cortex_pipelines.datasets.unit_text import LINE_COMMENTS, Place
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas import REFACTORING_DATASET

_S = pl.String
SCHEMA = pl.Schema(
    {
        **dict.fromkeys(("unit_id", "source", "path", "language", "kind", "origin"), _S),
        **dict.fromkeys(("prompt", "completion", "cluster", "split", "split_reason"), _S),
        **dict.fromkeys(("purpose", "error_type", "refactoring", "smell", "explanation"), _S),
        **dict.fromkeys(("revision", "blob", "licence", "not_made"), _S),
        **dict.fromkeys(("start_byte", "end_byte", "cluster_size", "redactions"), pl.Int64),
    }
)
_OF_UNIT = (
    *("unit_id", "source", "path", "language", "cluster", "split", "split_reason"),
    *("revision", "blob", "licence", "start_byte", "end_byte", "cluster_size", "redactions"),
)
FixesOf = Mapping[str, Sequence[SmellFix]]
"""Fixes of smells by unit id."""


def error_candidates(
    units: pl.DataFrame, errors: pl.DataFrame, settings: DatasetSettings
) -> pl.DataFrame:
    """Injected errors of the units that may become examples.

    Args:
        units: Units of ``units.prepared_units``.
        errors: INJECTED_ERRORS of the same project.
        settings: Bounds.
    """
    columns = ("unit_id", "buggy_code", "fixed_code", "error_type", "explanation")
    joined = errors.select(columns).join(
        units.select(*_OF_UNIT, "indent"), on="unit_id", maintain_order="left_right"
    )
    request = ("This code has an error.", "The code put right:")
    codes = joined.select("language", "path", "indent", "buggy_code", "fixed_code")
    made = [
        tuple(_task(row, request, row["buggy_code"], row["fixed_code"], settings).values())
        for row in codes.iter_rows(named=True)
    ]
    about: dict[str, str | None] = dict.fromkeys(("refactoring", "smell"))
    about |= {"kind": "error", "origin": "injected_error", "purpose": "correctness"}
    return joined.hstack(pl.DataFrame(made, schema=MADE, orient="row")).select(
        pl.lit(about[name], dtype=dtype).alias(name) if name in about else pl.col(name)
        for name, dtype in SCHEMA.items()
    )


def smell_candidates(
    units: pl.DataFrame, fixes: FixesOf, settings: DatasetSettings
) -> pl.DataFrame:
    """Smells of the units that may become examples, with what mends them.

    Args:
        units: Units of ``units.prepared_units``.
        fixes: Fixes of each unit's smells.
        settings: Bounds.
    """
    rows = []
    for unit in units.select(*_OF_UNIT, "indent").iter_rows(named=True):
        for fix in fixes.get(unit["unit_id"], ()):
            request = (f"This code can be improved: {fix.smell}.", "The improved code:")
            made = _task(unit, request, fix.before, fix.after, settings)
            about = {"kind": fix.purpose, "origin": "smell_fix", "purpose": fix.purpose}
            told = {"smell": fix.smell, "explanation": fix.explanation}
            rows.append(_own(unit) | made | about | told)
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def pair_candidates(
    pairs: pl.DataFrame,
    files: pl.DataFrame,
    splits: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    settings: DatasetSettings,
) -> pl.DataFrame:
    """Changes from history.

    Args:
        pairs: REFACTORING_PAIRS of one project.
        files: REPOSITORY_FILES of the same project, for the licence.
        splits: UNIT_SPLITS of the same project.
        benchmarks: What must not be trained on.
        settings: Bounds and shares.
    """
    sides = _sides(splits)
    licences = {
        (source, path): (licence, trainable)
        for source, path, licence, trainable in files.select(
            "source", "path", "licence", "trainable"
        ).iter_rows()
    }
    codes = (pairs["before"] + "\n" + pairs["after"]).to_list()
    dirty = contaminated(codes, benchmarks, settings)
    rows = [
        _pair(pair, benchmark, sides, licences, settings)
        for pair, benchmark in zip(pairs.iter_rows(named=True), dirty, strict=True)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _pair(
    pair: dict[str, Any],
    benchmark: str | None,
    sides: Mapping[Place, tuple[str, str]],
    licences: Mapping[Place, tuple[str | None, bool]],
    settings: DatasetSettings,
) -> dict[str, Any]:
    path = pair["path_after"] or pair["path_before"] or ""
    places = [(pair["source"], place) for place in (path, pair["path_before"]) if place]
    known = next((sides[place] for place in places if place in sides), None)
    if known is None:
        side = side_by_hash(f"{pair['source']}:{path}", settings)
        known = side, f"path of the change, no longer in the project: {side} by hash"
    licence, trainable = next(
        (licences[place] for place in places if place in licences), (None, True)
    )
    unit = {"language": pair["language"], "path": path, "indent": ""}
    request = (f"Refactor this code: {pair['type']}.", "The refactored code:")
    made = _task(unit, request, pair["before"], pair["after"], settings)
    if benchmark or not trainable:
        made["not_made"] = "contaminated" if benchmark else "licence"
    return {
        **made,
        "unit_id": pair["pair_id"],
        "source": pair["source"],
        "path": path,
        "language": pair["language"],
        "kind": pair["purpose"],
        "origin": "history",
        "cluster": pair["pair_id"],
        "split": known[0],
        "split_reason": known[1],
        "purpose": pair["purpose"],
        "refactoring": pair["type"],
        "smell": pair["smell"],
        "explanation": pair["description"],
        "revision": pair["commit"],
        "licence": licence,
    }


def _sides(splits: pl.DataFrame) -> dict[Place, tuple[str, str]]:
    """The side of each file that has a unit on one, and what decided it."""
    known = splits.filter(pl.col("split").is_not_null()).unique(
        ["source", "path"], keep="first", maintain_order=True
    )
    return {
        (source, path): (split, reason)
        for source, path, split, reason in known.select(
            "source", "path", "split", "split_reason"
        ).iter_rows()
    }


def _task(
    unit: Mapping[str, Any],
    request: tuple[str, str],
    before: str,
    after: str,
    settings: DatasetSettings,
) -> dict[str, Any]:
    """Prompt and completion, or why there are none."""
    comment = LINE_COMMENTS[unit["language"]]
    before, after = unit["indent"] + before.rstrip(), unit["indent"] + after.rstrip()
    if before == after:
        return {"prompt": None, "completion": None, "not_made": "answer_in_prompt"}
    if max(len(before.encode()), len(after.encode())) > settings.max_change_bytes:
        return {"prompt": None, "completion": None, "not_made": "body_size"}
    question, title = (f"{comment} {line}" for line in request)
    prompt = "\n".join([f"{comment} {unit['path']}", question, before, "", title, ""])
    return {"prompt": prompt, "completion": after, "not_made": None}


def _own(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _OF_UNIT}


def refactoring_tables(
    project: Project,
    errors: pl.DataFrame,
    fixes: FixesOf,
    pairs: pl.DataFrame,
    files: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    settings: DatasetSettings,
    cache: RowCache | None = None,
) -> Tables:
    """Tables of the refactoring data set.

    Args:
        project: Units and their surroundings.
        errors: INJECTED_ERRORS of the same project.
        fixes: Fixes of smells by unit id.
        pairs: REFACTORING_PAIRS of the same project.
        files: REPOSITORY_FILES of the same project.
        benchmarks: What must not be trained on.
        settings: Sizes and shares.
        cache: What is known of texts that have not changed; the tables are the same without.
    """
    candidates = pl.concat(
        [
            error_candidates(project.units, errors, settings),
            smell_candidates(project.units, fixes, settings),
            pair_candidates(pairs, files, project.splits, benchmarks, settings),
        ]
    )
    # a unit is left out for what is made of it, and most units have nothing to mend
    return finished_tables(
        "refactoring_dataset", REFACTORING_DATASET, candidates, project, (), settings, cache
    )
