"""Whatever byte of a model is changed, it is refused: routers, adapters and exported bundles."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cortex_pipelines.adapters.model.base_model import BaseModel
from cortex_pipelines.adapters.model.configuration import ConfigurationError, read_configuration
from cortex_pipelines.config import load_parameters
from cortex_pipelines.ingestion.pretrained_models import ModelSource
from cortex_pipelines.release.loading import read_lora
from cortex_pipelines.routing.router_from_logs import open_model, train_on_logs
from cortex_pipelines.routing.serving.bundle import RouterError
from cortex_pipelines.signing.keys import known_keys, private_key, public_key, trust
from cortex_pipelines.signing.manifest import UntrustedModelError, make_manifest
from cortex_pipelines.signing.signatures import SIGNED, sign_version, verify, write_signed
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines_tests.adapters.tinymodel import write_tiny_base
from cortex_pipelines_tests.embeddings.tinyencoder import make_tiny_encoder
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.release.tinyadapter import write_adapter

CASES = load_cases(__file__)
ROOT = Path(__file__).parents[2]
DAMAGES = [pytest.param(15, id="short"), pytest.param(150, id="long", marks=pytest.mark.attack)]
SAYS = {"billing": "list all repositories {}", "cards": "fix the bug in {}", "top-up": "scan {}"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "params.yaml", root)
    private_key(root)
    return root


@pytest.fixture(autouse=True)
def _in_project(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CORTEX_ROOT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(project)


@pytest.fixture(scope="module")
def trained(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Path]:
    """What trains a router, in a project with a key or outside of one."""
    work = tmp_path_factory.mktemp("training")
    encoder = work / "encoder"
    encoder.mkdir()
    make_tiny_encoder(encoder)
    logs = work / "logs"
    logs.mkdir()
    rows = [
        {"task_id": f"t-{label}-{number}", "task_title": text.format("abcdefgh"[number]), "routed_to": label}
        | {"outcome": "completed", "timestamp": "2026-01-01T00:00:00Z"}
        for label, text in SAYS.items()
        for number in range(8)
    ]
    (logs / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    parameters = load_parameters(ROOT)
    quick = {"trials": 1, "epochs": 1, "max_tokens": 32, "kernel_features": 32, "folds": 2}
    models_read = parameters.models.model_copy(update={"encoder": ModelSource(directory=str(encoder))})
    params = parameters.model_copy(
        update={"models": models_read, "routing": parameters.routing.model_copy(update=quick)}
    )
    models: dict[bool, Path] = {}

    def train(signed: bool) -> Path:
        if signed not in models:
            out = work / f"router-{signed}"
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(project if signed else work)
                train_on_logs(logs, out, params)
            models[signed] = out
        return models[signed]

    return train


def damaged(folder: Path, out: Path, count: int) -> Iterator[tuple[str, Path]]:
    """Copies of a folder with one file changed at one place, each file in turn, seeded."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    chance = random.Random(20)
    for number in range(count):
        name = files[number % len(files)]
        copy = out / str(number)
        shutil.copytree(folder, copy)
        data = bytearray((copy / name).read_bytes())
        position = chance.randrange(len(data))
        mode = chance.choice(("flip", "cut", "grow", "space"))
        if mode == "flip":
            data[position] ^= chance.randrange(1, 256)
        elif mode == "cut":
            del data[position:]
        elif mode == "grow":
            data[position:position] = chance.randbytes(chance.randrange(1, 9))
        else:
            data += b"\n"
        (copy / name).write_bytes(bytes(data))
        yield f"{name}: {mode} at {position}", copy
        shutil.rmtree(copy)


@pytest.mark.parametrize("count", DAMAGES)
@pytest.mark.parametrize("signed", [True, False])
def test_no_damaged_router_answers(trained, tmp_path, count: int, signed: bool, monkeypatch) -> None:
    folder = trained(signed)
    if not signed:
        monkeypatch.chdir(tmp_path)
    assert ((folder / "manifest.sig").exists(), set(open_model(folder).masters)) == (signed, set(SAYS))
    for damage, copy in damaged(folder, tmp_path / "copies", count):
        with pytest.raises((UntrustedModelError, RouterError)) as refused:
            open_model(copy)
        assert "\n" not in str(refused.value), damage


