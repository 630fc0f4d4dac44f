"""Small wheels in a folder that stands for a package index."""

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

TAG = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def only_these(folder: Path, patch: pytest.MonkeyPatch, packages: dict[str, tuple[str, str]]) -> None:
    """Let uv find these packages and no others: name to version and text of a module."""
    folder.mkdir()
    for name, (version, text) in packages.items():
        write_wheel(folder, name, version, text)
    patch.setenv("UV_OFFLINE", "1")
    patch.setenv("UV_FIND_LINKS", str(folder))
    patch.setenv("UV_CACHE_DIR", str(folder.parent / "uv"))


def write_wheel(folder: Path, name: str, version: str, text: str) -> Path:
    """A wheel with one module of the package's name."""
    metadata_folder = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": text,
        f"{metadata_folder}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{metadata_folder}/WHEEL": TAG,
    }
    record = "".join(f"{path},{_digest(part)},{len(part)}\n" for path, part in files.items())
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, part in {**files, f"{metadata_folder}/RECORD": f"{record}{metadata_folder}/RECORD,,\n"}.items():
            archive.writestr(inside, part)
    return path


def _digest(part: str) -> str:
    digest = hashlib.sha256(part.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
