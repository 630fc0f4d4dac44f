"""Hand-labelled sample of short units in six languages.

``sample/<language>.txt`` holds cases. A case begins with a line

=== path | qualified name | category | label, label

followed by the file's code; ``-`` means no label. The named unit is labelled. All of it was written for this sample,
the labels before the rules were run over it.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.annotation.labels.labelling import FileKey, label_units
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.extraction.nesting import Unit
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.extraction.units import file_units
from cortex_pipelines.schemas.vocabulary import LANGUAGES

_SAMPLE = Path(__file__).parent / "sample"
_MARK = "=== "


@dataclass(frozen=True)
class LabelledUnit:
    language: str
    path: str
    name: str
    category: str
    labels: frozenset[str]  # its patterns, anti-patterns and smells
    code: str


@dataclass(frozen=True)
class Prediction:
    case: LabelledUnit
    category: str
    score: float
    labels: frozenset[str]


class SampleError(ValueError):
    pass


@cache
def cases(folder: Path = _SAMPLE) -> tuple[LabelledUnit, ...]:
    """All cases, ordered by language and file.

    Raises SampleError: the first line of a case does not have four parts.
    """
    return tuple(
        _case(language, part)
        for language in LANGUAGES
        for part in (folder / f"{language}.txt").read_text(encoding="utf-8").split(f"\n{_MARK}")
        if part.strip()
    )


def _case(language: str, part: str) -> LabelledUnit:
    head, _, code = part.removeprefix(_MARK).partition("\n")
    fields = [field.strip() for field in head.split("|")]
    if len(fields) != 4:
        raise SampleError(
            f"sample/{language}.txt: {head!r}: must be `=== path | qualified name | category | "
            "labels`, with - for no label"
        )
    labels = frozenset(label.strip() for label in fields[3].split(",")) - {"-", ""}
    return LabelledUnit(language, fields[0], fields[1], fields[2], labels, code.strip("\n") + "\n")


@cache
def predict_sample(settings: AnnotationSettings, extraction: ExtractionSettings) -> tuple[Prediction, ...]:
    """Label each case by the rules. Raises SampleError: a case's file has no unit with its name."""
    units, texts = _units(extraction)
    rows = {row["unit_id"]: row for row in label_units(units, texts, settings).to_dicts()}
    return tuple(
        Prediction(case, row["category"], row["category_score"], frozenset(row["patterns"]))
        for number, case in enumerate(cases())
        for row in [rows[f"{number}"]]
    )


def _units(extraction: ExtractionSettings) -> tuple[pl.DataFrame, dict[FileKey, str]]:
    rows: list[dict[str, Any]] = []
    texts: dict[FileKey, str] = {}
    for number, case in enumerate(cases()):
        parsed = file_units(case.code, case.language, case.path, extraction)
        named_units = [unit for unit in parsed if unit.qualified_name == case.name and unit.kind != "import"]
        if not named_units:
            names = ", ".join(unit.qualified_name for unit in parsed)
            raise SampleError(f"sample/{case.language}.txt: {case.name}: {case.path} has {names}")
        texts[("sample", case.path, str(number))] = case.code
        rows += [
            _row(case, number, unit, f"{number}" if unit is named_units[-1] else f"{number}.{index}")
            for index, unit in enumerate(parsed)
        ]
    return pl.DataFrame(rows, schema=_COLUMNS, orient="row"), texts


_COLUMNS: dict[str, type[pl.DataType]] = {
    "unit_id": pl.String,
    "source": pl.String,
    "path": pl.String,
    "blob": pl.String,
    "language": pl.String,
    "kind": pl.String,
    "name": pl.String,
    "qualified_name": pl.String,
    "start_byte": pl.Int64,
    "end_byte": pl.Int64,
    "body_start_byte": pl.Int64,
    "docstring": pl.String,
    "code": pl.String,
    "has_error": pl.Boolean,
    "generated": pl.Boolean,
}


def _row(case: LabelledUnit, number: int, unit: Unit, identity: str) -> dict[str, Any]:
    row = {column: getattr(unit, column, None) for column in _COLUMNS}
    identity_columns = {"unit_id": identity, "source": "sample", "path": case.path, "blob": str(number)}
    return {**row, **identity_columns, "language": case.language, "generated": False}
