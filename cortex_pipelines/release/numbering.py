"""Semantic versions of models, from what changed between versions.

Major: the base model, or the format of prompts and answers. Minor: data, settings or code. Patch: the same training run
again.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from cortex_pipelines.versioning.content import value_md5
from cortex_pipelines.versioning.parameters import FOLDER
from cortex_pipelines.versioning.project import read_yaml

Change = Literal["major", "minor", "patch"]

FIRST = "1.0.0"

TASK_FORMAT = 2  # version of the prompt and answer format; increase it when callers have to change


def version_inputs(root: Path, address: str, version: str) -> dict[str, str] | None:
    """Inputs of a model's version as hashes; None if ``dvc.lock`` has another version.

    ``base``, ``format`` (names of data sets, form of prompts and answers), ``data``, ``method`` (settings and code).
    """
    stage = _stage(root, address, version)
    if stage is None:
        return None
    code, data = _dependencies(stage)
    files = stage.get("params") or {}
    parts = [values for file, values in files.items() if file.startswith(f"{FOLDER}/")]
    params = {key: value for values in parts for key, value in values.items()}
    pins = sorted(dict(files.get("sources.lock") or {}).items())
    form = {
        "number": TASK_FORMAT,
        "data sets": sorted(path.split("/")[1] for path in data),
        # a setting that is part of the format; a missing one counts as off
        "settings": {"adapters.per_task": bool((params.get("adapters") or {}).get("per_task"))},
    }
    settings = {key: value for key, value in params.items() if not key.startswith("models.")}
    return {
        "base": value_md5({key: pin.get("files", pin) if isinstance(pin, dict) else pin for key, pin in pins}),
        "format": value_md5(form),
        "data": value_md5(data),
        "method": value_md5({"code": code, "settings": settings}),
    }


def inputs_of(root: Path, address: str, version: str) -> dict[str, str] | None:
    """Versions of the assets that a model's version was made from, by name; None as for ``version_inputs``."""
    stage = _stage(root, address, version)
    return stage and {path.split("/")[1]: md5 for path, md5 in _dependencies(stage)[1].items()}


def _stage(root: Path, address: str, version: str) -> dict[str, Any] | None:
    stage: Any = (read_yaml(root / "dvc.lock").get("stages") or {}).get(address)
    return stage if stage and str(stage["outs"][0]["md5"]) == version else None


def _dependencies(stage: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Code and data of a stage, each as hashes by path."""
    deps = {str(dep["path"]): str(dep["md5"]) for dep in stage.get("deps", [])}
    data = {path: md5 for path, md5 in deps.items() if path.startswith("data/")}
    return {path: md5 for path, md5 in deps.items() if path not in data}, data


def classify_change(before: Mapping[str, str] | None, current: Mapping[str, str] | None) -> tuple[Change, str]:
    if before is None or current is None:
        return "major", "it is not known what both were made from"
    differing = {name for name, value in current.items() if before.get(name) != value}
    if "base" in differing:
        return "major", "another base"
    if "format" in differing:
        return "major", "other tasks or another form of prompts"
    if differing:
        words = {"data": "other data", "method": "other settings or code"}
        return "minor", " and ".join(words[name] for name in sorted(differing))
    return "patch", "the same training again"


def next_free_number(number: str, step: Change, used_numbers: Collection[str]) -> str:
    """The next free number after ``number`` for a change."""
    major, minor, patch = (int(part) for part in number.split("."))
    while True:
        if step == "major":
            major, minor, patch = major + 1, 0, 0
        elif step == "minor":
            minor, patch = minor + 1, 0
        else:
            patch += 1
        candidate = f"{major}.{minor}.{patch}"
        if candidate not in used_numbers:
            return candidate