def test_a_router_without_its_manifest_is_refused(trained: Callable[[bool], Path], tmp_path: Path) -> None:
    copy = tmp_path / "router"
    shutil.copytree(trained(False), copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(UntrustedModelError, match=r"no manifest\.json.*cortex router train"):
        open_model(copy)


def test_a_router_signed_elsewhere_has_to_be_trusted(trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UntrustedModelError, match="no project here"):
        open_model(trained(True))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    with pytest.raises(UntrustedModelError, match="unknown key"):
        open_model(trained(True))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("adapter")
    write_tiny_base(work / "base")
    return write_adapter(BaseModel(work / "base", "directory:base", "0" * 64), work / "adapter")


@pytest.mark.parametrize("count", DAMAGES)
def test_no_damaged_adapter_is_verified(project, adapter: Path, tmp_path: Path, count: int) -> None:
    version = str(content_md5(adapter))
    signature_path = sign_version(project, adapter, "code_adapter-demo", version, None)
    verify(project, adapter, signature_path, "code_adapter-demo", version)
    for damage, copy in damaged(adapter, tmp_path / "copies", count):
        with pytest.raises(UntrustedModelError, match="changed") as refused:
            verify(project, copy, signature_path, "code_adapter-demo", version)
        assert copy.name in str(refused.value), damage


@pytest.mark.parametrize("count", DAMAGES)
def test_no_damaged_bundle_is_verified(project, adapter: Path, tmp_path: Path, count: int) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(adapter, bundle)
    write_signed(project, make_manifest(bundle, "code_adapter-demo", "v", None), bundle)
    assert verify(project, bundle, bundle).version == "v"
    assert {path.name for path in bundle.iterdir()} >= set(SIGNED)
    for damage, copy in damaged(bundle, tmp_path / "copies", count):
        with pytest.raises(UntrustedModelError) as refused:
            verify(project, copy, copy)
        assert "\n" not in str(refused.value), damage


@pytest.mark.parametrize(
    ("change", "words"),
    [
        *CASES["TEXTS"],
        *CASES["CHANGES"],
        ("[" * 100000, "cannot be read"),
        (" " * 2**21, "bytes"),
        ('{"peft_type": "LORA", "lora_alpha": 1e999}', "not a finite"),
    ],
)
def test_an_adapters_configuration_is_read_strictly(adapter: Path, tmp_path: Path, change, words: str) -> None:
    copy = tmp_path / "adapter"
    shutil.copytree(adapter, copy)
    text = change if isinstance(change, str) else json.dumps({**read_configuration(copy), **change})
    (copy / "adapter_config.json").write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        read_configuration(copy)
    assert words in str(refused.value)
    assert "take the adapter again" in str(refused.value)
    with pytest.raises(UntrustedModelError, match=r"adapter_config\.json"):
        read_lora(copy)


def test_weights_that_are_not_finite_are_refused(adapter: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "adapter"
    shutil.copytree(adapter, copy)
    weights = load_file(copy / "adapter_model.safetensors")
    first = min(weights)
    weights[first][0, 0] = float("nan")
    save_file(weights, copy / "adapter_model.safetensors")
    with pytest.raises(UntrustedModelError, match="NaN"):
        read_lora(copy)
    del weights[first]
    save_file(weights, copy / "adapter_model.safetensors")
    with pytest.raises(UntrustedModelError, match="lacks its second matrix"):
        read_lora(copy)


def foreign() -> bytes:
    return Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_a_public_key_that_is_not_the_private_ones_is_refused(tmp_path: Path) -> None:
    mark, pem = public_key(tmp_path)
    key_file = tmp_path / ".cortex" / "keys" / "signing.pub"
    key_file.write_bytes(foreign())
    for act in (known_keys, private_key):
        with pytest.raises(UntrustedModelError, match=r"does not match.*delete signing\.pub"):
            act(tmp_path)
    key_file.unlink()
    assert public_key(tmp_path) == (mark, pem), "the remedy works"
    key_file.with_name("signing.key").unlink()
    with pytest.raises(UntrustedModelError, match=r"without its signing\.key"):
        known_keys(tmp_path)


def test_a_trusted_key_is_the_one_that_its_file_is_called_by(tmp_path: Path) -> None:
    foreign_key = tmp_path / "theirs.pub"
    foreign_key.write_bytes(foreign())
    mark = trust(tmp_path, foreign_key)
    assert set(known_keys(tmp_path)) == {mark}
    (tmp_path / ".cortex" / "keys" / "trusted" / f"{mark}.pub").write_bytes(foreign())
    with pytest.raises(UntrustedModelError, match="differs from its file name"):
        known_keys(tmp_path)
