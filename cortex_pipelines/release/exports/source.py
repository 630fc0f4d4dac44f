"""Source and result of an export."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.adapters.model.base_model import BaseModel
from cortex_pipelines.atomic import publish, scratch_folder

CARD = "README.md"
"""File name of the model card in an export, as model hubs and editors expect it."""


class ExportError(RuntimeError):
    pass


@dataclass(frozen=True)
class Source:
    model: str
    version: str
    number: str
    folder: Path
    base: BaseModel
    card: str


@dataclass(frozen=True)
class ExportChecks:
    """Checks on the reloaded export; ``skipped`` are those that were not possible, with reasons."""

    passed: tuple[str, ...]
    skipped: tuple[str, ...]
    metrics: Mapping[str, float]


@contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """A temporary folder for an export, moved to ``out`` once it is verified. Raises ExportError: ``out`` exists and
    is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExportError(f"{out} is not empty; choose another folder with --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(out.parent, f".{out.name}.") as scratch:
        staging = scratch / "export"
        staging.mkdir()
        yield staging
        if out.exists():
            out.rmdir()
        publish(staging, out)
