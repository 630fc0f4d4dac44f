"""Compiled blocks give the same result as uncompiled ones."""

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from cortex_pipelines.adapters.kernels import compile_blocks
from cortex_pipelines.adapters.model.base_model import load_causal_model, resolve_base
from cortex_pipelines_tests.adapters.tinymodel import pinned, train_adapter

Datasets = dict[str, Path]


def trained(root: Path, datasets: Datasets, out: Path, **changes: Any) -> dict[str, Any]:
    out.mkdir()
    changes = {"dropout": 0.0, "max_tokens": 1500, "evaluation_steps": 6, **changes}
    train_adapter(root, datasets, out, **changes)
    record: dict[str, Any] = json.loads((out / "training.json").read_text())
    return record


@pytest.mark.long
def test_a_compiled_training_has_the_losses_of_one_that_is_not(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    plain = trained(root, datasets, tmp_path / "plain")
    assert not counters["frames"]
    compiled = trained(root, datasets, tmp_path / "compiled", torch_compile=True)
    assert counters["frames"]["ok"] > 0
    assert not counters["graph_break"]
    for key in ("steps", "validation"):
        assert len(plain[key]) == len(compiled[key])
        for first, other in zip(plain[key], compiled[key], strict=True):
            assert first == pytest.approx(other, rel=1e-3)


def test_every_block_is_compiled_in_place(root: Path) -> None:
    model = load_causal_model(resolve_base(pinned(root), root), "fp32")
    names = set(dict(model.named_parameters()))
    assert compile_blocks(model) == 2
    assert set(dict(model.named_parameters())) == names


def test_without_a_compiler_it_is_refused(root: Path) -> None:
    model = load_causal_model(resolve_base(pinned(root), root), "fp32")
    with (
        mock.patch("shutil.which", return_value=None),
        pytest.raises(ValueError, match=r"install g\+\+.*or set torch_compile: false"),
    ):
        compile_blocks(model)
