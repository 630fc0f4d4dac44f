"""Join two versions of ``dvc.lock``, stage by stage.

An entry says what an output was made from, so an entry of either side is true wherever it ends up: if its inputs are
not those of the workspace, DVC reports the stage as changed and it is run again. Where both sides ran a stage with
different results, the entry is taken whose inputs are the ones that the joined lock (and, once the merge is over, the
workspace) has. An entry that fits neither is taken out.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath
from typing import Any

from cortex_pipelines.versioning.dvc.quick_yaml import stage_texts
from cortex_pipelines.versioning.dvc.stages import HEADER, WIDTH
from cortex_pipelines.versioning.dvc.yaml_files import YamlTextError, parse_yaml, yaml_text
from cortex_pipelines.versioning.merging.conflicts import ConflictError, Versions
from cortex_pipelines.versioning.merging.pin_locks import (
    ABSENT,
    choose,
    join_keys,
    join_releases_locks,
    join_sources_locks,
    join_values,
)
from cortex_pipelines.versioning.parameters import json_text

Entries = Mapping[str, Any]
"""Entry of each stage, by address."""

Fits = Callable[[Mapping[str, Any]], bool]
"""Whether the inputs that an entry names are those of the workspace."""


def join_dvc_locks(
    base: Mapping[str, Any] | None, ours: Mapping[str, Any], theirs: Mapping[str, Any], fits: Fits = lambda _: True
) -> tuple[dict[str, Any], list[str]]:
    """Returns the joined content, and what was decided, in sentences. Without a common ancestor ``base`` is None; by
    default ``fits`` knows nothing of the workspace.
    """
    other_keys = [{k: v for k, v in (each or {}).items() if k != "stages"} for each in (base, ours, theirs)]
    entries = [dict((each or {}).get("stages") or {}) for each in (base, ours, theirs)]
    stages, notes = _join_stages(entries[0], entries[1], entries[2], fits)
    return {**join_values(*other_keys), "stages": stages}, notes


def _join_stages(base: Entries, ours: Entries, theirs: Entries, fits: Fits) -> tuple[dict[str, Any], list[str]]:
    notes: list[str] = []
    merged: dict[str, Any] = {}
    versions: dict[str, str] = {}
    names = join_keys(base, ours, theirs)

    def is_consistent(entry: Mapping[str, Any], entries: Entries) -> bool:
        outputs = _outputs(entries)
        return all(
            all(outputs.get(out) == versions.get(out) for out in _below(path, outputs, versions))
            if path not in versions
            else versions[path] == dep.get("md5")
            for dep in entry.get("deps") or ()
            for path in [str(dep["path"])]
        )

    for name in _upstream_first(names, ours, theirs):
        both = False

        def decide(our_entry: Any, their_entry: Any) -> Any:
            nonlocal both
            if our_entry is ABSENT or their_entry is ABSENT:  # removed on one side, run on the other
                return their_entry if our_entry is ABSENT else our_entry
            both = True
            candidates = ((our_entry, ours), (their_entry, theirs))
            return next((e for e, entries in candidates if is_consistent(e, entries) and fits(e)), ABSENT)

        entry = choose(base.get(name, ABSENT), ours.get(name, ABSENT), theirs.get(name, ABSENT), decide)
        if both:
            notes.append(_note(name, entry, ours))
        if entry is not ABSENT:
            merged[name] = entry
            versions |= _outputs({name: entry})
    return {name: merged[name] for name in names if name in merged}, notes


def _outputs(entries: Entries) -> dict[str, Any]:
    return {str(out["path"]): out.get("md5") for entry in entries.values() for out in entry.get("outs") or ()}


def _below(path: str, *outputs: Mapping[str, Any]) -> set[str]:
    """Outputs below a folder: a fan-in stage reads the outputs of all projects."""
    return {out for each in outputs for out in each if out.startswith(f"{path}/")}


def _note(name: str, entry: Any, ours: Entries) -> str:
    if entry is ABSENT:
        return f"{name}: both branches ran it, on inputs that neither has now; it is run again"
    branch = "this branch" if entry == ours.get(name) else "the other branch"
    return f"{name}: both branches ran it; the entry of {branch} is taken"


def _upstream_first(names: list[str], *versions: Entries) -> Iterator[str]:
    made_by: dict[str, set[str]] = {}
    for entries in versions:
        for name, entry in entries.items():
            for out in _outputs({name: entry}):
                # the folder of all projects, too: a fan-in stage reads that
                for path in (out, out.rpartition("/")[0]):
                    made_by.setdefault(path, set()).add(name)
    upstream = {
        name: {
            maker
            for entries in versions
            for dep in (entries.get(name) or {}).get("deps") or ()
            for maker in made_by.get(str(dep["path"]), ())
            if maker != name
        }
        for name in names
    }
    try:
        yield from TopologicalSorter(upstream).static_order()
    except CycleError:  # of stages that changed places between the branches
        yield from names


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
