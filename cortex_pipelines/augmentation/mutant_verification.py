"""Verify injected bugs on this machine: do they compile, does anything detect them."""

from typing import Any

import polars as pl

from cortex_pipelines.augmentation.compiling import compiles, toolchain_version
from cortex_pipelines.augmentation.seeding import draw
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.execution.tests.environment import OWN, Interpreter
from cortex_pipelines.execution.tests.mutant_killing import Answer, MutantUnderTest, find_killed
from cortex_pipelines.schemas.augmentation import MUTANT_VERIFICATION

_PLACE = ("unit_id", "source", "path", "name", "qualified_name", "start_byte", "end_byte")
_NOT_RUN: Answer = ("unknown", "tests are run for Python only")


def verified(
    errors: pl.DataFrame,
    units: pl.DataFrame,
    files: pl.DataFrame,
    settings: AugmentationSettings,
    interpreter: Interpreter = OWN,
) -> pl.DataFrame:
    """Verification results for a sample of a project's injected bugs.

    Args:
        errors: INJECTED_ERRORS.
        units: CODE_UNITS or ANNOTATED_UNITS of the same project.
        files: REPOSITORY_FILES of the same project.
        settings: Size of the sample, and limits.
        interpreter: Runs Python tests.

    Returns:
        MUTANT_VERIFICATION: two rows a mutant, ``unknown`` with the reason where a compiler, a
        sandbox or a test that runs is missing.
    """
    rows: list[dict[str, Any]] = []
    sample = _sample(errors, settings).join(units.select(_PLACE), on="unit_id", how="left")
    for (source,), of_source in sample.group_by("source", maintain_order=True):
        source_files = files.filter(pl.col("source").eq_missing(pl.lit(source, pl.String)))
        texts = dict(zip(source_files["path"], source_files["text"], strict=True))
        for (language,), mutants in of_source.group_by("language", maintain_order=True):
            rows += _rows(mutants, texts, str(language), settings, interpreter)
    return MUTANT_VERIFICATION.frame(rows)


def _sample(errors: pl.DataFrame, settings: AugmentationSettings) -> pl.DataFrame:
    ids = errors["mutant_id"].to_list()
    shuffled = sorted(ids, key=lambda mutant_id: draw(settings.seed, "verification", mutant_id))
    sampled_ids = shuffled[: settings.verified_mutants]
    return errors.filter(pl.col("mutant_id").is_in(sampled_ids)).sort("mutant_id")


def _rows(
    mutants: pl.DataFrame,
    texts: dict[str, str],
    language: str,
    settings: AugmentationSettings,
    interpreter: Interpreter,
) -> list[dict[str, Any]]:
    subjects, lost = [], {}
    for row in mutants.iter_rows(named=True):
        subject = _subject(row, texts)
        if subject is None:
            lost[row["mutant_id"]] = ("unknown", "its unit is not at its place in the file")
        else:
            subjects.append(subject)
    compiled = lost | (compiles(subjects, texts, language, settings) if subjects else {})
    outcomes = lost | (
        find_killed(subjects, texts, settings, interpreter)
        if language == "python" and subjects
        else {subject.mutant_id: _NOT_RUN for subject in subjects}
    )
    version = toolchain_version(language)
    return [
        _row(row, check, version if check == "compiled" or language == "python" else "", answers)
        for row in mutants.iter_rows(named=True)
        for check, answers in (("compiled", compiled), ("killed", outcomes))
    ]


def _row(row: dict[str, Any], check: str, toolchain: str, answers: dict[str, Answer]) -> dict[str, Any]:
    result, detail = answers[row["mutant_id"]]
    columns = {name: row[name] for name in ("mutant_id", "unit_id", "language", "operator")}
    return columns | {"check": check, "result": result, "toolchain": toolchain, "detail": detail}


def _subject(row: dict[str, Any], texts: dict[str, str]) -> MutantUnderTest | None:
    """The mutant in its file; None if the unit is not at its recorded position."""
    data = texts.get(row["path"] or "", "").encode()
    start, end = row["start_byte"], row["end_byte"]
    if start is None or data[start:end] != row["fixed_code"].encode():
        return None
    buggy = data[:start] + row["buggy_code"].encode() + data[end:]
    return MutantUnderTest(
        mutant_id=row["mutant_id"],
        path=row["path"],
        qualified_name=row["qualified_name"],
        fixed_code=row["fixed_code"],
        buggy_file=buggy.decode(),
    )
