"""Adapters and base models as GGUF, for llama.cpp and programs based on it."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cortex_pipelines.adapters.data.packing import token_texts
from cortex_pipelines.adapters.model.base_model import BaseModel, load_tokenizer, weight_files
from cortex_pipelines.models.family import FamilyError, GgufMap, family_of, original_context, rope_of
from cortex_pipelines.models.memory import Shape, shape_of
from cortex_pipelines.release.exports.source import ExportChecks, ExportError, Source
from cortex_pipelines.release.loading import A, B, Lora, read_lora

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class GgufLayout:
    """Names and order of a base's tensors in GGUF; ``heads`` of query and key, ``attention`` a layer of each kind."""

    map: GgufMap
    attention: tuple[str, ...]
    name_of: Callable[[str], str | None]
    heads: tuple[int, int]
    context: int

    @property
    def architecture(self) -> str:
        import gguf

        return str(gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH[self.map.architecture]])

    def rows(self, name: str, count: int) -> npt.NDArray[np.int64]:
        """For each row of a layer's weights in GGUF, the row in transformers.

        A rotary embedding rotates pairs of rows of a head. Transformers stores the first row of every pair in the first
        half of the head, llama.cpp stores a pair's rows next to each other for some families. Where transformers stores
        query, key and value of one head after the other, llama.cpp stores all queries first.
        """
        last = name.rpartition(".")[2]
        order, numbers = self.map.rows.get(last), np.arange(count)
        heads = self.heads[last == "k_proj"]
        if order == "pairs":
            return numbers.reshape(heads, 2, -1).swapaxes(1, 2).reshape(-1)
        if order == "heads":
            return numbers.reshape(heads, 3, -1).swapaxes(0, 1).reshape(-1)
        return numbers


