"""Layers and heads that do nothing are those that are left out, in each family that allows it."""

from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.adapters.data.packing import TokenisedExample
from cortex_pipelines.adapters.model.base_model import BaseModel, load_causal_model, load_tokenizer
from cortex_pipelines.release.exports.gguf_files import layout_of
from cortex_pipelines.release.exports.pruning import Pruning, bits_per_byte, prune
from cortex_pipelines.release.exports.source import ExportError, Source, logits
from cortex_pipelines.release.exports.transformers_formats import write_merged
from cortex_pipelines.serving.engines.engine import open_engine
from cortex_pipelines_tests.models.tinybases import BASES, write_base
from cortex_pipelines_tests.release.tinyadapter import write_adapter
from cortex_pipelines_tests.serving import tinygateway

EXAMPLES = [TokenisedExample(str(n), "completion", tuple(range(3 + n, 43 + n)), 20, 19, 57) for n in range(3)]
REFUSED = {
    "gemma3": "of several kinds",
    "phi3": "share their weights",
    "gpt_neox": "stores them in another way",
    "codegen": "stores them in another way",
}
WITHOUT_LLAMA = ("qwen2", "starcoder2")


def idle(model: Any, layer: int, group: int) -> None:
    """Let a layer add nothing, and a group of heads in each layer."""
    for index, each in enumerate(model.model.layers):
        output = each.self_attn.o_proj
        output.weight.data.chunk(2, dim=1)[group].zero_()
        if index == layer:
            ends = [part for name, part in each.named_modules() if name.endswith(("o_proj", "down_proj", "c_proj"))]
            for values in (parameter for part in ends for parameter in part.parameters()):
                values.data.zero_()


@pytest.mark.parametrize("family", sorted(BASES.keys() - REFUSED.keys() - {"t5"}))
def test_what_does_nothing_is_left_out(family: str, tmp_path: Path) -> None:
    import torch

    base = BaseModel(write_base(tmp_path / "base", family), "", "")
    model = load_causal_model(base, "fp32")
    idle(model, layer=0, group=1)
    ids = torch.tensor([EXAMPLES[0].ids])
    expected, bits = logits(model, ids), bits_per_byte(model, EXAMPLES)
    size = sum(part.numel() for part in model.parameters())
    pruned = prune(model, Pruning(1, 1, EXAMPLES, EXAMPLES))
    assert pruned.layers == (0,)
    assert pruned.parameters < size
    assert pruned.bits_before == pytest.approx(bits)
    assert pruned.bits_after == pytest.approx(bits, abs=1e-5)
    model.save_pretrained(tmp_path / "pruned")
    alone = load_causal_model(BaseModel(tmp_path / "pruned", "", ""), "fp32")
    torch.testing.assert_close(logits(alone, ids), expected, rtol=1e-4, atol=1e-4)
    load_tokenizer(base).save_pretrained(tmp_path / "pruned")
    written = BaseModel(tmp_path / "pruned", "directory:pruned", "pruned")
    if family in WITHOUT_LLAMA:
        with pytest.raises(ExportError, match="without some of their heads"):
            layout_of(written.folder)
    else:  # its probabilities are compared with torch's when it loads a base
        open_engine(written, tinygateway.settings(engine="llama"), tmp_path / "llama").close()


def test_an_export_says_what_it_costs_and_what_cannot_read_it(tmp_path: Path) -> None:
    base = BaseModel(write_base(tmp_path / "base", "qwen2"), "directory:base", "")
    source = Source("code_adapter-demo", "v.dir", "1.0.0", write_adapter(base, tmp_path / "adapter"), base, "")
    (tmp_path / "out").mkdir()
    checks = write_merged(source, tmp_path / "out", Pruning(1, 1, EXAMPLES, EXAMPLES))
    assert "bits per byte of validation answers" in checks.passed[-1]
    assert checks.skipped == ("llama.cpp does not read models of the family qwen2 without some of their heads",)


@pytest.mark.parametrize("family", REFUSED)
def test_a_family_that_does_not_allow_it_is_refused(family: str, tmp_path: Path) -> None:
    model = load_causal_model(BaseModel(write_base(tmp_path / "base", family), "", ""), "fp32")
    with pytest.raises(ExportError, match=REFUSED[family]):
        prune(model, Pruning(1, 1, EXAMPLES, EXAMPLES))


def test_bits_of_a_byte_are_those_of_the_answers(tmp_path: Path) -> None:
    import torch

    model = load_causal_model(BaseModel(write_base(tmp_path / "base", "qwen2"), "", ""), "fp32")
    example = EXAMPLES[0]
    log_probabilities = logits(model, torch.tensor([example.ids])).log_softmax(-1)
    nats = -sum(float(log_probabilities[place - 1, example.ids[place]]) for place in range(20, 39))
    assert bits_per_byte(model, [example]) == pytest.approx(nats / 0.6931471805599453 / 57, rel=1e-4)


@pytest.mark.parametrize(
    ("layers", "groups", "words"), [(2, 0, "at most 1 can be left out"), (0, 2, "has 2 groups of heads; at most 1")]
)
def test_something_has_to_be_left(layers: int, groups: int, words: str, tmp_path: Path) -> None:
    model = load_causal_model(BaseModel(write_base(tmp_path / "base", "llama"), "", ""), "fp32")
    with pytest.raises(ExportError, match=words):
        prune(model, Pruning(layers, groups, EXAMPLES, EXAMPLES))
