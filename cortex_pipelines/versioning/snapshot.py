"""Snapshot of an output's dependencies: hashes of inputs and code, parameters, pins."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.versioning.content import content_md5, value_md5
from cortex_pipelines.versioning.dvc.yaml_files import look_up, read_values
from cortex_pipelines.versioning.graph import Pin
from cortex_pipelines.versioning.parameters import CODE, PACKAGE, PACKAGES, SHARED
from cortex_pipelines.versioning.project import Stage, code_version_of


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


def stage_deps(stage: Stage) -> list[str]:
    code = stage.asset.code if stage.project.depends_on_files(stage.asset) else ()
    return sorted([*code, *map(stage.input_path, stage.wiring.assets)])


def stage_params(stage: Stage) -> dict[str, list[str]]:
    asset, wiring = stage.asset, stage.wiring
    keys: dict[str, set[str]] = {}
    if wiring.sections:
        keys[SHARED] = set(wiring.sections)
    if not stage.project.depends_on_files(asset):
        keys[CODE] = {asset.name}
    if asset.packages:
        keys[PACKAGES] = set(asset.packages)
    for pin in wiring.pins:
        for file, names in pin.keys(stage.partition).items():
            keys.setdefault(file, set()).update(names)
    return {file: sorted(names) for file, names in sorted(keys.items())}


def take(stage: Stage) -> Snapshot:
    root = stage.project.root
    params = {}
    for file, keys in stage_params(stage).items():
        values = read_values(root / file)
        params[file] = {key: copy.deepcopy(look_up(values, key)) for key in keys}
    return Snapshot({path: content_md5(root / path) for path in stage_deps(stage)}, params)


def code_version(stage: Stage, snapshot: Snapshot) -> str:
    """Version of code and parameters in a snapshot; the asset's own if nothing changed."""
    asset = stage.asset
    values = snapshot.params.get(SHARED, {})
    code = {path: snapshot.deps.get(path) for path in asset.code}
    if CODE in snapshot.params:
        code = {PACKAGE: snapshot.params[CODE].get(asset.name)}
    code |= {name: snapshot.params.get(PACKAGES, {}).get(name) for name in asset.packages}
    return code_version_of(code, {name: values.get(name) for name in stage.wiring.sections})


def pin_version(pin: Pin, snapshot: Snapshot, partition: str | None) -> str:
    return value_md5(
        {
            f"{file}:{key}": snapshot.params.get(file, {}).get(key)
            for file, keys in pin.keys(partition).items()
            for key in keys
        }
    )


def pinned(pin: Pin, snapshot: Snapshot, partition: str | None) -> tuple[Any, Any]:
    """A pin's part of a snapshot: parameters and lock value; None where it has none."""
    setting = lock = None
    if pin.params_key:
        setting = snapshot.params.get(pin.params_file(partition), {}).get(pin.params_key)
    if pin.lock:
        lock = snapshot.params.get(pin.lock, {}).get(pin.lock_key.format(project=partition))
    return setting, lock
