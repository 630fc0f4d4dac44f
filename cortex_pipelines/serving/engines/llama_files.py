"""Content-addressed cache of base and adapters as GGUF, with torch's expected log-probabilities."""

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
from cortex_pipelines.release.exports.gguf_files import ADAPTER, Width, write_base, write_gguf
from cortex_pipelines.release.exports.source import Source
from cortex_pipelines.release.loading import ResidentBase, read_lora
from cortex_pipelines.serving.engines.probing import Probe

Chances = npt.NDArray[np.float32]

_FORMAT_VERSION = 1
"""Increment if the bytes for the same base or adapter change."""

_BASE, _EXPECTED = "base.gguf", "wanted.npy"


@dataclass(frozen=True)
class GgufFile:
    """A base or an adapter for llama.cpp.

    Args:
        path: The GGUF file.
        expected_logprobs: Torch's log-probabilities after each probe prompt, shape (prompts,
            vocabulary).
    """

    path: Path
    expected_logprobs: Chances


class LlamaFiles:
    """The converted files of one base.

    Args:
        base: The base model.
        width: Type of its matrices for llama.cpp.
        folder: Cache folder; created if missing.
    """

    def __init__(self, base: BaseModel, width: Width, folder: Path) -> None:
        self._base_model = base
        self._width = width
        self._folder = folder / _key(str(_FORMAT_VERSION), base.digest, width)

    def base(self) -> GgufFile:
        """Convert the base.

        Raises:
            ExportError: its architecture is not supported.
        """

        def write(out: Path) -> None:
            write_base(self._base_model, out / _BASE, self._width)
            self._write_expected(out, None)

        return _read(self._cached_folder("base", write), _BASE)

    def adapter(self, folder: Path) -> GgufFile:
        """Convert an adapter.

        Args:
            folder: Output folder of the training.

        Raises:
            UntrustedModelError: not a plain LoRA adapter, or does not fit the base.
            ExportError: it cannot be written as GGUF.
        """
        lora = read_lora(folder)
        key = _key(*(_digest(folder / name) for name in (CONFIGURATION, WEIGHTS)))

        def write(out: Path) -> None:
            write_gguf(Source(folder.name, key, "", folder, self._base_model, ""), out)
            self._write_expected(out, lora)

        return _read(self._cached_folder(key, write), ADAPTER)

    def _write_expected(self, out: Path, lora: Any) -> None:
        import torch

        resident = ResidentBase(self._base_model)
        logits = Probe(resident).expected_logits(lora)
        chances = torch.stack([each[-1] for each in logits]).log_softmax(-1)
        np.save(out / _EXPECTED, chances.numpy().astype(np.float32))

    def _cached_folder(self, name: str, write: Callable[[Path], None]) -> Path:
        """The cached folder of this name; written once, under a lock."""
        folder = self._folder / name
        if not folder.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / f"{name}.lock"):
                if not folder.is_dir():
                    with scratch_folder(self._folder, f".{name}.") as scratch:
                        output = scratch / "made"
                        output.mkdir()
                        write(output)
                        publish(output, folder)
        return folder


def _read(folder: Path, name: str) -> GgufFile:
    return GgufFile(folder / name, np.load(folder / _EXPECTED))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _key(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