def layout_of(base: Path) -> GgufLayout:
    """GGUF layout for the base in a folder. Raises ExportError: the architecture is not supported."""
    import gguf

    config: dict[str, Any] = json.loads((base / "config.json").read_text(encoding="utf-8"))
    try:
        family = family_of(config)
    except FamilyError as error:
        raise ExportError(str(error)) from error
    if (refusal := family.export_refusal(config)) or family.gguf is None:
        raise ExportError(f"{refusal}; `--format merged` gives a model that transformers loads")
    shape = shape_of(config, family)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[family.gguf.architecture], shape.layers)
    attention = tuple(family.gguf.rows) or family.targets[:1]
    return GgufLayout(family.gguf, attention, names.get_name, (shape.heads, shape.kv_heads), shape.context)


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
    """Write an adapter as GGUF and compare every tensor with the safetensors.

    GGUF readers divide the file's alpha by the rank only, so for a rank-stabilised adapter it is the configured alpha
    times the root of the rank. It is that of the first layer; others are rescaled to it. Raises ``ExportError`` if the
    base's architecture is not supported, a layer has no GGUF name, or the file differs from the adapter.
    """
    import gguf

    layout, pairs = layout_of(source.base.folder), read_pairs(read_lora(source.folder))
    if not pairs:
        raise ExportError("the adapter has no layers")
    alpha = float(pairs[0].scale * pairs[0].a.shape[0])
    writer = gguf.GGUFWriter(out / ADAPTER, layout.architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    writer.add_name(source.model)
    writer.add_version(source.number or source.version)
    for pair in pairs:
        name = _name(layout, pair.layer)
        b = pair.b[layout.rows(pair.layer, pair.b.shape[0])] * np.float32(pair.scale * pair.a.shape[0] / alpha)
        writer.add_tensor(f"{name}.lora_a", np.ascontiguousarray(pair.a, dtype=np.float32))
        writer.add_tensor(f"{name}.lora_b", np.ascontiguousarray(b, dtype=np.float32))
    _finish(writer)
    source.write_card(out)
    largest = compare_gguf(out / ADAPTER, layout, pairs)
    return ExportChecks(
        (f"read again, all {2 * len(pairs)} tensors are those of the safetensors",),
        (),
        {"tensors": float(2 * len(pairs)), "tensors_apart": largest},
    )


def _finish(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_pairs(adapter: Lora) -> list[Pair]:
    tensors = adapter.tensors
    return [
        Pair(layer.removeprefix(_PREFIX), tensors[layer + A].numpy(), tensors[layer + B].numpy(), adapter.scale(layer))
        for layer in adapter.layers
    ]


def compare_gguf(path: Path, layout: GgufLayout, pairs: list[Pair]) -> float:
    """Largest difference of a value, relative to the largest of its tensor; ExportError if a tensor differs."""
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


def _name(layout: GgufLayout, layer: str) -> str:
    tensor_name = layout.name_of(layer)
    if tensor_name is None:
        raise ExportError(f"layer {layer} has no GGUF name for {layout.architecture}")
    return f"{tensor_name}.weight"


Width = Literal["fp32", "fp16", "q8", "q4"]
"""Type of weights; ``q8`` is GGUF's Q8_0: blocks of 32 weights in 8 bits with one factor, ``q4`` its Q4_1 with two
factors, embeddings and output in Q8_0."""

_BLOCKS = {"q8": ("Q8_0", "Q8_0"), "q4": ("Q4_1", "Q8_0")}
"""Type of quantised layers, and of the embeddings and the output."""

_WEIGHT, _BIAS = ".weight", ".bias"
_BUFFERS = (".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias")
"""Of older files: what each layer computes itself."""
_HALF = "\N{REPLACEMENT CHARACTER}"


def write_base(base: BaseModel, path: Path, width: Width) -> None:
    """Write a base's weights and the texts of its tokens.

    The file is for programs that send token ids: it has the text of each token, complete characters only, but no
    tokenisation rules. Raises ``ExportError`` if its architecture is not supported, or a layer has no GGUF name.
    """
    import gguf

    layout = layout_of(base.folder)
    config: dict[str, Any] = json.loads((base.folder / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(path, layout.architecture)
    writer.add_name("base")  # by the names of some models llama.cpp expects their tokens
    _add_shape(writer, layout.map, config)
    _add_tokens(writer, load_tokenizer(base), int(config["vocab_size"]))
    for name, tensor in weights_of(base.folder):
        end = _WEIGHT if name.endswith(_WEIGHT) else _BIAS
        layer = name.removesuffix(end)
        if layer == "lm_head" and config.get("tie_word_embeddings"):
            continue
        gguf_name = layout.name_of(layer)
        if gguf_name is None or not name.endswith((_WEIGHT, _BIAS)):
            raise ExportError(f"layer {name} of {base.name} has no GGUF name")
        rows = tensor[layout.rows(layer, tensor.shape[0])]
        if layer.endswith("norm"):
            rows = rows + np.float32(layout.map.norm_offset)
        kind = None
        if width in _BLOCKS and rows.ndim > 1:
            block = gguf.GGMLQuantizationType[_BLOCKS[width][rows.shape[0] == config["vocab_size"]]]
            kind = block if rows.shape[-1] % gguf.GGML_QUANT_SIZES[block][0] == 0 else None
        if kind is not None:
            rows = gguf.quants.quantize(np.ascontiguousarray(rows), kind)
        elif width != "fp32" and rows.ndim > 1:
            rows = rows.astype(np.float16)
        writer.add_tensor(gguf_name + end, rows, raw_dtype=kind)
    _finish(writer)


def _add_shape(writer: Any, layout: GgufMap, config: dict[str, Any]) -> None:
    import gguf

    shape, rope = shape_of(config, family_of(config)), rope_of(config)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(int(rope["partial_rotary_factor"] * shape.head_dim))
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    writer.add_vocab_size(shape.vocabulary)
    for name, key in layout.numbers.items():
        getattr(writer, f"add_{name}")(config[key])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))
    elif rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(float(rope["factor"]))
        writer.add_rope_scaling_orig_ctx_len(original_context(config))
    elif rope["rope_type"] == "longrope":
        original = original_context(config)
        factor = float(rope.get("factor") or config["max_position_embeddings"] / original)
        attention = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
        writer.add_rope_scaling_attn_factors(float(rope.get("attention_factor") or attention))
        writer.add_rope_scaling_orig_ctx_len(original)
        for name in ("long", "short"):  # the factors of longer texts are never used: the context ends before
            writer.add_tensor(f"rope_factors_{name}.weight", np.array(rope["short_factor"], np.float32))
    elif rope["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", _llama3_factors(rope, shape))


def _llama3_factors(rope: Mapping[str, Any], shape: Shape) -> Array:
    """By what Llama 3.1 divides the frequency of each pair: long waves by the factor, short ones by 1."""
    dimensions = np.arange(0, shape.head_dim, 2) / shape.head_dim
    waves = 2 * np.pi * float(rope["rope_theta"]) ** dimensions
    original, low, high = (float(rope[key]) for key in _LLAMA3)
    share = np.clip((original / waves - low) / (high - low), 0, 1)
    return (1 / ((1 - share) / float(rope["factor"]) + share)).astype(np.float32)


_LLAMA3 = ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor")


def _add_tokens(writer: Any, tokenizer: Any, size: int) -> None:
    """Add the text of each token, so that llama.cpp can constrain the start of an answer.

    Partial characters become the replacement character: llama.cpp delays a token until its character is complete.
    Special tokens get new names, since llama.cpp treats some of the usual names as end of text.
    """
    import gguf

    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    substitutes = iter(range(256, 512))
    letters = [chr(byte) if byte in plain else chr(next(substitutes)) for byte in range(256)]
    used_names: set[str] = set()
    names, kinds = [], []
    for token, text in enumerate(token_texts(tokenizer, size)):
        # a grammar of llama.cpp admits no token with a zero byte
        name = text.replace("\0", _HALF) or f"<special {token}>"
        if name in used_names:  # llama.cpp requires unique names
            name = f"{name}<{token}>"
        used_names.add(name)
        names.append("".join(letters[byte] for byte in name.encode()))
        kinds.append(gguf.TokenType.NORMAL if text else gguf.TokenType.CONTROL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types(kinds)
    writer.add_token_merges([f"{letters[32]} {letters[32]}"])  # at least one is required
    if tokenizer.eos_token_id is not None:
        writer.add_eos_token_id(int(tokenizer.eos_token_id))
    writer.add_add_bos_token(False)


def weights_of(folder: Path, ends: tuple[str, ...] = ("",)) -> Iterator[tuple[str, Array]]:
    """Tensors of a base's files with such names, one at a time, without buffers."""
    from safetensors import safe_open

    for path in weight_files(folder):
        with safe_open(path, "pt") as file:
            names = file.keys()
            for name in sorted(names):
                if name.endswith(ends) and not name.endswith(_BUFFERS):
                    yield name, file.get_tensor(name).float().numpy()
