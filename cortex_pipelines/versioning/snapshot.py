"""Snapshot of an output's dependencies: hashes of inputs and code, parameters, pins."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.content import content_md5, value_md5
from cortex_pipelines.versioning.dvc.yaml_files import look_up, read_values
from cortex_pipelines.versioning.graph import Pin
from cortex_pipelines.versioning.parameters import CODE, PACKAGE, PACKAGES, SHARED
from cortex_pipelines.versioning.project import Project, code_version_of


@dataclass(frozen=True)
class Snapshot:
    """``deps``: path relative to the root, to hash (None if missing); ``params``: file, to dotted key, to value."""

    deps: Mapping[str, str | None]
    params: Mapping[str, Mapping[str, Any]]

    def differences(self, other: "Snapshot") -> list[str]:
        changed = [path for path in self.deps.keys() | other.deps.keys() if self.deps.get(path) != other.deps.get(path)]
        for file in self.params.keys() | other.params.keys():
            own_values, other_values = self.params.get(file, {}), other.params.get(file, {})
            changed += [
                f"{file}:{key}"
                for key in own_values.keys() | other_values.keys()
                if own_values.get(key) != other_values.get(key)
            ]
        return sorted(changed)


def stage_deps(project: Project, asset: VersionedAsset, partition: str | None) -> list[str]:
    upstream = [input_path(other, asset, partition) for other in project.graph.wiring(asset.name).assets]
    code = asset.code if project.depends_on_files(asset) else ()
    return sorted([*code, *upstream])


def stage_params(project: Project, asset: VersionedAsset, partition: str | None) -> dict[str, list[str]]:
    wiring = project.graph.wiring(asset.name)
    keys: dict[str, set[str]] = {}
    if wiring.sections:
        keys[SHARED] = set(wiring.sections)
    if not project.depends_on_files(asset):
        keys[CODE] = {asset.name}
    if asset.packages:
        keys[PACKAGES] = set(asset.packages)
    for pin in wiring.pins:
        for file, names in pin.keys(partition).items():
            keys.setdefault(file, set()).update(names)
    return {file: sorted(names) for file, names in sorted(keys.items())}


def take(project: Project, asset: VersionedAsset, partition: str | None) -> Snapshot:
    files = stage_params(project, asset, partition)
    return Snapshot(
        deps={path: content_md5(project.root / path) for path in stage_deps(project, asset, partition)},
        params={
            file: {key: copy.deepcopy(look_up(values, key)) for key in keys}
            for file, keys in files.items()
            for values in [read_values(project.root / file)]
        },
    )


def code_version(asset: VersionedAsset, snapshot: Snapshot, sections: tuple[str, ...]) -> str:
    """Version of code and parameters in a snapshot; the asset's own if nothing changed."""
    values = snapshot.params.get(SHARED, {})
    code = {path: snapshot.deps.get(path) for path in asset.code}
    if CODE in snapshot.params:
        code = {PACKAGE: snapshot.params[CODE].get(asset.name)}
    code |= {name: snapshot.params.get(PACKAGES, {}).get(name) for name in asset.packages}
    return code_version_of(code, {name: values.get(name) for name in sections})


def pin_version(pin: Pin, snapshot: Snapshot, partition: str | None) -> str:
    return value_md5(
        {
            f"{file}:{key}": snapshot.params.get(file, {}).get(key)
            for file, keys in pin.keys(partition).items()
            for key in keys
        }
    )


def input_path(other: VersionedAsset, asset: VersionedAsset, partition: str | None) -> str:
    folder = f"data/{other.name}"
    if other.partitioned and asset.partitioned:
        return f"{folder}/{partition}"
    return folder


def pinned(pin: Pin, snapshot: Snapshot, partition: str | None) -> tuple[Any, Any]:
    """A pin's part of a snapshot: parameters and lock value; None where it has none."""
    setting = lock = None
    if pin.params_key:
        setting = snapshot.params.get(pin.params_file(partition), {}).get(pin.params_key)
    if pin.lock:
        lock = snapshot.params.get(pin.lock, {}).get(pin.lock_key.format(project=partition))
    return setting, lock
