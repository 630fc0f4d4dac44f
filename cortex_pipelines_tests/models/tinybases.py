"""A random base of each family, of two layers, with a tokenizer of the family's kind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cortex_pipelines_tests.tokenization import families as tokenizers

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
}
LLAMA3_ROPE = {
    **{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    **{"original_max_position_embeddings": 64, "rope_theta": 10000.0},
}
LINEAR_ROPE = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}
YARN_ROPE = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128, "rope_theta": 10000.0}
NEOX_ROPE = {"rope_type": "default", "rope_theta": 20000.0, "partial_rotary_factor": 0.25}
LONG_ROPE = {
    **{"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 256},
    **{"short_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5, 3.1, 3.8], "long_factor": [8.0] * 8},
}
GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512, "rotary_dim": 8}
T5 = {"d_model": 64, "d_ff": 96, "num_layers": 2, "num_heads": 4, "d_kv": 16}
GRANITE = {"attention_multiplier": 0.2, "embedding_multiplier": 3.0, "residual_multiplier": 0.5, "logits_scaling": 2.0}
GEMMA = {"num_hidden_layers": 6, "sliding_window": 32, "query_pre_attn_scalar": 16}

BASES: dict[str, tuple[str, Callable[[], Any], dict[str, Any]]] = {
    "llama": ("llama", tokenizers.llama3, {**SIZES, "rope_parameters": LLAMA3_ROPE}),
    "deepseek": ("llama", tokenizers.deepseek, {**SIZES, "rope_parameters": LINEAR_ROPE}),
    "qwen2": ("qwen2", tokenizers.qwen, {**SIZES, "rope_parameters": YARN_ROPE}),
    "qwen3": ("qwen3", tokenizers.qwen, {**SIZES, "tie_word_embeddings": True}),
    "starcoder2": ("starcoder2", tokenizers.starcoder, SIZES),
    "gemma3": ("gemma3_text", tokenizers.gemma, {**SIZES, **GEMMA}),
    "granite": ("granite", tokenizers.starcoder, {**SIZES, **GRANITE}),
    "codellama": ("llama", tokenizers.codellama, SIZES),
    "codestral": ("mistral", tokenizers.codestral, {**SIZES, "rope_parameters": YARN_ROPE}),
    "mistral": ("mistral", tokenizers.llama2, SIZES),
    "phi3": (
        *("phi3", tokenizers.phi),
        {**SIZES, "rope_parameters": LONG_ROPE, "original_max_position_embeddings": 256},
    ),
    "gpt_neox": ("gpt_neox", tokenizers.neox, {**SIZES, "num_key_value_heads": 4, "rope_parameters": NEOX_ROPE}),
    "codegen": ("codegen", tokenizers.neox, GPT2),
    "t5": ("t5", tokenizers.t5, T5),
}
"""Family to the type of its model, its tokenizer, and sizes."""


def write_base(folder: Path, family: str) -> Path:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    kind, make_tokenizer, sizes = BASES[family]
    tokenizer = make_tokenizer()
    folder.mkdir(parents=True)
    tokenizer.save_pretrained(folder)
    marks = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": None}
    marks |= {"pad_token_id": 0, "decoder_start_token_id": 0} if kind == "t5" else {}
    # a spread by which tokens influence one another enough to tell answers apart
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), initializer_range=0.15, **marks, **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = (AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM).from_config(config)
        for weights in model.parameters():
            if weights.ndim == 1:  # norms and biases begin as ones and zeros, which would hide a mistake
                weights.data += torch.randn(weights.shape) * 0.1
        model.save_pretrained(folder)
    _publish(folder, family)
    return folder


def _publish(folder: Path, family: str) -> None:
    """Write some bases as those of the family that are on the hub, by older versions of transformers."""
    from safetensors.torch import load_file, save_file

    path, weights = folder / "config.json", load_file(folder / "model.safetensors")
    config = json.loads(path.read_text(encoding="utf-8"))
    rope = config.get("rope_parameters") or {}
    if family in ("llama", "codellama", "mistral", "qwen3"):
        del config["rope_parameters"]
        scaling = {name: value for name, value in rope.items() if name != "rope_theta"}
        scaled = scaling if scaling.get("rope_type", "default") != "default" else None
        config |= {"rope_theta": rope["rope_theta"], "rope_scaling": scaled}
    if family == "gpt_neox":
        del config["rope_parameters"]
        config |= {"rotary_pct": rope["partial_rotary_factor"], "rotary_emb_base": rope["rope_theta"]}
        for layer in range(2):
            buffers = {"bias": torch.ones(1, 1, 8, 8), "masked_bias": torch.tensor(-1e9)}
            weights |= {f"gpt_neox.layers.{layer}.attention.{name}": value for name, value in buffers.items()}
    if family == "codellama":
        weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    if family == "mistral":
        save_file({"tok_embeddings.weight": torch.zeros(3, 64)}, folder / "consolidated.safetensors")
    path.write_text(json.dumps(config), encoding="utf-8")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
