"""Signatures in OpenSSF's form, checked by its own command line."""

import subprocess
import sys
from pathlib import Path

import pytest

from cortex_pipelines.signing.keys import keys_folder
from cortex_pipelines.signing.manifest import UntrustedModelError, make_manifest
from cortex_pipelines.signing.signatures import sign_openssf, verify, write_signed

pytest.importorskip("model_signing", reason="the extra `signing` is not installed")


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
    words = ["verify", "key", str(folder), "--signature", str(folder / "model.sig")]
    return subprocess.run(
        [sys.executable, "-m", "model_signing", *words, "--public_key", str(key)],
        capture_output=True,
        text=True,
        check=False,
    )


def refused(outcome: subprocess.CompletedProcess[str]) -> bool:
    """Whether the signature was judged, and not the command line."""
    return outcome.returncode == 1 and "Verification failed" in outcome.stdout + outcome.stderr


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


def test_another_key_does_not_verify(exported: Path, tmp_path: Path) -> None:
    sign_openssf(tmp_path, exported)
    (tmp_path / "other").mkdir()
    other = sign_openssf(tmp_path / "other", make_folder(tmp_path))
    assert refused(checked(exported, other))


def make_folder(location: Path) -> Path:
    folder = location / "something"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    return folder


def test_the_key_is_kept_and_only_ours_to_read(exported: Path, tmp_path: Path) -> None:
    first = sign_openssf(tmp_path, exported).read_bytes()
    assert sign_openssf(tmp_path, exported).read_bytes() == first
    private = keys_folder(tmp_path) / "openssf.key"
    assert private.stat().st_mode & 0o077 == 0
    private.chmod(0o644)
    with pytest.raises(UntrustedModelError, match="others can read"):
        sign_openssf(tmp_path, exported)
