from pathlib import Path

import numpy as np
import pytest

from cortex_pipelines.adapters.model.base_model import load_causal_model, resolve_base
from cortex_pipelines.adapters.model.lora import load_adapter
from cortex_pipelines.ingestion.pretrained_models import PinnedModel, weights_folder
from cortex_pipelines.release.exports.gguf_files import ADAPTER, read_gguf
from cortex_pipelines.release.exports.ollama import BASE, write_ollama
from cortex_pipelines.release.exports.source import Source
from cortex_pipelines_tests.release.tinyadapter import write_adapter

pytestmark = pytest.mark.slow


def test_the_update_lands_on_the_same_rows_as_in_transformers(
    default_base: tuple[PinnedModel, Path], tmp_path: Path
) -> None:
    """Rows are put back by transformers' own reading of GGUF files."""
    import gguf
    from transformers.modeling_gguf_pytorch_utils import LlamaTensorProcessor

    pinned, root = default_base
    base = resolve_base(pinned, root)
    (file,) = weights_folder(pinned.source, pinned.pin, root).glob("*.gguf")
    folder = write_adapter(base, tmp_path / "adapter", use_rslora=True)
    (tmp_path / "out").mkdir()
    write_ollama(Source("m", "v", "", folder, base, ""), file, tmp_path / "out")
    updates, alpha = read_gguf(tmp_path / "out" / ADAPTER)
    tensors = {t.name: t for t in gguf.GGUFReader(tmp_path / "out" / BASE).tensors}

    model = load_adapter(load_causal_model(base, "fp32"), folder).merge_and_unload()
    weights = dict(model.named_parameters())
    processor = LlamaTensorProcessor(config=None)
    for layer, short, heads in (
        ("self_attn.q_proj", "attn_q", 9),
        ("self_attn.k_proj", "attn_k", 3),
        ("self_attn.v_proj", "attn_v", None),
        ("mlp.down_proj", "ffn_down", None),
    ):
        name = f"blk.3.{short}.weight"
        a, b = updates[f"{name}.lora_a"], updates[f"{name}.lora_b"]
        actual = gguf.quants.dequantize(tensors[name].data, tensors[name].tensor_type)
        actual = actual + alpha / a.shape[0] * (b @ a)
        if heads:
            actual = processor._reverse_permute_weights(actual, heads, heads)
        expected = weights[f"model.layers.3.{layer}.weight"].detach().numpy()
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
