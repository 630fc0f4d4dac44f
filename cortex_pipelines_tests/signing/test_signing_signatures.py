"""What was released is what is loaded: manifests, signatures, also in OpenSSF's form, and keys."""

import json
import os
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from cortex_pipelines.signing.keys import fingerprint, keys_folder, known_keys, public_key, trust
from cortex_pipelines.signing.manifest import Manifest, UntrustedModelError, make_manifest
from cortex_pipelines.signing.signatures import (
    MANIFEST,
    SIGNATURE,
    sign_openssf,
    sign_version,
    signed_folder,
    verify,
    write_signed,
)
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines_tests.command import run_python

BASE = {"name": "directory:base", "digest": "0" * 64}
NAME = "code_adapter-demo"


def model(root: Path) -> Path:
    folder = root / "data" / "code_adapter" / "demo"
    (folder / "naming").mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(bytes(range(256)))
    (folder / "naming" / "adapter_config.json").write_text("{}\n")
    return folder


def signed(root: Path) -> tuple[Path, str, Path]:
    folder = model(root)
    version = str(content_md5(folder))
    return folder, version, sign_version(root, folder, NAME, version, BASE)


def test_what_was_signed_is_verified_and_signed_the_same_the_second_time(tmp_path: Path) -> None:
    folder, version, signed_files = signed(tmp_path)
    assert signed_files == signed_folder(tmp_path, NAME, version)
    manifest = verify(tmp_path, folder, signed_files, NAME, version)
    assert (manifest.model, manifest.version, manifest.base) == (NAME, version, BASE)
    assert sorted(manifest.files) == ["adapter_model.safetensors", "naming/adapter_config.json"]
    assert content_md5(folder) == version, "a signature is not part of the output"
    before = {path.name: path.read_bytes() for path in signed_files.iterdir()}
    sign_version(tmp_path, folder, NAME, version, BASE)
    assert {path.name: path.read_bytes() for path in signed_files.iterdir()} == before


def edit(name: str, text: str) -> Callable[[Path, Path], object]:
    return lambda folder, kept: (folder / name).write_text(text)


def edit_manifest(change: Callable[[dict[str, object]], object]) -> Callable[[Path, Path], object]:
    def act(folder: Path, signed_files: Path) -> None:
        value = json.loads((signed_files / MANIFEST).read_text())
        change(value)
        (signed_files / MANIFEST).write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")

    return act


def edit_signature(**changes: str) -> Callable[[Path, Path], object]:
    def act(folder: Path, signed_files: Path) -> None:
        (signed_files / SIGNATURE).write_text(json.dumps(json.loads((signed_files / SIGNATURE).read_text()) | changes))

    return act


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (edit("adapter_model.safetensors", "other"), "adapter_model.safetensors: changed"),
        (edit("naming/extra.json", "{}"), "naming/extra.json: not part of it"),
        (edit(".hidden", ""), ".hidden: not part of it"),
        (
            lambda folder, signed_files: (folder / "adapter_model.safetensors").unlink(),
            "adapter_model.safetensors: missing",
        ),
        (
            lambda folder, signed_files: (folder / "link").symlink_to(signed_files, target_is_directory=True),
            "link: not part of it",
        ),
        (edit_manifest(lambda value: value.update(version="other")), "it was modified"),
        (edit_manifest(lambda value: value.update(base=None)), "it was modified"),
        (lambda folder, signed_files: (signed_files / MANIFEST).unlink(), "no manifest.json in"),
        (lambda folder, signed_files: (signed_files / SIGNATURE).unlink(), "no manifest.sig in"),
        (lambda folder, signed_files: (signed_files / SIGNATURE).write_text("{}"), "is not a signature"),
        (edit_signature(key="f" * 64), f"unknown key {'f' * 64}"),
        (edit_signature(signature="AAAA"), "it was modified"),
        (edit_signature(signature="no base64!"), "is not a signature"),
    ],
)
def test_what_was_changed_since_is_refused(tmp_path: Path, tamper: Callable[[Path, Path], object], words: str) -> None:
    folder, version, signed_files = signed(tmp_path)
    tamper(folder, signed_files)
    with pytest.raises(UntrustedModelError) as refused:
        verify(tmp_path, folder, signed_files, NAME, version)
    assert words in str(refused.value)


def test_a_manifest_of_something_else_is_refused(tmp_path: Path) -> None:
    folder, version, signed_files = signed(tmp_path)
    with pytest.raises(UntrustedModelError, match="for the version"):
        verify(tmp_path, folder, signed_files, NAME, "another.dir")
    with pytest.raises(UntrustedModelError, match="for the model code_adapter-demo, not for"):
        verify(tmp_path, folder, signed_files, "code_adapter-other", version)


def test_files_that_are_not_the_version_are_not_signed(tmp_path: Path) -> None:
    folder = model(tmp_path)
    version = str(content_md5(folder))
    (folder / "adapter_model.safetensors").write_bytes(b"other")
    with pytest.raises(UntrustedModelError, match="no longer contains version"):
        sign_version(tmp_path, folder, NAME, version, BASE)


