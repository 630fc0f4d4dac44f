"""Write a base model as GGUF, for llama.cpp."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cortex_pipelines.adapters.data.packing import token_texts
from cortex_pipelines.adapters.model.base_model import BaseModel, load_tokenizer
from cortex_pipelines.release.exports.gguf_layout import Array, layout_of
from cortex_pipelines.release.exports.source import ExportError

Width = Literal["fp32", "fp16"]

_WEIGHT, _BIAS = ".weight", ".bias"
_HALF = "\N{REPLACEMENT CHARACTER}"


def write_base(base: BaseModel, path: Path, width: Width) -> None:
    """Write a base's weights and the texts of its tokens.

    The file is for programs that send token ids: it has the text of each token, complete characters only, but no
    tokenisation rules.

    Raises:
        ExportError: its architecture is not supported, or a layer has no GGUF name.
    """
    import gguf

    layout = layout_of(base.folder)
    config: dict[str, Any] = json.loads((base.folder / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(path, layout.architecture)
    writer.add_name(base.name)
    _add_shape(writer, config)
    _add_tokens(writer, load_tokenizer(base), int(config["vocab_size"]))
    for name, tensor in _weights(base.folder):
        end = _WEIGHT if name.endswith(_WEIGHT) else _BIAS
        layer = name.removesuffix(end)
        if layer == "lm_head" and config.get("tie_word_embeddings"):
            continue
        gguf_name = layout.name_of(layer)
        if gguf_name is None or not name.endswith((_WEIGHT, _BIAS)):
            raise ExportError(f"layer {name} of {base.name} has no GGUF name")
        rows = tensor[layout.rows(layer, tensor.shape[0])]
        short = width == "fp16" and rows.ndim > 1
        writer.add_tensor(gguf_name + end, rows.astype(np.float16) if short else rows)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_shape(writer: Any, config: dict[str, Any]) -> None:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", "default")
    if kind != "default" or config.get("hidden_act", "silu") != "silu":
        raise ExportError(
            f"bases with rotary embeddings of type {kind} and {config.get('hidden_act')} "
            "activations cannot be written as GGUF yet (default and silu can); "
            "`--format merged` gives a model that llama.cpp's own converter takes"
        )
    heads = int(config["num_attention_heads"])
    size = int(config.get("head_dim") or config["hidden_size"] // heads)
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_vocab_size(int(config["vocab_size"]))


def _add_tokens(writer: Any, tokenizer: Any, size: int) -> None:
    """Add the text of each token, so that llama.cpp can constrain the start of an answer.

    Partial characters become the replacement character: llama.cpp delays a token until its character is complete.
    Special tokens get new names, since llama.cpp treats some of the usual names as end of text.
    """
    import gguf

    letters = _byte_letters()
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


def _byte_letters() -> list[str]:
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    substitutes = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(substitutes)) for byte in range(256)]


def _weights(folder: Path) -> Iterator[tuple[str, Array]]:
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in sorted(file.keys()):
                yield name, file.get_tensor(name).float().numpy()
