import shutil
from pathlib import Path

import pytest

from cortex_pipelines.adapters.model.base_model import load_causal_model
from cortex_pipelines.adapters.model.lora import load_adapter
from cortex_pipelines.catalog import open_project
from cortex_pipelines.release.exports.source import logits, probe
from cortex_pipelines.release.open_model import open_adapter
from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines.signing.signatures import signed_folder
from cortex_pipelines.tracking.store import open_client
from cortex_pipelines_tests.integration.miniproject import MiniProject
from cortex_pipelines_tests.messages import missing, refusal

pytestmark = pytest.mark.slow
NAME = "code_adapter-alpha"
REFERENCE = f"{NAME}@challenger"


def signed(mini: MiniProject) -> Path:
    return signed_folder(mini.root, NAME, mini.version("code_adapter@alpha"))


def weights(mini: MiniProject) -> Path:
    return mini.root / "data" / "code_adapter" / "alpha" / "adapter_model.safetensors"


def test_an_adapter_is_opened_by_name_on_its_own_base(finished_copy: MiniProject) -> None:
    import torch

    opened = open_adapter(open_project(finished_copy.root), REFERENCE)
    assert (opened.adapted, opened.notice) == (True, "")
    assert opened.version == finished_copy.version("code_adapter@alpha")
    resident = opened.resident
    ids = probe(resident.tokenizer)
    expected = load_adapter(load_causal_model(resident.base, "fp32"), weights(finished_copy).parent)
    torch.testing.assert_close(logits(resident.model, ids), logits(expected, ids))
    again = open_adapter(open_project(finished_copy.root), "code_adapter-beta@challenger", resident=resident)
    assert again.resident is resident
    assert again.version == finished_copy.version("code_adapter@beta")
    alone = open_adapter(open_project(finished_copy.root), NAME, resident=resident)
    assert not alone.adapted
    assert alone.notice == f"{NAME} has no champion yet: directory:base is used without adapter"
    plain = load_causal_model(resident.base, "fp32")
    torch.testing.assert_close(logits(resident.model, ids), logits(plain, ids), rtol=0, atol=0)
    for reference, words in (
        (f"{NAME}@best", "an alias is one of champion, canary, challenger"),
        (f"{NAME}@canary", f"{NAME} has no canary"),
        (f"{NAME}/7", "has no version 7"),
    ):
        with pytest.raises(LookupError, match=words):
            open_adapter(open_project(finished_copy.root), reference, resident=resident)


def test_on_another_base_the_base_answers_alone_and_says_so(finished_copy: MiniProject) -> None:
    vocabulary = finished_copy.root / "models" / "base" / "tokenizer_config.json"
    vocabulary.write_text(vocabulary.read_text() + "\n")
    finished_copy.cortex("update")
    opened = open_adapter(open_project(finished_copy.root), REFERENCE)
    assert not opened.adapted
    assert "was trained on directory:base, which is not this directory:base" in opened.notice
    output = finished_copy.cortex("export", REFERENCE, "--out", "out", status=1).stderr
    assert "set it to that base and run `cortex update`" in output


def test_a_tampered_adapter_is_neither_opened_nor_exported(finished_copy: MiniProject) -> None:
    manifest = signed(finished_copy) / "manifest.json"
    before = manifest.read_bytes()
    manifest.write_bytes(before.replace(b'"directory:base"', b'"directory:evil"'))
    assert "it was modified" in refusal(UntrustedModelError, open_adapter, open_project(finished_copy.root), REFERENCE)
    output = finished_copy.cortex("export", REFERENCE, "--out", "out", status=1).stderr
    assert "it was modified" in output
    assert not (finished_copy.root / "out").exists()
    output = finished_copy.cortex("sync").stderr
    assert "\n1 models signed\n" in output, "a version in dvc.lock is signed again"
    assert manifest.read_bytes() == before
    assert "models signed" not in finished_copy.cortex("sync").stderr
    # changed files in the workspace are not a version: the registered one is exported
    weights(finished_copy).unlink()
    weights(finished_copy).write_bytes(b"other")
    opened = open_adapter(open_project(finished_copy.root), REFERENCE)
    assert (opened.version, opened.adapted) == (finished_copy.version("code_adapter@alpha"), True)


