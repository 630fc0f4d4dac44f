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
    """A model cannot be exported in this format, or the export differs from the model."""


@dataclass(frozen=True)
class Source:
    """A verified adapter and its base.

    Args:
        model: Name of the model.
        version: DVC hash.
        number: Semantic version, or empty if not released.
        folder: Folder of the adapter.
        base: The base model, as safetensors.
        card: Model card, or empty.
    """

    model: str
    version: str
    number: str
    folder: Path
    base: BaseModel
    card: str


@dataclass(frozen=True)
class ExportChecks:
    """Results of checks on the reloaded export.

    Args:
        passed: Descriptions of passed checks.
        skipped: Checks that were not possible, with reasons.
        metrics: Measured values by name.
    """

    passed: tuple[str, ...]
    skipped: tuple[str, ...]
    metrics: Mapping[str, float]


@contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """A temporary folder for an export, moved to ``out`` once it is verified.

    Raises:
        ExportError: ``out`` exists and is not empty.
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
