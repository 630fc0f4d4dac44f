import json
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex_pipelines.adapters.model.base_model import BaseModel, load_causal_model, load_tokenizer, resolve_base
from cortex_pipelines.adapters.model.lora import WEIGHTS, load_adapter
from cortex_pipelines.ingestion.pretrained_models import PinnedModel, weights_folder
from cortex_pipelines.release.exports import gguf_files, ollama
from cortex_pipelines.release.exports.ollama import BASE, MODELFILE, compare_base, write_ollama
from cortex_pipelines.release.exports.source import CARD, ExportError, Source, logits, probe, staging_folder
from cortex_pipelines.release.exports.transformers_formats import write_merged, write_peft
from cortex_pipelines.release.loading import read_lora
from cortex_pipelines_tests.messages import refusal
from cortex_pipelines_tests.release.tinyadapter import write_adapter

VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"r": 8, "lora_alpha": 4},
    {"use_rslora": True},
    {"alpha_pattern": {"k_proj": 32}, "rank_pattern": {"down_proj": 2}},
)


def source(base: BaseModel, folder: Path) -> Source:
    return Source("code_adapter-demo", "hash.dir", "1.2.3", folder, base, "# the card\n")


def out_of(path: Path) -> Path:
    path.mkdir()
    return path


def gguf_of(base: BaseModel, root: Path) -> Path:
    """An adapter's folder, which was written as GGUF to another, ``out``."""
    folder = write_adapter(base, root / "adapter")
    gguf_files.write_gguf(source(base, folder), out_of(root / "out"))
    return folder


def test_a_peft_folder_is_the_adapter(base: BaseModel, tmp_path: Path) -> None:
    folder = write_adapter(base, tmp_path / "adapter")
    out = out_of(tmp_path / "out")
    checked = write_peft(source(base, folder), out)
    assert checked.metrics["logits_apart"] < 1e-5
    assert ((out / WEIGHTS).read_bytes(), (out / CARD).read_text()) == ((folder / WEIGHTS).read_bytes(), "# the card\n")


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_a_merged_model_is_alone(base: BaseModel, tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    base_copy = BaseModel(tmp_path / "base", base.name, base.digest)
    shutil.copytree(base.folder, base_copy.folder)
    weights = load_file(base.folder / "model.safetensors")
    rounded = {name: value.to(getattr(torch, kind)) for name, value in weights.items()}
    save_file(rounded, base_copy.folder / "model.safetensors", metadata={"format": "pt"})
    folder = write_adapter(base_copy, tmp_path / "adapter")
    capfd.readouterr()
    checked = write_merged(source(base_copy, folder), out_of(tmp_path / "out"))
    assert "\r" not in capfd.readouterr().err, "a bar freezes an orchestrator's view of the log"
    assert checked.metrics["adapter_effect"] > 0.1
    merged = load_file(tmp_path / "out" / "model.safetensors")
    assert {str(value.dtype) for value in merged.values()} == {f"torch.{kind}"}
    assert not [name for name in merged if "lora" in name]
    if kind == "float32":
        ids = probe(load_tokenizer(base_copy))
        expected = logits(load_adapter(load_causal_model(base_copy, "fp32"), folder), ids)
        alone = load_causal_model(BaseModel(tmp_path / "out", "", ""), "fp32")
        torch.testing.assert_close(logits(alone, ids), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("config", VARIANTS)
def test_a_gguf_adapter_adds_what_the_adapter_adds(base: BaseModel, tmp_path: Path, config: dict[str, Any]) -> None:
    """Judged by peft's own update of each layer and transformers' own reading of GGUF rows."""
    from transformers.modeling_gguf_pytorch_utils import LlamaTensorProcessor

    folder = write_adapter(base, tmp_path / "adapter", **config)
    checked = gguf_files.write_gguf(source(base, folder), out_of(tmp_path / "out"))
    assert checked.metrics["tensors"] == 2 * 2 * 7, "two layers of seven projections"
    tensors, alpha = gguf_files.read_gguf(tmp_path / "out" / gguf_files.ADAPTER)
    model = load_adapter(load_causal_model(base, "fp32"), folder)
    processor = LlamaTensorProcessor(config=None)
    layout = gguf_files.layout_of(base.folder)
    count = 0
    for name, module in model.base_model.model.named_modules():
        if not hasattr(module, "get_delta_weight"):
            continue
        expected = module.get_delta_weight("default").detach().numpy()
        gguf_name = f"{layout.name_of(name)}.weight"
        a, b = tensors[f"{gguf_name}.lora_a"], tensors[f"{gguf_name}.lora_b"]
        actual = alpha / a.shape[0] * (b @ a)
        if name.endswith(("q_proj", "k_proj")):
            heads = 4 if name.endswith("q_proj") else 2
            assert np.abs(actual - expected).max() > 0.01, "rows are in another order in GGUF"
            actual = processor._reverse_permute_weights(actual, heads, heads)
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
        count += 1
    assert count == 14


def test_metadata_says_what_the_file_is_and_a_file_that_differs_is_refused(base: BaseModel, tmp_path: Path) -> None:
    import gguf

    folder, file = gguf_of(base, tmp_path), tmp_path / "out" / gguf_files.ADAPTER
    fields = gguf.GGUFReader(file).fields
    keys = ("general.architecture", "general.type", "adapter.type", "general.version")
    assert [fields[key].contents() for key in keys] == ["llama", "adapter", "lora", "1.2.3"]
    assert fields["adapter.lora.alpha"].contents() == 8.0
    layout = gguf_files.layout_of(base.folder)
    other = gguf_files.read_pairs(read_lora(write_adapter(base, tmp_path / "other", seed=1)))
    assert "differs from the adapter" in refusal(ExportError, gguf_files.compare_gguf, file, layout, other)
    assert "different tensors" in refusal(ExportError, gguf_files.compare_gguf, file, layout, other[1:])
    straight, pairs = replace(layout, map=replace(layout.map, rows={})), gguf_files.read_pairs(read_lora(folder))
    assert "differs from the adapter" in refusal(ExportError, gguf_files.compare_gguf, file, straight, pairs)


def test_other_architectures_and_stretched_positions_are_refused(base: BaseModel, tmp_path: Path) -> None:
    folder = shutil.copytree(base.folder, tmp_path / "base")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "phi"}))
    assert "no family of bases has the model type phi" in refusal(ExportError, gguf_files.layout_of, folder)
    stretched = {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}
    (folder / "config.json").write_text(json.dumps(config | stretched))
    with pytest.raises(ExportError, match="rotary embeddings of type dynamic"):
        gguf_files.write_base(replace(base, folder=folder), tmp_path / "base.gguf", "fp32")


