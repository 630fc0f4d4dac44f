"""Tensor names and row order of llama.cpp, by architecture."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortex_pipelines.release.exports.source import ExportError

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class GgufLayout:
    architecture: str
    name_of: Callable[[str], str | None]
    heads: dict[str, int]

    def rows(self, name: str, count: int) -> npt.NDArray[np.int64]:
        """For each row of a layer's weights in GGUF, the row in transformers.

        A rotary embedding rotates pairs of rows of a head. Transformers stores the first row of every pair in the first
        half of the head, llama.cpp stores a pair's rows next to each other.
        """
        heads = self.heads.get(name.rpartition(".")[2])
        if heads is None:
            return np.arange(count)
        size = count // heads
        head, position = np.divmod(np.arange(count), size)
        rows: npt.NDArray[np.int64] = head * size + (position % 2) * (size // 2) + position // 2
        return rows


def layout_of(base: Path) -> GgufLayout:
    """GGUF layout for the base in a folder. Raises ExportError: the architecture is not supported."""
    import gguf

    config: dict[str, Any] = json.loads((base / "config.json").read_text(encoding="utf-8"))
    kind = config.get("model_type")
    if kind != "llama":
        raise ExportError(
            f"bases of architecture {kind} cannot be exported to GGUF yet (llama can); "
            "`--format merged` gives a model that llama.cpp's own converter takes"
        )
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, int(config["num_hidden_layers"]))
    heads = int(config["num_attention_heads"])
    keys = int(config.get("num_key_value_heads") or heads)
    return GgufLayout("llama", names.get_name, {"q_proj": heads, "k_proj": keys})
