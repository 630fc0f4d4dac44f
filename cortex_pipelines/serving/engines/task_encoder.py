"""The router's encoder for a task that comes alone, by OpenVINO: torch's calls cost as much as a dozen tokens' sums.

A pass has no batch and one product for query, key and value, so that the graph has few operations. Texts are padded to
one of a few lengths: a pass of another length than the one before takes 1.6 times as long.
"""

import logging
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from cortex_pipelines.embeddings.encoder import HALF, Floats, machine_precision
from cortex_pipelines.embeddings.query_encoder import (
    QueryEncoder,
    config_of,
    earlier_layers,
    is_supported,
    tokenizer_of,
)
from cortex_pipelines.embeddings.threads import cores
from cortex_pipelines.serving.engines.openvino_runtime import compiled, load_openvino, rounded_to_8_bits

_LOG = logging.getLogger("cortex_pipelines")

_LENGTHS = (16, 32, 64, 128, 256, 512)
_HIDDEN = -1e4  # added to what is of padding, before a maximum and the softmax of attention
_SHORTEST = 1e-24  # square of the shortest length that a pool is divided by
_MOST_THREADS = 2  # more were not measured


def embed_alone(encoder: QueryEncoder) -> Callable[[str], Floats] | None:
    """Embeds one text, in 8 bits where torch takes 16, which take longer to read; None where OpenVINO cannot."""
    if find_spec("openvino") is None or not is_supported(encoder.folder):
        return None
    in_8_bits = machine_precision(encoder.precision, HALF) == "bf16"
    try:
        model = OpenVinoBert(encoder.folder, min(_MOST_THREADS, cores()), in_8_bits)
        tokens = tokenizer_of(encoder.folder, encoder.max_tokens)
    except Exception as error:  # noqa: BLE001 - of damaged files torch's way says what to do
        _LOG.warning("OpenVINO cannot take the sentence encoder, so torch embeds: %s", error)
        return None
    return lambda text: model.embed(tokens([text])[0])


class OpenVinoBert:
    """Pools of one text's hidden states, as ``SentenceEncoder`` returns them.

    Args:
        in_8_bits: Whether matrices are rounded to 8 bits, a scale a row, and what they are multiplied with, too.

    Raises:
        ImportError: OpenVINO is not installed.
        KeyError: the file lacks a weight that a BERT has.
        RuntimeError: OpenVINO cannot compile the model.
    """

    def __init__(self, folder: Path, threads: int, in_8_bits: bool) -> None:
        from safetensors.numpy import load_file

        weights = {
            name.removeprefix("bert."): value.astype(np.float32)
            for name, value in load_file(folder / "model.safetensors").items()
        }
        self._words = weights["embeddings.word_embeddings.weight"].astype(np.float16)
        self._positions = (
            weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
        )
        self._threads, self._graph = threads, _graph(weights, config_of(folder), in_8_bits)
        self._request = cache(self._compiled)
        self._request(_LENGTHS[0])
        self._lock = Lock()

    def embed(self, ids: Sequence[int]) -> Floats:
        """Shape (4 x width); of at most as many tokens as the model was trained with."""
        count = len(ids)
        length = next((length for length in _LENGTHS if length >= count), count)
        values = np.zeros((1, length, self._words.shape[1]), np.float32)
        values[0, :count] = self._words[list(ids)] + self._positions[:count]
        shares = np.zeros((1, 1, length), np.float32)
        shares[..., :count] = 1 / max(count, 1)
        hidden = np.zeros((1, 1, 1, length), np.float32)
        hidden[..., count:] = _HIDDEN
        with self._lock:
            (pooled,) = self._request(length).infer([values, shares, hidden], share_inputs=True).values()
        return np.asarray(pooled[0], dtype=np.float32)

    def _compiled(self, length: int) -> Any:
        graph = self._graph.clone()
        width = self._words.shape[1]
        shapes = ([1, length, width], [1, 1, length], [1, 1, 1, length])
        graph.reshape(dict(enumerate(map(load_openvino().PartialShape, shapes))))
        return compiled(graph, self._threads, "f32")


