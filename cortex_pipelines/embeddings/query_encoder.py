"""A sentence encoder for a query: in numpy, as torch takes longer to import than the query to answer, or by OpenVINO.

Numpy agrees with ``embeddings.bert`` to about 1e-6; of use for a few short texts, where reading the weights costs most.
OpenVINO is for a process that answers many, one at a time.
"""

import json
import logging
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from cortex_pipelines.embeddings.encoder import HALF, Floats, SentenceEncoder, is_bert, machine_precision
from cortex_pipelines.embeddings.threads import cores
from cortex_pipelines.tokenization.text_encoder import TextEncoder

_LOG = logging.getLogger("cortex_pipelines")

_CHARACTERS_A_TOKEN = 64
_MOST_THREADS = 2  # more were not measured
_MOST_TEXTS, _MOST_CALLS = 2, 3
"""Texts of a call, and calls, up to which this is quicker than to import torch."""


class QueryEncoder:
    """Serves as ``SentenceEncoder`` with these arguments does, the first few queries without torch."""

    def __init__(
        self, folder: Path, max_tokens: int, batch: int, threads: int, precision: str, quick: bool = False
    ) -> None:
        self._folder, self._max_tokens, self._quick, self._calls = folder, max_tokens, quick, 0
        self._more = (batch, threads, precision)

    def serve(self, texts: Sequence[str]) -> Floats:
        if self._quick and len(texts) == 1 and self._embed_alone is not None:
            return self._embed_alone(texts[0])[None]
        self._calls += 1
        few = len(texts) <= _MOST_TEXTS and self._calls <= _MOST_CALLS
        if few and "torch" not in sys.modules and is_supported(self._folder):
            return embed_queries(self._folder, texts, self._max_tokens)
        return self._loaded.serve(texts, self._quick)

    @cached_property
    def _embed_alone(self) -> Callable[[str], Floats] | None:
        """Embed one text by OpenVINO; None where that cannot be.

        In 8 bits where torch takes 16, which take longer to read.
        """
        _, threads, precision = self._more
        if find_spec("openvino") is None or not is_supported(self._folder):
            return None
        from cortex_pipelines.embeddings.openvino_bert import OpenVinoBert

        in_8_bits = machine_precision(precision, HALF) == "bf16"
        try:
            model = OpenVinoBert(self._folder, min(max(threads, _MOST_THREADS), cores()), in_8_bits)
            tokens = _tokenizer(self._folder, self._max_tokens)
        except Exception as error:  # noqa: BLE001 - of damaged files torch's way says what to do
            _LOG.warning("OpenVINO cannot take the sentence encoder, so torch embeds: %s", error)
            return None
        return lambda text: model.embed(tokens([text])[0])

    @cached_property
    def _loaded(self) -> SentenceEncoder:
        batch, threads, precision = self._more
        return SentenceEncoder(self._folder, self._max_tokens, batch, threads, machine_precision(precision, HALF))


def is_supported(folder: Path) -> bool:
    """Whether the model's files are there, and numpy computes it."""
    try:
        config = _config(folder)
    except (OSError, ValueError):
        return False
    has_files = (folder / "model.safetensors").is_file() and (folder / "tokenizer.json").is_file()
    return has_files and is_bert(config)


def embed_queries(folder: Path, texts: Sequence[str], max_tokens: int) -> Floats:
    """What ``SentenceEncoder`` pools of each text, shape (texts, 4 x width)."""
    from safetensors import safe_open

    config = _config(folder)
    tokens = _tokenizer(folder, max_tokens)(texts)
    with safe_open(folder / "model.safetensors", framework="numpy") as weights:
        return np.stack([_embed(_Weights(weights), ids, config) for ids in tokens])


def _config(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))


def _tokenizer(folder: Path, max_tokens: int) -> Callable[[Sequence[str]], list[list[int]]]:
    from tokenizers import Tokenizer

    longest = min(max_tokens, int(_config(folder)["max_position_embeddings"]))
    tokenizer = TextEncoder(Tokenizer.from_file(str(folder / "tokenizer.json")), max_tokens=longest)
    return lambda texts: tokenizer.ids([text[: longest * _CHARACTERS_A_TOKEN] for text in texts], True)


class _Weights:
    """Weights by name, read when they are used: of the words only those of the query."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._prefix = "bert." if any(name.startswith("bert.") for name in file.keys()) else ""  # noqa: SIM118

    def __call__(self, name: str) -> Floats:
        return np.asarray(self._file.get_tensor(self._prefix + name), dtype=np.float32)

    def rows(self, name: str, numbers: Sequence[int]) -> Floats:
        part = self._file.get_slice(self._prefix + name)
        return np.concatenate([np.asarray(part[number : number + 1], dtype=np.float32) for number in numbers])

    def linear(self, name: str, values: Floats) -> Floats:
        return np.asarray(values @ self(f"{name}.weight").T + self(f"{name}.bias"), dtype=np.float32)

    def norm(self, name: str, values: Floats, epsilon: float) -> Floats:
        centred = values - values.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
        return np.asarray(scaled * self(f"{name}.weight") + self(f"{name}.bias"), dtype=np.float32)


def _erf(values: Floats) -> Floats:
    """Abramowitz and Stegun, formula 7.1.26: within 1.5e-7; scipy's takes longer to import than all else here."""
    size = np.abs(values)
    t = 1 / (1 + 0.3275911 * size)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.asarray(np.sign(values) * (1 - series * np.exp(-(size**2))), dtype=np.float32)


def _embed(weights: _Weights, ids: Sequence[int], config: dict[str, Any]) -> Floats:
    epsilon, heads = float(config["layer_norm_eps"]), int(config["num_attention_heads"])
    values = weights.rows("embeddings.word_embeddings.weight", ids)
    values = values + weights.rows("embeddings.position_embeddings.weight", range(len(ids)))
    values = values + weights.rows("embeddings.token_type_embeddings.weight", [0])
    values = weights.norm("embeddings.LayerNorm", values, epsilon)
    layers = []
    for number in range(int(config["num_hidden_layers"])):
        layer = f"encoder.layer.{number}"
        split = (len(ids), heads, -1)
        query, key, value = (
            weights.linear(f"{layer}.attention.self.{part}", values).reshape(split).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1])
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = (shares @ value).transpose(1, 0, 2).reshape(len(ids), -1)
        attended = weights.linear(f"{layer}.attention.output.dense", mixed) + values
        values = weights.norm(f"{layer}.attention.output.LayerNorm", attended, epsilon)
        wide = weights.linear(f"{layer}.intermediate.dense", values)
        activated = wide * 0.5 * (1 + _erf(wide / np.sqrt(2)))
        narrow = weights.linear(f"{layer}.output.dense", activated) + values
        values = weights.norm(f"{layer}.output.LayerNorm", narrow, epsilon)
        layers.append(values)
    earlier = [layers[max(0, round(len(layers) * share) - 1)].mean(axis=0) for share in (2 / 3, 1 / 3)]
    pools = [
        pool / max(float(np.linalg.norm(pool)), 1e-12) for pool in (values.mean(axis=0), *earlier, values.max(axis=0))
    ]
    return np.asarray(np.concatenate([*pools[:-1], pools[-1] / 2]), dtype=np.float32)