def write_base_gguf(base: BaseModel, path: Path, interleave: bool = True) -> Path:
    """The projections of queries and keys as llama.cpp keeps them."""
    import gguf
    from safetensors.numpy import load_file

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    writer = gguf.GGUFWriter(path, "llama")
    for name, value in load_file(base.folder / "model.safetensors").items():
        gguf_name = names.get_name(name, try_suffixes=(".weight",))
        if gguf_name and "_proj" in name:
            heads = {"q_proj": 4, "k_proj": 2}.get(name.split(".")[-2])
            if heads and interleave:
                turned = value.reshape(heads, 2, -1, value.shape[1]).swapaxes(1, 2)
                value = np.ascontiguousarray(turned.reshape(value.shape))
            writer.add_tensor(gguf_name, value.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_folder_for_ollama_is_whole(base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    gguf_file = write_base_gguf(base, tmp_path / "tiny.gguf")
    folder = write_adapter(base, tmp_path / "adapter")
    checked = write_ollama(source(base, folder), gguf_file, out_of(tmp_path / "out"))
    assert checked.metrics["base_likeness"] > 0.999
    assert checked.skipped == ("not checked by generation: llama-cli is not installed",)
    lines = (tmp_path / "out" / MODELFILE).read_text().splitlines()
    assert lines[0] == "# code_adapter-demo 1.2.3 on directory:base"
    file_names = [line.split()[1] for line in lines if line.startswith(("FROM", "ADAPTER"))]
    assert [(tmp_path / "out" / name).is_file() for name in file_names] == [True, True]
    assert "PARAMETER num_ctx 512" in lines


def test_a_base_with_other_rows_or_none_is_refused(base: BaseModel, tmp_path: Path) -> None:
    straight = write_base_gguf(base, tmp_path / "straight.gguf", interleave=False)
    with pytest.raises(ExportError, match="is not the base that the adapter was trained on"):
        compare_base(straight, base.folder)
    folder = write_adapter(base, tmp_path / "adapter")
    with pytest.raises(ExportError, match="has no GGUF file; give one with --base"):
        write_ollama(source(base, folder), None, tmp_path)
    gguf_files.write_gguf(source(base, folder), out_of(tmp_path / "out"))
    with pytest.raises(ExportError, match="is a different model: it has no blk"):
        compare_base(tmp_path / "out" / gguf_files.ADAPTER, base.folder)
    (tmp_path / "text.gguf").write_text("no weights, but a text" * 100)
    with pytest.raises(ExportError, match="cannot be read as GGUF"):
        compare_base(tmp_path / "text.gguf", base.folder)
    (tmp_path / "half.gguf").write_bytes(straight.read_bytes()[: straight.stat().st_size // 2])
    with pytest.raises(ExportError, match="cannot be read as GGUF"):
        compare_base(tmp_path / "half.gguf", base.folder)


def program(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / "llama-cli"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_llama_cpp_is_asked_where_it_is(base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    files = tmp_path / BASE, tmp_path / gguf_files.ADAPTER
    program(tmp_path / "bin", 'echo "with $4"')
    assert ollama.generate(*files) == f"with {tmp_path / gguf_files.ADAPTER}\n"
    program(tmp_path / "bin", "echo no such lora >&2; exit 1")
    assert "llama-cli cannot load them: no such lora" in refusal(ExportError, ollama.generate, *files)
    program(tmp_path / "bin", "true")
    assert "generates no text" in refusal(ExportError, ollama.generate, *files)


def test_an_export_is_whole_or_not_there(base: BaseModel, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with staging_folder(out) as staging:
        (staging / "file").write_text("x")
        assert not out.exists()
    assert (out / "file").read_text() == "x"
    assert "is not empty; choose another folder" in refusal(ExportError, staging_folder(out).__enter__)
    with pytest.raises(ExportError), staging_folder(tmp_path / "failed") as staging:
        write_ollama(source(base, tmp_path), None, staging)
    assert ((tmp_path / "failed").exists(), [path.name for path in tmp_path.iterdir()]) == (False, ["deep"])


@pytest.mark.parametrize(("width", "likeness"), [("fp32", 1 - 1e-9), ("fp16", 1 - 1e-5)])
def test_a_base_is_written_whole(base: BaseModel, tmp_path: Path, width: gguf_files.Width, likeness: float) -> None:
    gguf_files.write_base(base, tmp_path / "base.gguf", width)
    assert compare_base(tmp_path / "base.gguf", base.folder) > likeness


@pytest.mark.parametrize("umask", [0o022, 0o027])
@pytest.mark.parametrize("write", [write_peft, write_merged, gguf_files.write_gguf])
def test_all_that_an_export_writes_follows_the_umask(base: BaseModel, tmp_path: Path, write: Any, umask: int) -> None:
    before = os.umask(umask)
    try:
        adapter_source = source(base, write_adapter(base, tmp_path / "adapter"))
        with staging_folder(tmp_path / "out") as folder:
            write(adapter_source, folder)
    finally:
        os.umask(before)
    paths = [tmp_path / "out", *(tmp_path / "out").rglob("*")]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths}
    assert len(modes) > 2
    assert modes == {path.name: (0o777 if path.is_dir() else 0o666) & ~umask for path in paths}


@pytest.mark.slow
def test_the_update_is_on_the_same_rows_as_transformers(default_base: tuple[PinnedModel, Path], tmp_path: Path) -> None:
    """Rows are put back by transformers' own reading of GGUF files."""
    import gguf
    from transformers.modeling_gguf_pytorch_utils import LlamaTensorProcessor

    pinned, root = default_base
    base = resolve_base(pinned, root)
    (file,) = weights_folder(pinned.source, pinned.pin, root).glob("*.gguf")
    folder = write_adapter(base, tmp_path / "adapter", use_rslora=True)
    (tmp_path / "out").mkdir()
    write_ollama(Source("m", "v", "", folder, base, ""), file, tmp_path / "out")
    updates, alpha = gguf_files.read_gguf(tmp_path / "out" / gguf_files.ADAPTER)
    tensors = {t.name: t for t in gguf.GGUFReader(tmp_path / "out" / BASE).tensors}
    model = load_adapter(load_causal_model(base, "fp32"), folder).merge_and_unload()
    weights = dict(model.named_parameters())
    processor = LlamaTensorProcessor(config=None)
    for layer, short, heads in (
        *(("self_attn.q_proj", "attn_q", 9), ("self_attn.k_proj", "attn_k", 3)),
        *(("self_attn.v_proj", "attn_v", None), ("mlp.down_proj", "ffn_down", None)),
    ):
        name = f"blk.3.{short}.weight"
        a, b = updates[f"{name}.lora_a"], updates[f"{name}.lora_b"]
        actual = gguf.quants.dequantize(tensors[name].data, tensors[name].tensor_type)
        actual = actual + alpha / a.shape[0] * (b @ a)
        if heads:
            actual = processor._reverse_permute_weights(actual, heads, heads)
        expected = weights[f"model.layers.3.{layer}.weight"].detach().numpy()
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