@pytest.mark.parametrize("name", ["adapter_model.bin", "weights.PT", "naming/model.pkl"])
def test_pickles_are_never_released(tmp_path: Path, name: str) -> None:
    folder = model(tmp_path)
    (folder / name).write_bytes(b"")
    with pytest.raises(UntrustedModelError, match=f"{name} can run code when loaded"):
        make_manifest(folder, NAME, "v", BASE)


def test_the_key_is_for_one_person_and_made_once(tmp_path: Path) -> None:
    mark, pem = public_key(tmp_path)
    private = tmp_path / ".cortex" / "keys" / "signing.key"
    assert (private.stat().st_mode & 0o777, public_key(tmp_path)) == (0o600, (mark, pem))
    assert pem.startswith(b"-----BEGIN PUBLIC KEY-----")
    assert [fingerprint(key) for key in known_keys(tmp_path).values()] == [mark]
    assert sorted(path.name for path in private.parent.iterdir()) == ["signing.key", "signing.pub"]
    private.chmod(0o640)
    with pytest.raises(UntrustedModelError, match="others can read the signing key"):
        public_key(tmp_path)


def test_another_users_keys_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    public_key(tmp_path)
    folder = keys_folder(tmp_path)
    for closed in (folder, folder / "signing.key"):
        monkeypatch.setattr(os, "access", lambda path, _mode, closed=closed: path != closed)  # root may read all
        with pytest.raises(UntrustedModelError, match=f"{closed} belongs to another user of this machine"):
            public_key(tmp_path)


def test_another_projects_release_is_taken_once_its_key_is_trusted(tmp_path: Path) -> None:
    other_project, project = tmp_path / "theirs", tmp_path / "mine"
    folder, version, signed_files = signed(other_project)
    with pytest.raises(UntrustedModelError, match="unknown key"):
        verify(project, folder, signed_files)
    mark, pem = public_key(other_project)
    (tmp_path / "theirs.pub").write_bytes(pem)
    assert (trust(project, tmp_path / "theirs.pub"), verify(project, folder, signed_files).version) == (mark, version)
    (tmp_path / "no.pub").write_text("not a key")
    with pytest.raises(UntrustedModelError, match="is not a public key"):
        trust(project, tmp_path / "no.pub")


def test_a_manifest_has_one_form(tmp_path: Path) -> None:
    manifest = make_manifest(model(tmp_path), NAME, "v", None)
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest
    assert Manifest(NAME, "v", None, dict(reversed(manifest.files.items()))).to_bytes() == manifest.to_bytes()
    with pytest.raises(UntrustedModelError, match="cannot be read"):
        Manifest.from_bytes(b"[]")


NEEDS_OPENSSF = pytest.mark.skipif(find_spec("model_signing") is None, reason="the extra `signing` is not installed")


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(bytes(range(256)) * 40)
    (folder / "tokenizer" / "vocabulary.json").write_text('{"a": 1}')
    write_signed(tmp_path, make_manifest(folder, "code_adapter-shop", "0" * 32, None), folder)
    return folder


def checked(folder: Path, key: Path) -> subprocess.CompletedProcess[str]:
    """What an outsider runs; nothing of this project is in it."""
    words = ("verify", "key", str(folder), "--signature", str(folder / "model.sig"), "--public_key", str(key))
    return run_python("-m", "model_signing", *words)


def refused(outcome: subprocess.CompletedProcess[str]) -> bool:
    """Whether the signature was judged, and not the command line."""
    return outcome.returncode == 1 and "Verification failed" in outcome.stdout + outcome.stderr


@NEEDS_OPENSSF
def test_an_outsider_verifies_and_notices_each_change(exported: Path, tmp_path: Path) -> None:
    key = sign_openssf(tmp_path, exported)
    good = checked(exported, key)
    assert good.returncode == 0, good.stdout + good.stderr
    assert verify(tmp_path, exported, exported).model == "code_adapter-shop"
    weights = exported / "adapter_model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + b"\0")
    assert refused(checked(exported, key))
    weights.write_bytes(before)
    (exported / "more.json").write_text("{}")
    assert refused(checked(exported, key))


@NEEDS_OPENSSF
def test_another_key_does_not_verify(exported: Path, tmp_path: Path) -> None:
    sign_openssf(tmp_path, exported)
    for folder in ("other", "something"):
        (tmp_path / folder).mkdir()
    (tmp_path / "something" / "a.txt").write_text("a")
    assert refused(checked(exported, sign_openssf(tmp_path / "other", tmp_path / "something")))


@NEEDS_OPENSSF
def test_the_key_is_kept_and_only_ours_to_read(exported: Path, tmp_path: Path) -> None:
    first = sign_openssf(tmp_path, exported).read_bytes()
    assert sign_openssf(tmp_path, exported).read_bytes() == first
    private = keys_folder(tmp_path) / "openssf.key"
    assert private.stat().st_mode & 0o077 == 0
    private.chmod(0o644)
    with pytest.raises(UntrustedModelError, match="others can read"):
        sign_openssf(tmp_path, exported)
