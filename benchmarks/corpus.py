"""Real code that is on this machine: packages of the environment, and sources of the project."""

import os
import sysconfig
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import polars as pl

from benchmarks.workspace import CHECKOUT
from cortex_pipelines.config import load_parameters
from cortex_pipelines.ingestion.files.content import is_generated
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.syntax.grammars import PARSED


def write_packages(folder: Path, megabytes: float) -> int:
    """Copy Python modules of the environment, package by package in order of their names.

    Returns:
        Bytes written; less than wanted where the environment is smaller.
    """
    size = 0
    for path in _installed(".py"):
        if size >= megabytes * 1e6:
            break
        data = path.read_bytes()
        copy = folder / path.relative_to(_packages())
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(data)
        size += len(data)
    return size


def write_languages(folder: Path, megabytes: float) -> dict[str, float]:
    """Files of each language below a folder of its name: from the environment and the project.

    Generated and minified ones are left out, as they say little about what people write.

    Args:
        folder: Where to.
        megabytes: Most of each language.

    Returns:
        Language to the megabytes found; 0 for one that is not on this machine.
    """
    settings = load_parameters(CHECKOUT).ingestion
    numbers, sizes = count(), dict.fromkeys(sorted(PARSED), 0.0)
    for path, language, read in _files():
        if language not in sizes or sizes[language] >= megabytes:
            continue
        text = read()
        data = text.encode("utf-8", "surrogatepass")
        if len(data) > settings.max_file_bytes or is_generated(path, language, text, settings):
            continue
        copy = folder / language / f"{next(numbers):05}{Path(path).suffix}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(data)
        sizes[language] += len(data) / 1e6
    return sizes


def _files() -> Iterator[tuple[str, str, Callable[[], str]]]:
    """Path, language, and what reads the text; what the project has made of its sources first."""
    repository_files = CHECKOUT / "data" / "repository_files"
    for table in sorted(repository_files.glob("*/files.parquet")):
        rows = pl.read_parquet(table, columns=["path", "language", "text"]).drop_nulls("language")
        for path, language, text in rows.iter_rows():
            yield path, language, partial(str, text)
    for path in _installed(".js", ".mjs", ".ts", ".tsx", ".java", ".go", ".rs", ".py"):
        # relative to its package: the folder of all packages marks what is in it as vendored
        name = path.relative_to(_packages()).as_posix()
        yield name, language_of(name, "") or "", partial(path.read_text, "utf-8", "replace")


def _installed(*endings: str) -> Iterator[Path]:
    for folder, folders, names in os.walk(_packages()):
        folders[:] = sorted(set(folders) - {"__pycache__"})
        yield from (Path(folder) / name for name in sorted(names) if name.endswith(endings))


def _packages() -> Path:
    return Path(sysconfig.get_path("purelib"))
