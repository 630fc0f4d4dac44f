"""Repair of what DVC's files hold: outputs lost from the cache, stages and pins that nothing declares."""

import contextlib
import logging
import subprocess  # nosec B404
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.versioning import damaged_files
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dvc import dvc_store
from cortex_pipelines.versioning.lock_file import locked_stages
from cortex_pipelines.versioning.parameters import STAGE
from cortex_pipelines.versioning.project import Project, ProjectError, look_up, read_yaml, write_yaml

_LOG = logging.getLogger("cortex_pipelines")


def restore_outputs(project: Project) -> int:
    """Store outputs in the cache again that ``dvc.lock`` names and the workspace still holds.

    Without that DVC would take each of them for changed, and everything would be made again.

    Returns:
        How many outputs were stored.
    """

    def act() -> int:
        with dvc_store.locked_repo(project.root) as repo:
            stages = dvc_store.stages_by_address(repo).values()
            return sum(_store(project.root, out) for stage in stages for out in stage.outs)

    count = dvc_store.retry_while_locked(project.root, act)
    if count:
        _LOG.warning("DVC's cache lacked %d outputs that are in the workspace; they are stored there again", count)
    return count


def restore_settings(root: Path) -> list[str]:
    """Bring a deleted ``.dvc`` back from git; returns what was done, in sentences. Raises ProjectError: git does not
    have it.
    """
    if (root / ".dvc").is_dir() or not (root / "dvc.yaml").is_file():
        return []
    git = ["git", "-C", str(root), "checkout", "--", ".dvc"]
    if subprocess.run(git, capture_output=True, check=False).returncode:  # nosec B603
        raise ProjectError(
            f"{root / '.dvc'} was deleted and is not in git: `dvc init` creates it (with "
            "`--no-scm` outside of git), then run the same command again"
        )
    return [".dvc was deleted: restored from git"]


def _store(root: Path, out: Any) -> bool:
    if not out.use_cache or not out.hash_info or not out.exists or not out.changed_cache():
        return False
    if content_md5(root / out.def_path) != out.hash_info.value:
        return False  # edited since: what the cache held is gone
    out.save()
    out.commit()
    return True


_BY_PROJECT = ".{project}"
_NAMED = 5


@dataclass(frozen=True)
class Undeclared:
    stages: tuple[str, ...]
    pins: tuple[tuple[str, str], ...]

    def __bool__(self) -> bool:
        return bool(self.stages or self.pins)

    def __str__(self) -> str:
        parts = [f"{damaged_files.DVC_LOCK}: {_few(self.stages)}"] if self.stages else []
        for lock in dict.fromkeys(file for file, _ in self.pins):
            keys = tuple(key for file, key in self.pins if file == lock)
            parts.append(f"{lock}: {_few(keys)}")
        return "; ".join(parts)


def find_undeclared(project: Project) -> Undeclared:
    declared = {STAGE} | {
        project.address(asset, partition) for asset in project.graph.order for partition in project.partitions_of(asset)
    }
    stages = [name for name in locked_stages(project.root) if name not in declared]
    pins = {
        (lock, f"{above}.{name}")
        for lock, above in _partitioned_keys(project)
        for name in look_up(read_yaml(project.root / lock), above) or {}
        if name not in project.partitions
    }
    return Undeclared(tuple(stages), tuple(sorted(pins)))


def take_out_undeclared(project: Project) -> str | None:
    """Remove undeclared stages and pins from the locks; what was done, in a sentence.

    Outputs stay in DVC's cache; ``sync`` removes them from the workspace.
    """
    undeclared = find_undeclared(project)
    if not undeclared:
        return None
    for lock in dict.fromkeys(file for file, _ in undeclared.pins):
        values = read_yaml(project.root / lock)
        for file, key in undeclared.pins:
            if file == lock:
                above, _, name = key.rpartition(".")
                del look_up(values, above)[name]
        write_yaml(project.root / lock, values)
        damaged_files.keep(project.root, lock)
    if undeclared.stages:
        _drop_stages(project.root, undeclared.stages)
    return f"taken out, since nothing declares it any more: {undeclared}"


def _partitioned_keys(project: Project) -> set[tuple[str, str]]:
    return {
        (pin.lock, pin.lock_key.removesuffix(_BY_PROJECT))
        for pin in project.graph.pins.values()
        if pin.lock and pin.partitioned and pin.lock_key.endswith(_BY_PROJECT)
    }


def _drop_stages(root: Path, names: tuple[str, ...]) -> None:
    from dvc.utils.serialize import modify_yaml

    def act() -> None:
        with dvc_store.locked_repo(root) as repo, contextlib.chdir(root):
            with modify_yaml(damaged_files.DVC_LOCK, fs=repo.fs) as lock:
                entries: dict[str, Any] = lock.get("stages") or {}
                for name in names:
                    entries.pop(name, None)
            repo._reset()
            damaged_files.keep(root, damaged_files.DVC_LOCK)

    dvc_store.retry_while_locked(root, act)


def _few(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
