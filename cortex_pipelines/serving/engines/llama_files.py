"""What the llama.cpp engine loads: base and adapters as GGUF, and what they have to answer.

All is made once, by the torch that adapters are trained with, and kept by content.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from cortex_pipelines.adapters.model.base_model import BaseModel
from cortex_pipelines.adapters.model.lora import CONFIGURATION, WEIGHTS
from cortex_pipelines.atomic import publish, scratch_folder
from cortex_pipelines.release.exports.gguf_adapter import ADAPTER, write_gguf
from cortex_pipelines.release.exports.gguf_base import Width, write_base
from cortex_pipelines.release.exports.source import Source
from cortex_pipelines.release.loading import ResidentBase, read_lora
from cortex_pipelines.serving.engines.probing import Probe

Chances = npt.NDArray[np.float32]

_FORM = 1
"""To be raised when other bytes are written for the same base or adapter."""

_BASE, _WANTED = "base.gguf", "wanted.npy"


@dataclass(frozen=True)
class Converted:
    """A base or an adapter as llama.cpp takes it.

    Args:
        path: The GGUF file.
        wanted: Log-probabilities after each probe prompt by torch, shape (prompts, vocabulary).
    """

    path: Path
    wanted: Chances


class LlamaFiles:
    """The converted files of one base.

    Args:
        base: The base.
        width: Type of its matrices for llama.cpp.
        folder: Where they are kept; made if it is not there.
    """

    def __init__(self, base: BaseModel, width: Width, folder: Path) -> None:
        self._given = base
        self._width = width
        self._folder = folder / _key(str(_FORM), base.digest, width)

    def base(self) -> Converted:
        """The base.

        Raises:
            ExportError: its architecture is not supported.
        """

        def write(out: Path) -> None:
            write_base(self._given, out / _BASE, self._width)
            self._write_wanted(out, None)

        return _read(self._kept("base", write), _BASE)

    def adapter(self, folder: Path) -> Converted:
        """An adapter.

        Args:
            folder: As training writes it.

        Raises:
            UntrustedModelError: it is no plain adapter, or does not fit on the base.
            ExportError: it cannot be written as GGUF.
        """
        lora = read_lora(folder)
        key = _key(*(_digest(folder / name) for name in (CONFIGURATION, WEIGHTS)))

        def write(out: Path) -> None:
            write_gguf(Source(folder.name, key, "", folder, self._given, ""), out)
            self._write_wanted(out, lora)

        return _read(self._kept(key, write), ADAPTER)

    def _write_wanted(self, out: Path, lora: Any) -> None:
        import torch

        resident = ResidentBase(self._given)
        logits = Probe(resident).wanted(lora)
        chances = torch.stack([each[-1] for each in logits]).log_softmax(-1)
        np.save(out / _WANTED, chances.numpy().astype(np.float32))

    def _kept(self, name: str, write: Callable[[Path], None]) -> Path:
        """The folder of this name, written by whoever comes first."""
        place = self._folder / name
        if not place.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / f"{name}.lock"):
                if not place.is_dir():
                    with scratch_folder(self._folder, f".{name}.") as scratch:
                        made = scratch / "made"
                        made.mkdir()
                        write(made)
                        publish(made, place)
        return place


def _read(folder: Path, name: str) -> Converted:
    return Converted(folder / name, np.load(folder / _WANTED))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _key(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
