import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cortex_pipelines.adapters.model.base_model import base_digest, load_causal_model, resolve_base
from cortex_pipelines.adapters.model.lora import load_adapter, recorded_base
from cortex_pipelines_tests.adapters.tinymodel import Datasets, Train, pinned, train_record

FILES = {"adapter_config.json", "adapter_model.safetensors", "examples.json", "metrics.json", "training.json"}


@pytest.fixture(scope="module")
def adapter(root: Path, datasets: Datasets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "adapter"
    train_record(root, datasets, out)
    return out


def test_equal_inputs_give_the_same_bytes_and_other_seeds_others(train: Train, adapter: Path, tmp_path: Path) -> None:
    torch.manual_seed(99)  # whatever ran before in the process must not matter
    torch.rand(5)
    train("again")
    assert {path.name for path in adapter.iterdir()} == FILES
    for name in FILES:
        assert (adapter / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
    train("other", seed=8)
    weights = "adapter_model.safetensors"
    assert (adapter / weights).read_bytes() != (tmp_path / "other" / weights).read_bytes()


def test_what_is_observed_is_not_written_and_named_layers_alone_get_an_adapter(train: Train, tmp_path: Path) -> None:
    record = train(max_tokens=500, target_modules=["q_proj", "v_proj"])
    observed, metrics = record["observed"], record["metrics"]
    assert set(observed) == {"training_seconds", "training_tokens_per_second", "peak_memory_mib"}
    assert all(value > 0 for value in observed.values())
    assert not set(observed) & set(metrics)
    assert metrics["train_tokens"] <= 500
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert {name.split(".")[-3] for name in tensors} == {"q_proj", "v_proj"}


def test_the_files_say_what_they_are_of_load_with_peft_and_change_the_answer(root: Path, adapter: Path) -> None:
    for path in adapter.iterdir():
        content = path.read_bytes()
        assert str(root).encode() not in content, path.name
        assert str(adapter.parent).encode() not in content, path.name
    configuration = json.loads((adapter / "adapter_config.json").read_text())
    assert configuration["base_model_name_or_path"] == "directory:base"
    assert configuration["target_modules"] == sorted(configuration["target_modules"])
    tensors = load_file(adapter / "adapter_model.safetensors")
    assert all(tensor.dtype == torch.bfloat16 for tensor in tensors.values())
    assert all(name.endswith((".lora_A.weight", ".lora_B.weight")) for name in tensors)
    base = pinned(root)
    assert recorded_base(adapter) == {"name": "directory:base", "digest": base_digest(base)}
    base = resolve_base(pinned(root), root)
    ids = torch.tensor([[10, 20, 30, 40]])
    with torch.no_grad():
        before = load_causal_model(base, "fp32")(input_ids=ids).logits
        model = load_adapter(load_causal_model(base, "fp32"), adapter)
        after = model(input_ids=ids).logits
        with model.disable_adapter():
            base_logits = model(input_ids=ids).logits
    assert not torch.allclose(before, after, atol=1e-3)
    assert torch.equal(before, base_logits)
