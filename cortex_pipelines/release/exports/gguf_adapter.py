"""Export an adapter as GGUF, for llama.cpp and programs based on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cortex_pipelines.release.exports.gguf_layout import Array, GgufLayout, layout_of
from cortex_pipelines.release.exports.source import CARD, ExportChecks, ExportError, Source
from cortex_pipelines.release.loading import A, B, Lora, read_lora

ADAPTER = "adapter.gguf"
_PREFIX = "base_model.model."


@dataclass(frozen=True)
class Pair:
    """LoRA matrices as in peft: ``a`` (rank, inputs), ``b`` (outputs, rank); ``scale`` from rank and alpha."""

    layer: str
    a: Array
    b: Array
    scale: float


def write_gguf(source: Source, out: Path) -> ExportChecks:
    """Write an adapter as GGUF and compare every tensor with the safetensors. Raises ExportError: the base's
    architecture is not supported, a layer has no GGUF name, or the file differs from the adapter.
    """
    layout, pairs = layout_of(source.base.folder), read_pairs(read_lora(source.folder))
    alpha = _alpha(pairs)
    _write(source, layout, pairs, alpha, out / ADAPTER)
    if source.card:
        (out / CARD).write_text(source.card, encoding="utf-8")
    largest = compare_gguf(out / ADAPTER, layout, pairs)
    return ExportChecks(
        (f"read again, all {2 * len(pairs)} tensors are those of the safetensors",),
        (),
        {"tensors": float(2 * len(pairs)), "tensors_apart": largest},
    )


def read_pairs(adapter: Lora) -> list[Pair]:
    return [
        Pair(
            layer.removeprefix(_PREFIX),
            adapter.tensors[layer + A].numpy(),
            adapter.tensors[layer + B].numpy(),
            adapter.scale(layer),
        )
        for layer in adapter.layers
    ]


def compare_gguf(path: Path, layout: GgufLayout, pairs: list[Pair]) -> float:
    """Read a GGUF adapter back and compare it with the original matrices.

    Returns:
        Largest difference of a value, relative to the largest value of its tensor.

    Raises:
        ExportError: a tensor is missing, unexpected, or differs.
    """
    tensors, alpha = read_gguf(path)
    expected_names = {f"{_name(layout, pair.layer)}.lora_{end}" for pair in pairs for end in "ab"}
    if tensors.keys() != expected_names:
        differing = sorted(tensors.keys() ^ expected_names)
        raise ExportError(f"{path.name} and the adapter have different tensors: {differing[:3]}")
    worst = 0.0
    for pair in pairs:
        name = _name(layout, pair.layer)
        a, b = tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"]
        rows = layout.rows(pair.layer, pair.b.shape[0])
        rescaled = b * np.float32(alpha / a.shape[0] / pair.scale)
        for actual, expected in ((a, pair.a), (rescaled, pair.b[rows])):
            if actual.shape != expected.shape:
                raise ExportError(f"{name} is {actual.shape} in {path.name}, not {expected.shape}")
            largest = float(np.abs(expected).max()) or 1.0
            worst = max(worst, float(np.abs(actual - expected).max()) / largest)
    if worst > 1e-6:  # a float32 has seven digits, and one multiplication may round the last
        raise ExportError(f"{path.name} differs from the adapter by {worst:.2g}")
    return worst


def read_gguf(path: Path) -> tuple[dict[str, Array], float]:
    import gguf

    reader = gguf.GGUFReader(path)
    alpha = float(reader.fields[gguf.Keys.Adapter.LORA_ALPHA].contents())
    tensors = {tensor.name: np.array(tensor.data, dtype=np.float32) for tensor in reader.tensors}
    return tensors, alpha


def _alpha(pairs: list[Pair]) -> float:
    """The file's alpha, from its first layer; other layers are rescaled to it.

    GGUF readers divide it by the rank only, so for a rank-stabilised adapter it is the configured alpha times the root
    of the rank.
    """
    if not pairs:
        raise ExportError("the adapter has no layers")
    return float(pairs[0].scale * pairs[0].a.shape[0])


def _write(source: Source, layout: GgufLayout, pairs: list[Pair], alpha: float, path: Path) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, layout.architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    writer.add_name(source.model)
    writer.add_version(source.number or source.version)
    for name, tensor in _tensors(layout, pairs, alpha).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(layout: GgufLayout, pairs: list[Pair], alpha: float) -> Mapping[str, Array]:
    tensors: dict[str, Array] = {}
    for pair in pairs:
        name = _name(layout, pair.layer)
        factor = np.float32(pair.scale * pair.a.shape[0] / alpha)
        b = pair.b[layout.rows(pair.layer, pair.b.shape[0])] * factor
        tensors[f"{name}.lora_a"] = np.ascontiguousarray(pair.a, dtype=np.float32)
        tensors[f"{name}.lora_b"] = np.ascontiguousarray(b, dtype=np.float32)
    return tensors


def _name(layout: GgufLayout, layer: str) -> str:
    tensor_name = layout.name_of(layer)
    if tensor_name is None:
        raise ExportError(f"layer {layer} has no GGUF name for {layout.architecture}")
    return f"{tensor_name}.weight"
