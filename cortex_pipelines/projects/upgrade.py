"""``cortex upgrade``: migrate a project from an earlier version of the package.

Outputs stay valid: entries of ``dvc.lock`` are converted to the current format with the values they were made from, so
a stage is stale only if a value or its code changed.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import LAYOUT, load_parameters
from cortex_pipelines.projects.parameter_file import read_values, write_values
from cortex_pipelines.release.ledger import ensure_keys, project_models
from cortex_pipelines.versioning import damaged_files
from cortex_pipelines.versioning.dvc import dvc_store, stages
from cortex_pipelines.versioning.dvc.repair import take_out_undeclared
from cortex_pipelines.versioning.merging import git_merge
from cortex_pipelines.versioning.parameters import DEMO, ENTRY, FILE, FOLDER, STANDARD, ParameterLayout, settings_in
from cortex_pipelines.versioning.project import Project, look_up, read_yaml
from cortex_pipelines.versioning.snapshot import stage_params

_IGNORED, _TRACKED_FOLDER = "data/.gitignore", "!/parameters/"


def upgrade(root: Path) -> Iterator[str]:
    """Migrate a project's own files to the current format.

    Yields:
        A message for each step.

    Raises:
        ProjectError: params.yaml contains an unknown parameter; names it.
    """
    load_parameters(root)
    if "profile" not in read_yaml(root / FILE):
        profile, difference_count = shorten_parameters(root, LAYOUT)
        yield f"{FILE} is profile {profile} and {difference_count} values that differ from it"
    path = root / _IGNORED
    text = path.read_text(encoding="utf-8") if path.exists() else "/*\n!.gitignore\n"
    if _TRACKED_FOLDER not in text.splitlines():
        write_whole(path, text.rstrip("\n") + f"\n{_TRACKED_FOLDER}\n")
        yield f"{_IGNORED} lets {FOLDER} into git"
    if git_merge.write_attributes(root):
        yield f"{git_merge.ATTRIBUTES} names the merge driver of lock files; commit it"
    if git_merge.set_driver(root):
        yield git_merge.SET_UP
    project = open_project(root)
    if sentence := take_out_undeclared(project):
        yield sentence
    ensure_keys(root, project_models(project))
    stages.write(project)
    yield "dvc.yaml and the effective parameters are up to date with this version"
    stage_count = migrate_lock(project)
    if stage_count:
        yield f"dvc.lock: {stage_count} stages now depend on the effective parameters"


def shorten_parameters(root: Path, layout: ParameterLayout) -> tuple[str, int]:
    """Reduce ``params.yaml`` to the differences from the closest profile.

    Comments on the remaining values stay.

    Returns:
        The profile's name, and the number of remaining values outside of projects.
    """
    current = read_yaml(root / FILE)
    sections = {name: current[name] for name in layout.sections if name in current}
    profiles = {name: layout.profile(root, name) for name in (STANDARD, DEMO)}
    counts = {name: _count(_differences(sections, profiles[name], layout.model)) for name in profiles}
    profile = min(counts, key=lambda name: counts[name])
    values = read_values(root)
    for name in sections:
        _strip(values, profiles[profile], name, layout.model)
    values.insert(0, "profile", profile)
    write_values(root, values)
    return profile, counts[profile]


def _strip(values: Any, base: Mapping[str, Any], key: str, model: Any) -> None:
    inner, base_value = settings_in(model, key), base.get(key)
    if inner is not None and isinstance(values[key], Mapping) and isinstance(base_value, Mapping):
        for inner_key in list(values[key]):
            _strip(values[key], base_value, inner_key, inner)
        if not values[key]:
            del values[key]
    elif key in base and values[key] == base[key]:
        del values[key]


def _differences(values: Mapping[str, Any], base: Mapping[str, Any], model: Any) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for key, value in values.items():
        inner, base_value = settings_in(model, key), base.get(key)
        if inner is not None and isinstance(value, Mapping) and isinstance(base_value, Mapping):
            if inner_differences := _differences(value, base_value, inner):
                changed[key] = inner_differences
        elif key not in base or value != base_value:
            changed[key] = value
    return changed


def _count(differences: Any) -> int:
    if not isinstance(differences, dict) or not differences:
        return int(differences != {})
    return sum(_count(value) for value in differences.values())


def migrate_lock(project: Project) -> int:
    """Point ``dvc.lock`` entries to the effective parameters; returns the number of entries."""

    def act() -> int:
        from dvc.utils.serialize import modify_yaml

        with dvc_store.locked_repo(project.root) as repo, contextlib.chdir(project.root):
            migrated = 0
            if (project.root / damaged_files.DVC_LOCK).exists():
                with modify_yaml(damaged_files.DVC_LOCK, fs=repo.fs) as lock:
                    migrated = _migrate_entries(project, lock.get("stages") or {})
            repo._reset()
            dvc_store.record_parameters(project, repo)
            return migrated

    count = dvc_store.retry_while_locked(project.root, act)
    if (project.root / damaged_files.DVC_LOCK).exists():
        damaged_files.keep(project.root, damaged_files.DVC_LOCK)
    return count


def _migrate_entries(project: Project, entries: Any) -> int:
    effective, migrated = project.effective.files, 0
    for asset in project.graph.order:
        for partition in project.partitions_of(asset):
            entry = entries.get(project.address(asset, partition)) or {}
            before = (entry.get("params") or {}).get(FILE)
            if before is None:
                continue
            old_values = dict(entry["params"].pop(FILE))
            for file, keys in stage_params(project, asset, partition).items():
                if file not in effective:
                    continue
                for key in keys:
                    old_key = f"projects.{partition}" if key == ENTRY else key
                    if old_key in old_values:
                        current, old = look_up(effective[file], key), old_values[old_key]
                        # equal values, such as 1 and 1.0, are written in the current form
                        entry["params"].setdefault(file, {})[key] = current if current == old else old
            entry["params"] = dict(sorted(entry["params"].items()))
            migrated += 1
    return migrated
