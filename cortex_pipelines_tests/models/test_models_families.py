"""Each family from its tiny random base to an adapter that is served, measured and released."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.adapters.model.base_model import BaseModel, base_digest, load_causal_model
from cortex_pipelines.adapters.model.lora import load_adapter
from cortex_pipelines.config import load_parameters
from cortex_pipelines.models.family import families
from cortex_pipelines.release.exports.source import Source
from cortex_pipelines.release.exports.transformers_formats import write_merged, write_peft
from cortex_pipelines.serving.engines.engine import AdapterFiles, Job, Sampling, open_engine
from cortex_pipelines.serving.requests import PromptTarget, infill
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.evaluation.workshop import Workshop
from cortex_pipelines_tests.models.tinybases import BASES, write_base
from cortex_pipelines_tests.release.tinyadapter import release_adapter
from cortex_pipelines_tests.serving import tinygateway
from cortex_pipelines_tests.serving.test_serving_engine import run_job, text_of

NOT_OF_OPENVINO = ("codegen", "phi3")
"""Attention of its own, and rotary embeddings that depend on how long a text is."""
TRAINED = [name for name, family in families().items() if not family.refusal]


def test_each_family_has_a_base_here() -> None:
    assert BASES.keys() == families().keys()


@pytest.mark.parametrize("name", TRAINED)
def test_a_family_is_trained_exported_served_and_released(name: str, tmp_path: Path) -> None:
    family = families()[name]
    workshop = Workshop(tmp_path, partial(write_base, family=name))
    base = BaseModel(tmp_path / "base", "directory:base", base_digest(tinymodel.pinned(tmp_path)))
    adapter = workshop.trained
    peft = load_adapter(load_causal_model(base, "fp32"), adapter)
    layers = {layer.rpartition(".")[2] for layer, module in peft.named_modules() if hasattr(module, "lora_A")}
    assert layers == set(family.targets)
    source = Source("code_adapter-demo", "v.dir", "1.0.0", adapter, base, "")
    for form in (write_peft, write_merged):
        (tmp_path / form.__name__).mkdir()
        assert form(source, tmp_path / form.__name__).metrics["logits_apart"] < 1e-4
    served = [answers(engine, base, adapter, tmp_path / "llama", name) for engine in engines(name)]
    assert all(texts == served[0] for texts in served)
    _, metrics = workshop.evaluate(adapter)
    assert metrics["improvement"] > 0
    (tmp_path / "released").mkdir()
    sections = load_parameters(tinygateway.ROOT)
    folders = {f"{each}_dataset": folder for each, folder in workshop.datasets.items()}
    folders |= {"code_adapter": adapter, "code_adapter_evaluation": workshop.outs[-1], "general_code": tmp_path}
    release_adapter(
        tmp_path,
        tmp_path / "released",
        **folders,
        **{"base_model": tinymodel.pinned(tmp_path), "adapters": tinymodel.settings()},
        **{each: getattr(sections, each) for each in ("evaluation", "general", "release")},
        versions=dict.fromkeys(folders, "v.dir"),
    )
    assert "directory:base" in (tmp_path / "released" / "model_card.md").read_text()


def engines(family: str) -> list[str]:
    of_openvino = [] if family in NOT_OF_OPENVINO or find_spec("openvino") is None else ["openvino"]
    return ["torch", *of_openvino, *["llama"] * (families()[family].gguf is not None)]


def answers(name: str, base: BaseModel, folder: Path, cache: Path, family: str) -> list[str]:
    """Of base and adapter, each to a text and to a gap; llama.cpp's probabilities are compared when it loads either."""
    engine = open_engine(base, tinygateway.settings(engine=name), cache)
    try:
        adapter = engine.load(AdapterFiles("a.dir", lambda: folder, "demo"))
        gap = infill("def f(x):\n", "\n    return y\n")(PromptTarget(engine.tokenizer, 200)).segments
        marks = tuple(each.text for each in gap if each.control)
        assert marks == families()[family].marks
        prompts: list[Any] = ["def get_value_1(self):\n", gap]
        jobs = [
            Job(selected_adapter, engine.prompt(prompt), Sampling(12))
            for selected_adapter in (None, adapter)
            for prompt in prompts
        ]
        return [text_of(run_job(engine, job)) for job in jobs]
    finally:
        engine.close()
