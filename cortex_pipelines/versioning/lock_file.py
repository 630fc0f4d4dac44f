"""Stages of ``dvc.lock``: addresses, versions, and whether their code is committed."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.damaged_files import DVC_LOCK
from cortex_pipelines.versioning.dvc.yaml_files import peek_yaml
from cortex_pipelines.versioning.root import ask_git


def stage_address(asset: str, partition: str | None) -> str:
    """Name of the DVC stage of an asset and partition: ``asset`` or ``asset@project``."""
    return f"{asset}@{partition}" if partition else asset


def split_address(address: str) -> tuple[str, str | None]:
    asset, _, partition = address.partition("@")
    return asset, partition or None


def locked_stages(folder: Path) -> Mapping[str, Any]:
    """Not to be changed: the values are cached."""
    return peek_yaml(folder / DVC_LOCK).get("stages") or {}


def locked_version(stages: Mapping[str, Any], address: str) -> str | None:
    """DVC's hash of the output that a stage made last; None if it was not made yet."""
    stage = stages.get(address)
    return str(stage["outs"][0]["md5"]) if stage else None


_DATA = "data/"


def path_to(stages: Mapping[str, Any], address: str) -> list[str]:
    """A stage of ``dvc.lock`` and all its upstream stages, sorted by address."""
    made_by = {str(out["path"]): name for name, stage in stages.items() for out in stage["outs"]}
    names: set[str] = set()
    ahead = [address] if address in stages else []
    while ahead:
        name = ahead.pop()
        if name in names:
            continue
        names.add(name)
        for dep in stages[name].get("deps", []):
            path = str(dep["path"])
            # a stage that reads all projects depends on the folder that theirs are in
            ahead += [by for out, by in made_by.items() if f"{out}/".startswith(f"{path}/")]
    return sorted(names)


def differing_code(root: Path, stages: Mapping[str, Any], addresses: Iterable[str]) -> list[str]:
    return sorted(path for path, md5 in code_of(stages, addresses).items() if content_md5(root / path) != md5)


def code_of(stages: Mapping[str, Any], addresses: Iterable[str]) -> dict[str, str]:
    return {
        str(dep["path"]): str(dep["md5"])
        for address in addresses
        for dep in stages[address].get("deps", [])
        if not dep["path"].startswith(_DATA)  # what the stages read of each other
    }


def uncommitted(root: Path, paths: Iterable[str]) -> list[str] | None:
    """Files below the paths that differ from git's HEAD, sorted; None without git or a repository."""
    sorted_paths = sorted(paths)
    if not sorted_paths:
        return []
    process = ask_git(root, "status", "--porcelain", "--no-renames", "-z", "--", *sorted_paths)
    if process.returncode:
        return None
    return sorted(line[3:] for line in process.stdout.decode("utf-8", "surrogateescape").split("\0") if line)
