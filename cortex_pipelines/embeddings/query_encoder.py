"""A sentence encoder for a query, in numpy: torch takes longer to import than the query to answer.

Agrees with ``embeddings.bert`` to about 1e-6; of use for a few short texts, where reading the weights costs most.
"""

import json
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cortex_pipelines.embeddings.encoder import HALF, Floats, SentenceEncoder, is_bert, machine_precision
from cortex_pipelines.tokenization.text_encoder import TextEncoder

_CHARACTERS_A_TOKEN = 64
_MOST_TEXTS, _MOST_CALLS = 2, 3
"""Texts of a call, and calls, up to which this is quicker than to import torch; OpenVINO for as many texts."""


class QueryEncoder:
    """Serves as ``SentenceEncoder`` with these arguments does, the first few queries without torch."""

    def __init__(
        self, folder: Path, max_tokens: int, batch: int, threads: int, precision: str, quick: bool = False
    ) -> None:
        self.folder, self.max_tokens, self.precision = folder, max_tokens, precision
        self._batch, self._threads, self._quick, self._calls = batch, threads, quick, 0
        self.open_alone: Callable[[QueryEncoder], Callable[[str], Floats] | None] = lambda _: None
        """Opens a quicker way for calls with one text or two, at the first of them."""

    def serve(self, texts: Sequence[str]) -> Floats:
        if 1 <= len(texts) <= _MOST_TEXTS and self._embed_alone is not None:
            return np.stack([self._embed_alone(text) for text in texts])
        self._calls += 1
        few = len(texts) <= _MOST_TEXTS and self._calls <= _MOST_CALLS
        if few and "torch" not in sys.modules and is_supported(self.folder):
            return embed_queries(self.folder, texts, self.max_tokens)
        return self._loaded.serve(texts, self._quick)

    @cached_property
    def _embed_alone(self) -> Callable[[str], Floats] | None:
        return self.open_alone(self)

    @cached_property
    def _loaded(self) -> SentenceEncoder:
        precision = machine_precision(self.precision, HALF)
        return SentenceEncoder(self.folder, self.max_tokens, self._batch, self._threads, precision)


def is_supported(folder: Path) -> bool:
    """Whether the model's files are there, and numpy computes it."""
    try:
        config = config_of(folder)
    except (OSError, ValueError):
        return False
    has_files = (folder / "model.safetensors").is_file() and (folder / "tokenizer.json").is_file()
    return has_files and is_bert(config)


def embed_queries(folder: Path, texts: Sequence[str], max_tokens: int) -> Floats:
    """What ``SentenceEncoder`` pools of each text, shape (texts, 4 x width)."""
    from safetensors import safe_open

    config = config_of(folder)
    tokens = tokenizer_of(folder, max_tokens)(texts)
    with safe_open(folder / "model.safetensors", framework="numpy") as weights:
        return np.stack([_embed(_Weights(weights), ids, config) for ids in tokens])


def config_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))


def tokenizer_of(folder: Path, max_tokens: int) -> Callable[[Sequence[str]], list[list[int]]]:
    from tokenizers import Tokenizer

    longest = min(max_tokens, int(config_of(folder)["max_position_embeddings"]))
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


def earlier_layers(layers: Sequence[Any]) -> list[Any]:
    """The layers at two thirds and at one third, which are pooled beside the last."""
    return [layers[max(0, round(len(layers) * share) - 1)] for share in (2 / 3, 1 / 3)]


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
    earlier = [states.mean(axis=0) for states in earlier_layers(layers)]
    pools = [
        pool / max(float(np.linalg.norm(pool)), 1e-12) for pool in (values.mean(axis=0), *earlier, values.max(axis=0))
    ]
    return np.asarray(np.concatenate([*pools[:-1], pools[-1] / 2]), dtype=np.float32)
