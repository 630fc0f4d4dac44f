import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.adapters.model.base_model import BaseModel, load_causal_model
from cortex_pipelines.adapters.model.lora import CONFIGURATION, WEIGHTS, load_adapter
from cortex_pipelines.release.exports.source import logits, probe
from cortex_pipelines.release.loading import ResidentBase, adapter_folder, base_of, read_lora
from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines_tests.messages import refusal
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.release.tinyadapter import write_adapter

CASES = load_cases(__file__)
VARIANTS: tuple[dict[str, Any], ...] = CASES["VARIANTS"]


def test_every_adapter_answers_as_with_peft_whatever_was_on_before(base: BaseModel, tmp_path: Path) -> None:
    import torch

    resident = ResidentBase(base)
    ids = probe(resident.tokenizer)
    alone = logits(load_causal_model(base, "fp32"), ids)
    torch.testing.assert_close(logits(resident.model, ids), alone, rtol=0, atol=0)
    for seed, config in enumerate(VARIANTS):
        folder = write_adapter(base, tmp_path / str(seed), seed, **config)
        expected = logits(load_adapter(load_causal_model(base, "fp32"), folder), ids)
        resident.apply(read_lora(folder))
        torch.testing.assert_close(logits(resident.model, ids), expected, rtol=1e-5, atol=1e-5)
        assert (expected - alone).abs().max() > 0.1, "the adapter does something"
        resident.remove_adapter()
        torch.testing.assert_close(logits(resident.model, ids), alone, rtol=0, atol=0)


def test_only_plain_lora_of_these_layers_in_safetensors_is_read(base: BaseModel, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_adapter(base, tmp_path / "good")

    def broken(name: str, words: str) -> None:
        with pytest.raises(UntrustedModelError, match=words):
            read_lora(tmp_path / name)

    shutil.copytree(folder, tmp_path / "pickled")
    (tmp_path / "pickled" / WEIGHTS).rename(tmp_path / "pickled" / "adapter_model.bin")
    broken("pickled", "no adapter_model.safetensors")
    shutil.copytree(folder, tmp_path / "garbled")
    (tmp_path / "garbled" / WEIGHTS).write_bytes(b"\x80\x04pickle")
    broken("garbled", "cannot be read")
    shutil.copytree(folder, tmp_path / "more")
    configuration = json.loads((folder / CONFIGURATION).read_text())
    for key in ("use_dora", "modules_to_save"):
        (tmp_path / "more" / CONFIGURATION).write_text(json.dumps(configuration | {key: ["x"]}))
        broken("more", f"features beyond plain LoRA .*{key}")
    folder = write_adapter(base, tmp_path / "deep")
    tensors = load_file(folder / WEIGHTS)
    save_file({k.replace("layers.1.", "layers.7."): v for k, v in tensors.items()}, folder / WEIGHTS)
    resident = ResidentBase(base)
    assert "does not match directory:base" in refusal(UntrustedModelError, resident.apply, read_lora(folder))


def test_one_adapter_of_several_has_to_be_named(base: BaseModel, tmp_path: Path) -> None:
    write_adapter(base, tmp_path / "model" / "naming")
    write_adapter(base, tmp_path / "model" / "completion")
    assert adapter_folder(tmp_path / "model", "naming") == tmp_path / "model" / "naming"
    for task in (None, "other"):
        with pytest.raises(LookupError, match=r"one adapter per task \(completion, naming\); choose one"):
            adapter_folder(tmp_path / "model", task)
    single = tmp_path / "model" / "naming"
    assert adapter_folder(single, None) == adapter_folder(single, "any") == single
    assert (base_of(single), base_of(tmp_path)) == ({"name": base.name, "digest": base.digest}, None)