class _Operations:
    """Operations on states of shape (1, tokens, width) with weights by name."""

    def __init__(self, weights: dict[str, Floats], epsilon: float, in_8_bits: bool) -> None:
        self.opset, self._weights, self._epsilon = load_openvino().opset13, weights, epsilon
        self._matrix = rounded_to_8_bits if in_8_bits else self.opset.constant

    def linear(self, values: Any, *names: str) -> Any:
        """Outputs of the named layers, side by side."""
        weight, bias = (
            np.concatenate([self._weights[f"{name}.{part}"] for name in names]) for part in ("weight", "bias")
        )
        products = self.opset.matmul(values, self._matrix(weight), False, True)
        return self.opset.add(products, self.opset.constant(bias))

    def norm(self, values: Any, name: str) -> Any:
        opset = self.opset
        scaled = opset.mvn(values, opset.constant([-1], np.int64), True, self._epsilon, "inside_sqrt")
        scaled = opset.multiply(scaled, opset.constant(self._weights[f"{name}.weight"]))
        return opset.add(scaled, opset.constant(self._weights[f"{name}.bias"]))

    def attended(self, values: Any, hidden: Any, layer: str, heads: int, width: int) -> Any:
        opset = self.opset
        names = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")]
        shape = opset.constant([0, -1, 3, heads, width // heads], np.int64)
        parts = opset.reshape(self.linear(values, *names), shape, True)
        parts = opset.transpose(parts, opset.constant([2, 0, 3, 1, 4], np.int64))
        zero = opset.constant(0, np.int64)
        query, key, value = (opset.squeeze(part, zero) for part in opset.split(parts, zero, 3).outputs())
        mixed = opset.scaled_dot_product_attention(query, key, value, hidden)
        mixed = opset.transpose(mixed, opset.constant([0, 2, 1, 3], np.int64))
        return opset.reshape(mixed, opset.constant([0, -1, width], np.int64), True)

    def pooled(self, layers: Sequence[Any], shares: Any, hidden: Any) -> Any:
        opset = self.opset
        averaged, axis = (layers[-1], *earlier_layers(layers)), opset.constant([1], np.int64)
        pools = [opset.squeeze(opset.matmul(shares, states, False, False), axis) for states in averaged]
        of_tokens = opset.reshape(hidden, opset.constant([1, -1, 1], np.int64), False)
        pools.append(opset.reduce_max(opset.add(layers[-1], of_tokens), axis))
        pools = [opset.normalize_l2(pool, axis, _SHORTEST, "max") for pool in pools]
        pools[-1] = opset.multiply(pools[-1], opset.constant(np.float32(0.5)))
        return opset.concat(pools, 1)


def _graph(weights: dict[str, Floats], config: dict[str, Any], in_8_bits: bool) -> Any:
    """Pools of (words and positions; for the mean, each token's share; what hides padding)."""
    heads, width = int(config["num_attention_heads"]), int(config["hidden_size"])
    operations = _Operations(weights, float(config["layer_norm_eps"]), in_8_bits)
    opset, linear, norm = operations.opset, operations.linear, operations.norm
    embedded, shares, hidden = (
        opset.parameter(shape, np.float32) for shape in ([1, -1, width], [1, 1, -1], [1, 1, 1, -1])
    )
    values = norm(embedded, "embeddings.LayerNorm")
    layers = []
    for number in range(int(config["num_hidden_layers"])):
        layer = f"encoder.layer.{number}"
        attended = operations.attended(values, hidden, layer, heads, width)
        mixed = linear(attended, f"{layer}.attention.output.dense")
        values = norm(opset.add(mixed, values), f"{layer}.attention.output.LayerNorm")
        wide = opset.gelu(linear(values, f"{layer}.intermediate.dense"), "erf")
        narrow = linear(wide, f"{layer}.output.dense")
        values = norm(opset.add(narrow, values), f"{layer}.output.LayerNorm")
        layers.append(values)
    return load_openvino().Model([operations.pooled(layers, shares, hidden)], [embedded, shares, hidden])
