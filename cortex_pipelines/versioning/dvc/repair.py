"""Repair of what DVC's files hold: outputs lost from the cache, stages and pins that nothing declares."""

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.versioning import damaged_files
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dvc import dvc_store
from cortex_pipelines.versioning.lock_file import locked_stages
from cortex_pipelines.versioning.parameters import STAGE
from cortex_pipelines.versioning.project import Project, ProjectError, look_up, read_yaml, write_yaml
from cortex_pipelines.versioning.root import ask_git

_LOG = logging.getLogger("cortex_pipelines")


def restore_outputs(project: Project) -> int:
    """Restore outputs of the workspace that the cache lost, so that DVC does not rebuild them; returns their number."""

    def store(out: Any) -> bool:
        if not out.use_cache or not out.hash_info or not out.exists or not out.changed_cache():
            return False
        if content_md5(project.root / out.def_path) != out.hash_info.value:
            return False  # edited since: what the cache held is gone
        out.save()
        out.commit()
        return True

    def act(repo: Any) -> int:
        return sum(store(out) for stage in dvc_store.stages_by_address(repo).values() for out in stage.outs)

    count = dvc_store.with_repo(project.root, act)
    if count:
        _LOG.warning("DVC's cache lacked %d outputs that are in the workspace; they are stored there again", count)
    return count


def restore_settings(root: Path) -> list[str]:
    """Bring a deleted ``.dvc`` back from git; what was done, in sentences. ProjectError if git does not have it."""
    if (root / ".dvc").is_dir() or not (root / "dvc.yaml").is_file():
        return []
    if ask_git(root, "checkout", "--", ".dvc").returncode:
        raise ProjectError(
            f"{root / '.dvc'} was deleted and is not in git: `dvc init` creates it (with "
            "`--no-scm` outside of git), then run the same command again"
        )
    return [".dvc was deleted: restored from git"]


_NAMED = 5


@dataclass(frozen=True)
class Undeclared:
    """``pins``: lock file, and the keys in it."""

    stages: tuple[str, ...]
    pins: dict[str, tuple[str, ...]]

    def __bool__(self) -> bool:
        return bool(self.stages or self.pins)

    def __str__(self) -> str:
        files = ({damaged_files.DVC_LOCK: self.stages} if self.stages else {}) | self.pins
        parts = []
        for file, names in files.items():
            more = len(names) - _NAMED
            parts.append(f"{file}: {', '.join(names[:_NAMED])}" + (f" and {more} more" if more > 0 else ""))
        return "; ".join(parts)


def find_undeclared(project: Project) -> Undeclared:
    projects = project.resolve().parameters.projects  # as the files say now: `cortex add` may run beside this process
    declared = {STAGE} | {
        project.address(asset, partition)
        for asset in project.graph.order
        for partition in (projects if asset.partitioned else (None,))
    }
    stages = [name for name in locked_stages(project.root) if name not in declared]
    pins: dict[str, set[str]] = {}
    for pin in project.graph.pins.values():
        if pin.lock and pin.partitioned and pin.lock_key.endswith(".{project}"):
            section = pin.lock_key.removesuffix(".{project}")
            names = (look_up(read_yaml(project.root / pin.lock), section) or {}).keys() - projects.keys()
            pins.setdefault(pin.lock, set()).update(f"{section}.{name}" for name in names)
    return Undeclared(tuple(stages), {lock: tuple(sorted(keys)) for lock, keys in sorted(pins.items()) if keys})


def take_out_undeclared(project: Project) -> str | None:
    """Remove undeclared stages and pins from the locks; what was done, in a sentence. Outputs stay in the cache."""
    from dvc.utils.serialize import modify_yaml

    undeclared, root = find_undeclared(project), project.root
    if not undeclared:
        return None
    for lock, keys in undeclared.pins.items():
        values = read_yaml(root / lock)
        for key in keys:
            section, _, name = key.rpartition(".")
            del look_up(values, section)[name]
        write_yaml(root / lock, values)
        damaged_files.keep(root, lock)

    def drop_stages(repo: Any) -> None:
        with contextlib.chdir(root):
            with modify_yaml(damaged_files.DVC_LOCK, fs=repo.fs) as lock:
                for name in undeclared.stages:
                    (lock.get("stages") or {}).pop(name, None)
            repo._reset()
            damaged_files.keep(root, damaged_files.DVC_LOCK)

    if undeclared.stages:
        dvc_store.with_repo(root, drop_stages)
    return f"taken out, since nothing declares it any more: {undeclared}"
