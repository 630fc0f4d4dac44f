"""A small project of several languages, taken through extraction for real."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.datasets.assemble.build import ProjectUnits, project_units
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.splitting.unit_splits import split_units
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.extraction.units import extract
from cortex_pipelines.schemas.annotation import ANNOTATED_UNITS
from cortex_pipelines.schemas.ingestion import LINE_TIMES, REDACTIONS, REPOSITORY_FILES
from cortex_pipelines.schemas.table import Column
from cortex_pipelines_tests.parameters import sections

_LANGUAGES = {".py": "python", ".js": "javascript", ".ts": "typescript", ".go": "go", ".rs": "rust", ".java": "java"}

_NOUNS = ("invoice", "customer", "parcel", "ticket", "ledger", "sensor", "recipe", "voyage")
_VERBS = ("collect", "render", "archive", "compare", "publish")


def _python(noun: str, number: int) -> str:
    parts = [f'"""The {noun}s."""\n\nimport json\nfrom {noun}s import store\n\n\nclass {noun.title()}Desk:\n']
    call = "dumps" if number % 2 else "loads"
    for step, verb in enumerate(_VERBS):
        other = _NOUNS[(number + step + 1) % len(_NOUNS)]
        parts.append(
            f"    def {verb}_{noun}(self, {other}, limit={step}):\n"
            f'        """{verb.title()} each {noun} of a {other}."""\n'
            f"        # All.\n        {verb}ed = []\n"
            f"        for {noun}_{step} in store.{verb}({other}, {number * 7 + step}):\n"
            f"            {'if' if step % 2 else 'while'} {noun}_{step}.{other}.size > limit:\n"
            f"                {verb}ed.append(json.{call}({noun}_{step}))\n"
            f"                {'break' if number % 3 else 'limit += 1'}\n"
            f"        return self.{other}.{verb}({verb}ed, {step} * {number})\n\n"
        )
    return "".join(parts)


def _go(noun: str) -> str:
    return (
        f'package {noun}\n\nimport "fmt"\n\n// Count{noun.title()}s counts them.\n'
        f"func Count{noun.title()}s(items []int, {noun} int) int {{\n\ttotal := {noun}\n"
        f"\tfor index, item := range items {{\n"
        f'\t\ttotal += item * index\n\t\tfmt.Println(total, "{noun}")\n'
        "\t}\n\treturn total\n}\n"
    )


def files_frame(texts: dict[str, str]) -> pl.DataFrame:
    """REPOSITORY_FILES of the given paths and texts."""
    return REPOSITORY_FILES.frame(
        [
            {
                "source": "directory:example",
                "path": path,
                "blob": hashlib.sha1(text.encode()).hexdigest(),
                "language": _LANGUAGES.get(Path(path).suffix),
                "size_bytes": len(text.encode()),
                "generated": path.startswith("vendor/"),
                "revision": "one",
                "licence": "MIT",
                "trainable": not path.startswith("vendor/"),
                "notebook": False,
                "author": None,
                "text": text,
            }
            for path, text in texts.items()
        ]
    )


def annotated(files: pl.DataFrame) -> pl.DataFrame:
    """Units of the files, with annotations that say nothing."""
    units = extract(files, ExtractionSettings(**section("extraction"))).units
    missing = [column for column in ANNOTATED_UNITS.columns if column.name not in units.columns]
    return ANNOTATED_UNITS.conform(units.with_columns(_plain(column).alias(column.name) for column in missing))


def _plain(column: Column) -> pl.Expr:
    """A value that says nothing and keeps the contract."""
    if column.nullable:
        return pl.lit(None, dtype=column.dtype)
    if isinstance(column.dtype, pl.List):
        return pl.lit([], dtype=column.dtype)
    if column.dtype == pl.String:
        return pl.lit(column.one_of[0] if column.one_of else "none")
    return pl.lit(column.between[0] if column.between else 0).cast(column.dtype)


@dataclass(frozen=True)
class ExampleProject:
    """What the data sets of the small project are made from."""

    splits: pl.DataFrame
    inputs: ProjectUnits


def make_project(units: pl.DataFrame, files: pl.DataFrame, settings: DatasetSettings) -> ExampleProject:
    """Units through the split, as the assets do it."""
    splits = split_units(units, files, LINE_TIMES.empty(), (), settings)
    return ExampleProject(splits, project_units(units, files, REDACTIONS.empty(), splits, settings))


def section(name: str) -> dict[str, Any]:
    """A section of the project's own parameters."""
    values: dict[str, Any] = sections()[name]
    return values


@pytest.fixture(scope="session")
def settings() -> DatasetSettings:
    return DatasetSettings(**section("datasets"))


@pytest.fixture(scope="session")
def augmentation() -> AugmentationSettings:
    return AugmentationSettings(**section("augmentation"))


@pytest.fixture(scope="session")
def files() -> pl.DataFrame:
    texts = {f"shop/{noun}.py": _python(noun, number) for number, noun in enumerate(_NOUNS)}
    texts |= {f"cmd/{noun}.go": _go(noun) for noun in _NOUNS[:2]}
    texts["shop/copy.py"] = texts["shop/ledger.py"].replace("JSON", "json")
    texts["shop/errors.py"] = "class ParcelError(ValueError):\n    def text(self):\n        return 'lost'\n"
    texts["vendor/lib.py"] = _python("library", 30)
    return files_frame(texts)


@pytest.fixture(scope="session")
def units(files: pl.DataFrame) -> pl.DataFrame:
    return annotated(files)


@pytest.fixture(scope="session")
def make_files() -> Callable[[dict[str, str]], pl.DataFrame]:
    return files_frame


@pytest.fixture(scope="session")
def make_units() -> Callable[[pl.DataFrame], pl.DataFrame]:
    return annotated


@pytest.fixture(scope="session")
def example_project(units: pl.DataFrame, files: pl.DataFrame, settings: DatasetSettings) -> ExampleProject:
    return make_project(units, files, settings)


@pytest.fixture(scope="session")
def project_maker() -> Callable[..., ExampleProject]:
    return make_project