def test_a_tampered_router_does_not_decide(finished_copy: MiniProject) -> None:
    finished_copy.cortex("promote", "task_router")
    assert '"master"' in finished_copy.cortex("route", "Rotate the leaked API key").stdout
    folder = signed_folder(finished_copy.root, "task_router", finished_copy.version("task_router"))
    (folder / "manifest.sig").unlink()
    output = finished_copy.cortex("route", "Rotate the leaked API key", status=1).stderr
    assert missing(output, "no manifest.sig in", "`cortex sync` signs") == []


def test_the_registry_holds_card_and_signature(finished: MiniProject) -> None:
    client = open_client(finished.root)
    (entry,) = client.search_model_versions(f"name = '{NAME}'")
    artifacts = {file.path for file in client.list_artifacts(entry.run_id, "signature")}
    assert artifacts == {"signature/manifest.json", "signature/manifest.sig"}
    model = {
        file.path
        for file in client.list_logged_model_artifacts(client.get_run(entry.run_id).outputs.model_outputs[0].model_id)
    }
    # MLflow adds its own note of the registered name
    assert model - {"registered_model_meta"} == {"MLmodel", "input_example.json", "files", "signature"}
    assert "model_card.md" in {file.path for file in client.list_artifacts(entry.run_id)}
    card = (finished.root / "data/code_adapter_release/alpha/model_card.md").read_text()
    for address in ("code_adapter@alpha", "completion_dataset@alpha", "naming_dataset@alpha"):
        assert f"`{finished.version(address)}`" in card
    assert missing(card, "| base | directory:base |", "To be worth promoting: ") == []
    assert str(finished.root) not in card


def test_an_export_is_verified_where_it_arrives(
    finished_copy: MiniProject, begun: MiniProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = finished_copy.cortex("export", REFERENCE, "--out", "shop").stderr
    assert "loaded by peft, it answers as the released adapter does" in output
    assert f"{NAME} {finished_copy.version('code_adapter@alpha')} is in shop, signed by " in output
    mark = output.strip().rpartition(" ")[2]
    assert f"{NAME} " in finished_copy.cortex("verify", "shop").stderr
    assert "is not empty" in finished_copy.cortex("export", REFERENCE, "--out", "shop", status=1).stderr
    shutil.copytree(finished_copy.root / "shop", begun.root / "shop")
    assert f"unknown key {mark}" in begun.cortex("verify", "shop", status=1).stderr
    key = str(finished_copy.root / ".cortex" / "keys" / "signing.pub")
    output = begun.cortex("verify", "shop", "--trust", key).stderr
    assert output.startswith(f"{mark} is trusted now\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    outside = MiniProject(tmp_path)
    assert f"unknown key {mark}" in outside.cortex("verify", str(begun.root / "shop"), status=1).stderr
    assert f"{NAME} " in outside.cortex("verify", str(begun.root / "shop"), "--trust", key).stderr
    (begun.root / "shop" / "adapter_config.json").write_text("{}")
    assert "adapter_config.json: changed" in begun.cortex("verify", "shop", status=1).stderr


def test_exports_without_an_adapter_or_a_gguf_say_what_to_do(finished_copy: MiniProject) -> None:
    finished_copy.cortex("export", REFERENCE, "--format", "gguf", "--out", "gguf")
    assert (finished_copy.root / "gguf" / "adapter.gguf").exists()
    finished_copy.cortex("export", f"{NAME}/1", "--format", "merged", "--out", "merged")
    assert (finished_copy.root / "merged" / "model.safetensors").exists()
    for words, output in (
        (("task_router@challenger", "--out", "x"), "task_router is not an adapter"),
        ((NAME, "--out", "x"), f"has no champion yet; use {NAME}@challenger for"),
        ((REFERENCE, "--format", "ollama", "--out", "x"), "has no GGUF file; give one with --base"),
        ((REFERENCE, "--task", "naming", "--out", "x"), "has one adapter for all tasks; leave --task out"),
    ):
        assert output in finished_copy.cortex("export", *words, status=1).stderr
    output = finished_copy.cortex("export", NAME, "--base", "params.yaml", "--out", "x", status=2).stderr
    assert "--base requires --format ollama" in output
    assert not (finished_copy.root / "x").exists()


def test_a_lost_key_is_replaced_by_sync(finished_copy: MiniProject) -> None:
    shutil.rmtree(finished_copy.root / ".cortex" / "keys")
    assert "unknown key" in refusal(UntrustedModelError, open_adapter, open_project(finished_copy.root), REFERENCE)
    assert "3 models signed" in finished_copy.cortex("sync").stderr
    assert open_adapter(open_project(finished_copy.root), REFERENCE).adapted
