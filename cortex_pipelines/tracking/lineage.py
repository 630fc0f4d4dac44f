"""Lineage of a registered model back to the commits of its sources."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cortex_pipelines.tracking.experiments import find_run, restore_runs
from cortex_pipelines.tracking.recorded_versions import Key
from cortex_pipelines.tracking.registry import resolve
from cortex_pipelines.versioning.lock_file import stage_address
from cortex_pipelines.versioning.project import Project

_LOG = logging.getLogger("cortex_pipelines")


@dataclass
class LineageNode:
    """One version in a lineage; ``version`` is DVC's hash, for a pin what it holds."""

    name: str
    partition: str | None
    version: Any
    run_id: str | None = None
    git_commit: str = ""
    made_from: list["LineageNode"] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def lineage(project: Project, reference: str) -> LineageNode:
    """Lineage tree from a model version to the pins of its sources; LookupError if the registry does not know it."""
    name, number, tags = resolve(project, reference)
    top = lineage_of(project, tags["model_asset"], tags["partition"] or None, tags["dvc_md5"])
    return LineageNode(f"{name} version {number}", None, tags["dvc_md5"], made_from=[top])


def lineage_of(project: Project, asset: str, partition: str | None, version: str) -> LineageNode:
    while True:
        missing: set[Key] = set()
        tree = _node(project, asset, partition, version, set(), missing)
        if not missing or not restore_runs(project.root, missing):
            break
    if missing:
        _LOG.warning(
            "MLflow has no run of %s, so what it was made from is unknown; `cortex sync` enters "
            "again what is in the workspace",
            ", ".join(sorted(stage_address(name, part or None) for name, part, _ in missing)),
        )
    return tree


def _node(
    project: Project, name: str, partition: str | None, version: str, visited: set[Key], missing: set[Key]
) -> LineageNode:
    key = (name, partition or "", version)
    run = find_run(project.root, name, partition, version)
    if run is None:
        missing.add(key)
        return LineageNode(name, partition, version)
    run_id, tags = run
    node = LineageNode(name, partition, version, run_id, tags.get("git_commit", ""))
    if key in visited:
        return node
    visited.add(key)
    inputs: list[tuple[str, str | None, str]] = []
    for other in project.graph.wiring(name).assets:
        prefix = f"input.{other.name}/"
        parts = [(other.name, tag.removeprefix(prefix), tags[tag]) for tag in sorted(tags) if tag.startswith(prefix)]
        if not parts and f"input.{other.name}" in tags:
            parts = [(other.name, (partition or "") if other.partitioned else "", tags[f"input.{other.name}"])]
        inputs += [(input_name, part or None, value) for input_name, part, value in parts]
    node.made_from = [_node(project, *each, visited, missing) for each in inputs]
    for tag, value in sorted(tags.items()):
        if pin := project.graph.pins.get(tag.removeprefix("pin.")):
            node.made_from.append(LineageNode(pin.name, partition if pin.partitioned else None, json.loads(value)))
    if "parent" in tags:  # an earlier version of the same model
        node.made_from.append(_node(project, name, partition, tags["parent"], visited, missing))
    return node


_SHORT = 8
"""Characters of a hash that are shown."""


def render(tree: LineageNode, describe: Callable[[LineageNode], str] = lambda _: "") -> str:
    """The tree for people: names, short versions, and what ``describe`` adds."""
    rendered: set[tuple[str, str | None, str]] = set()

    def lines(node: LineageNode, first: str, indent: str) -> Iterator[str]:
        version = _short_version(node.version)
        key = (node.name, node.partition, version)
        label = f"{node.name} of {node.partition}" if node.partition else node.name
        yield first + "  ".join(filter(None, (label, version, "as above" if key in rendered else describe(node))))
        rendered.add(key)
        for child in node.made_from:
            last = child is node.made_from[-1]
            yield from lines(child, indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  "))

    return "\n".join(lines(tree, "", ""))


def _short_version(version: Any) -> str:
    """A hash cut short; of a pin what it names: package and version, a commit, or how many files."""
    if isinstance(version, str):
        return version.removesuffix(".dir")[:_SHORT]
    pins = version if isinstance(version, list) else [version]
    return ", ".join(_pin_words(pin) if isinstance(pin, Mapping) else str(pin) for pin in pins) or "nothing"


def _pin_words(pin: Mapping[str, Any]) -> str:
    if "revision" in pin:
        commits = f" ({pin['commits']:,} commits)" if pin.get("commits") else ""
        return f"{pin.get('git', '')} at {str(pin['revision'])[:_SHORT]}{commits}".strip()
    for name in ("pypi", "npm", "wheel", "directory", "archive"):
        if name in pin:
            return str(pin[name])
    for name in ("version", "sha256", "digest"):
        if isinstance(pin.get(name), str):
            return str(pin[name])[:_SHORT]
    files = pin.get("files")
    return f"{len(files):,} files" if isinstance(files, Mapping | list) else f"{len(pin)} values"
