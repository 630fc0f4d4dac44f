"""Join two versions of a file that ``cortex resolve`` and the merge driver know, as text."""

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from cortex_pipelines.versioning.dvc.quick_yaml import stage_texts
from cortex_pipelines.versioning.dvc.stages import HEADER, WIDTH
from cortex_pipelines.versioning.dvc.yaml_files import yaml_text
from cortex_pipelines.versioning.dvc.yaml_text import YamlTextError, parse_yaml
from cortex_pipelines.versioning.merging.conflicts import ConflictError, Versions
from cortex_pipelines.versioning.merging.dvc_lock import Fits, join_dvc_locks
from cortex_pipelines.versioning.merging.releases_lock import join_releases_locks
from cortex_pipelines.versioning.merging.sources_lock import join_sources_locks
from cortex_pipelines.versioning.merging.three_way import join_values
from cortex_pipelines.versioning.parameters import json_text


def join_file(file: str, versions: Versions, fits: Fits = lambda _: True) -> tuple[str, list[str]]:
    """Returns the joined text, and what was decided, in sentences. Raises ConflictError if a version cannot be read."""
    name = PurePosixPath(file).name
    ours, theirs = _read(name, versions.ours, "ours"), _read(name, versions.theirs, "theirs")
    try:
        base = None if versions.base is None else _read(name, versions.base, "the base")
    except ConflictError:
        base = None  # in style zdiff3 the base is incomplete
    if name == "dvc.lock":
        merged, notes = join_dvc_locks(base, ours, theirs, fits)
        return _lock_text(merged, versions), notes
    if name == "sources.lock":
        merged, notes = join_sources_locks(base, ours, theirs)
        return yaml_text(merged), notes
    if name == "releases.lock":
        merged, notes = join_releases_locks(base, ours, theirs)
        return yaml_text(merged), notes
    generated = join_values(base or {}, ours, theirs)
    return json_text(generated) if name.endswith(".json") else _dvc_yaml(generated), []


def _read(name: str, text: str, branch: str) -> dict[str, Any]:
    try:
        loaded = (
            json.loads(text or "{}")
            if name.endswith(".json")
            else parse_yaml(text.replace("\r\n", "\n").encode(), name)
        )
    except (YamlTextError, ValueError) as error:
        raise ConflictError(
            f"{name}: the version of {branch} cannot be read ({error}); keep one side by `git "
            f"checkout --ours {name}` or `--theirs`"
        ) from error
    if loaded is not None and not isinstance(loaded, dict):
        raise ConflictError(f"{name}: the version of {branch} has no keys and values at the top")
    return loaded or {}


def _dvc_yaml(values: Mapping[str, Any]) -> str:
    # stages first, as the graph writes it
    parts = [{key: values[key]} for key in ("stages", "metrics", "plots") if values.get(key)]
    return HEADER + "".join(yaml_text(part, WIDTH) for part in parts)


def _lock_text(merged: Mapping[str, Any], versions: Versions) -> str:
    """The text of a ``dvc.lock``, each stage as the side that it is from wrote it."""
    texts: dict[str, list[tuple[Any, str]]] = {}
    for text in (versions.ours, versions.theirs):
        for name, (entry, stage_text) in (stage_texts(text.replace("\r\n", "\n")) or {}).items():
            texts.setdefault(name, []).append((entry, stage_text))
    stages = merged.get("stages") or {}
    parts = [
        next((stage_text for of, stage_text in texts.get(name, ()) if of == entry), None)
        for name, entry in stages.items()
    ]
    if None in parts or not stages:
        return yaml_text(merged)
    other_keys = {key: value for key, value in merged.items() if key != "stages"}
    return yaml_text(other_keys) + "stages:\n" + "".join(filter(None, parts))
