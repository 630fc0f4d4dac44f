"""How the workspace differs from a stage's entry in ``dvc.lock``, in the words of ``dvc status``.

DVC would first load every stage from ``dvc.yaml``, and hash what several stages read once for each of them.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from cortex_pipelines.versioning.content import content_md5, file_md5
from cortex_pipelines.versioning.dvc.yaml_files import read_values
from cortex_pipelines.versioning.parameters import CODE, FILE, FOLDER, PACKAGES
from cortex_pipelines.versioning.snapshot import Snapshot

_DELETED = object()


class Comparison:
    """Comparisons at one moment, for which each file is read once; ``repo``: DVC's repository."""

    def __init__(self, repo: Any) -> None:
        root = Path(repo.root_dir)
        hash_once = partial(content_md5, hash_file=cache(file_md5))
        self.md5 = cache(lambda path: hash_once(root / path))
        self._values = cache(lambda file: read_values(root / file) if (root / file).is_file() else None)
        self._cache = repo.cache.local

    def _holds(self, version: str) -> bool:
        """Whether DVC's cache has all files of a version; of files that are not write-protected it checks the hash."""
        from dvc_objects.errors import ObjectFormatError

        try:
            self._cache.check(version)
            if version.endswith(".dir"):
                for file in json.loads(Path(self._cache.oid_to_path(version)).read_bytes()):
                    self._cache.check(file["md5"])
        except (FileNotFoundError, ObjectFormatError, ValueError):
            return False
        return True

    def changes(self, body: Mapping[str, Any], entry: Mapping[str, Any]) -> Iterator[str]:
        """What ``dvc repro`` would run a stage for; none if it is unchanged. ``body``: the stage as in ``dvc.yaml``,
        ``entry``: the one in ``dvc.lock``, empty if it has none.
        """
        if entry and entry.get("cmd") != body["cmd"]:
            yield "command changed"
        locked = _hashes(entry, "deps")
        for path in body.get("deps", ()):
            yield from self._file_changes(path, locked.get(path))
        for file, keys in _items(body.get("params", ())):
            yield from self._changed_parameters(file, keys, entry.get("params", {}).get(file))
        locked = _hashes(entry, "outs")
        for path, options in _items(body["outs"]):
            version = locked.get(path)
            if version and (options or {}).get("cache", True) and not self._holds(version):
                yield f"{path} not in cache"
            else:
                yield from self._file_changes(path, version)

    def _file_changes(self, path: str, locked: str | None) -> Iterator[str]:
        current = self.md5(path)
        if current is None or current != locked:
            yield f"{path} {'deleted' if current is None else 'modified'}"

    def _changed_parameters(self, file: str, keys: list[str], locked: Mapping[str, Any] | None) -> Iterator[str]:
        # by the name of what a person edits or installs
        name = {CODE: "code", PACKAGES: "packages"}.get(file) or (FILE if file.startswith(f"{FOLDER}/") else file)
        current = self._values(file)
        if current is None:
            yield f"{file} deleted"
        elif locked is None:
            yield f"{name} new"
        else:
            for key in sorted(keys):
                value: Any = current
                for part in key.split("."):
                    value = value.get(part, _DELETED) if isinstance(value, dict) else _DELETED
                state = "deleted" if value is _DELETED else "new" if key not in locked else "modified"
                if state != "modified" or value != locked[key]:
                    yield f"{name}:{key} {state}"


def locked_snapshot(body: Mapping[str, Any], entry: Mapping[str, Any]) -> Snapshot:
    """What an entry of ``dvc.lock`` says that a stage was made from."""
    hashes, params = _hashes(entry, "deps"), entry.get("params", {})
    return Snapshot(
        {path: hashes.get(path) for path in body.get("deps", ())},
        {
            file: {key: params[file][key] for key in keys if key in params.get(file, {})}
            for file, keys in _items(body.get("params", ()))
        },
    )


def _hashes(entry: Mapping[str, Any], kind: str) -> dict[str, str | None]:
    return {item["path"]: item.get("md5") for item in entry.get(kind, ())}


def _items(items: Any) -> Iterator[tuple[str, Any]]:
    for item in items:
        yield from item.items() if isinstance(item, dict) else [(item, None)]
