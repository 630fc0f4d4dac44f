"""Manifest of a model's folder: name, version, and a checksum of every file; `UntrustedModelError`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cortex_pipelines.ingestion.cache import file_sha256
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version
from cortex_pipelines.versioning.project import Project, ProjectError

MANIFEST = "manifest.json"

PICKLED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
"""Extensions of formats that execute code when loaded."""


class UntrustedModelError(RuntimeError):
    """A model's files are not the released ones; the message says which and what to do."""


@dataclass(frozen=True)
class Manifest:
    """Manifest of a released model: DVC hash of its folder, name and digest of its base model, SHA-256 by path."""

    model: str
    version: str
    base: Mapping[str, str] | None
    files: Mapping[str, str]

    def to_bytes(self) -> bytes:
        return (json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Manifest":
        try:
            fields = json.loads(data)
            manifest = cls(fields["model"], fields["version"], fields["base"], dict(fields["files"]))
            is_canonical = manifest.to_bytes() == data
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UntrustedModelError(f"{MANIFEST} cannot be read ({type(error).__name__})") from error
        if not is_canonical:
            raise UntrustedModelError(
                f"{MANIFEST} is not in canonical form: it was modified; "
                "take the model again from DVC or from whoever exported it"
            )
        return manifest


def make_manifest(folder: Path, model: str, version: str, base: Mapping[str, str] | None) -> Manifest:
    """Build the manifest of the files currently in a folder."""
    files = checksums(folder)
    if not files:
        raise UntrustedModelError(f"{model}: no files in {folder}")
    refuse_pickles(model, files)
    return Manifest(model, version, dict(base) if base else None, files)


def refuse_pickles(model: str, files: Mapping[str, str]) -> None:
    pickled = [path for path in sorted(files) if Path(path).suffix.lower() in PICKLED]
    if pickled:
        raise UntrustedModelError(
            f"{model}: {', '.join(pickled)} can run code when loaded; only safetensors is accepted"
        )


def checksums(folder: Path, leave_out: tuple[str, ...] = ()) -> dict[str, str]:
    """SHA-256 of every file below a folder, hidden ones too, by path, sorted."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]
    names = [path.relative_to(folder).as_posix() for path in files]
    # DVC may link to files in its cache; links to folders are not part of a model
    return {
        name: file_sha256(path) if path.is_file() else ""
        for name, path in zip(names, files, strict=True)
        if name not in leave_out
    }


def compare(folder: Path, manifest: Manifest, leave_out: tuple[str, ...] = ()) -> None:
    """Raise unless a folder holds exactly the files of a manifest."""
    current = checksums(folder, leave_out)
    released = manifest.files
    differences = {
        "changed": [name for name in sorted(current.keys() & released.keys()) if current[name] != released[name]],
        "missing": sorted(released.keys() - current.keys()),
        "not part of it": sorted(current.keys() - released.keys()),
    }
    problems = [f"{', '.join(names)}: {words}" for words, names in differences.items() if names]
    if problems:
        raise UntrustedModelError(
            f"{manifest.model}: the files in {folder} differ from the release "
            f"({'; '.join(problems)}); take them again from DVC or from whoever exported them"
        )
    refuse_pickles(manifest.model, released)


def open_verified_output(project: Project, name: str) -> tuple[Path, str]:
    """Folder and DataVersion of an asset that is not in the registry, if it is the one in ``dvc.lock``."""
    folder = project.output(name, None)
    version = content_md5(folder)
    if version is None:
        raise ProjectError(f"no {folder}; run `cortex run {name} --upstream` first")
    locked = locked_version(locked_stages(project.root), name)
    if locked != version:
        raise UntrustedModelError(
            f"{folder} is {version}, dvc.lock names {locked or 'none'}: a file was changed since "
            f"it was made; `dvc checkout {name}` brings it back, `cortex run {name}` makes it again"
        )
    return folder, version
