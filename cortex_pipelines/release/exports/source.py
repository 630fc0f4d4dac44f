"""Source and result of an export, and its comparison by logits on a fixed piece of code."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.model.base_model import BaseModel
from cortex_pipelines.atomic import publish, scratch_folder
from cortex_pipelines.tokenization.text_encoder import token_ids

CARD = "README.md"  # file name of the model card in an export, as model hubs and editors expect it


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

    def write_card(self, out: Path) -> None:
        if self.card:
            (out / CARD).write_text(self.card, encoding="utf-8")


@dataclass(frozen=True)
class ExportChecks:
    """Checks on the reloaded export; ``skipped`` are those that were not possible, with reasons."""

    passed: tuple[str, ...]
    skipped: tuple[str, ...]
    metrics: Mapping[str, float]


@contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """A temporary folder for an export, moved to ``out``, which may not hold anything, once it is verified."""
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


_TEXT = '''def parse_version(text):
    """Major, minor and patch of a version."""
    parts = text.strip().split(".")
    if len(parts) != 3:
        raise ValueError(f"not a version: {text}")
    return tuple(int(part) for part in parts)


class History:
    def __init__(self, size):
        self.size = size
        self.items = []
'''
_TOKENS = 96


def probe(tokenizer: Any) -> Any:
    """Token ids of the fixed piece of code, shape (1, at most 96)."""
    import torch

    return torch.tensor(token_ids(tokenizer, [_TEXT]))[:, :_TOKENS]


def logits(model: Any, ids: Any) -> Any:
    """Logits of a model, float32, shape (tokens, vocabulary)."""
    import torch

    with torch.no_grad():
        return model(input_ids=ids.to(model.device)).logits[0].float().cpu()


def relative_difference(first: Any, second: Any) -> float:
    """Largest difference of two logits, relative to the largest of the first."""
    return float((first - second).abs().max() / first.abs().max())
