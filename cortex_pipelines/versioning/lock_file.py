"""Read stages and their versions from ``dvc.lock``, and the addresses that name stages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cortex_pipelines.versioning.dvc.yaml_files import read_yaml
from cortex_pipelines.versioning.retained_outputs import DVC_LOCK


def stage_address(asset: str, partition: str | None) -> str:
    """Name of the DVC stage of an asset and partition: ``asset`` or ``asset@project``."""
    return f"{asset}@{partition}" if partition else asset


def split_address(address: str) -> tuple[str, str | None]:
    asset, _, partition = address.partition("@")
    return asset, partition or None


def locked_stages(folder: Path) -> dict[str, Any]:
    return read_yaml(folder / DVC_LOCK).get("stages") or {}


def locked_version(stages: Mapping[str, Any], address: str) -> str | None:
    """DVC's hash of the output that a stage made last; None if it was not made yet."""
    stage = stages.get(address)
    return str(stage["outs"][0]["md5"]) if stage else None
