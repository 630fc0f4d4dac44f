"""Lineage of a registered model back to the commits of its sources."""

import json
import logging
from dataclasses import dataclass, field
from typing import Any

from cortex_pipelines.tracking.experiments import find_run, restore_runs
from cortex_pipelines.tracking.recorded_versions import Key
from cortex_pipelines.tracking.registry import resolve
from cortex_pipelines.versioning.graph import Graph
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
        return {
            "name": self.name,
            "partition": self.partition,
            "version": self.version,
            "run_id": self.run_id,
            "git_commit": self.git_commit,
            "made_from": [node.to_json() for node in self.made_from],
        }


def lineage(project: Project, reference: str) -> LineageNode:
    """Lineage tree from a model version to the pins of its sources. Raises LookupError: the registry has no such
    model, alias or version.
    """
    name, number, tags = resolve(project, reference)
    top = lineage_of(project, tags["model_asset"], tags["partition"] or None, tags["dvc_md5"])
    return LineageNode(f"{name} version {number}", None, tags["dvc_md5"], made_from=[top])


def lineage_of(project: Project, asset: str, partition: str | None, version: str) -> LineageNode:
    while True:
        walk = LineageWalker(project)
        tree = walk.node(asset, partition, version)
        if not restore_runs(project.root, walk.missing):
            break
    if walk.missing:
        _LOG.warning(
            "MLflow has no run of %s, so what it was made from is unknown; `cortex sync` enters "
            "again what is in the workspace",
            ", ".join(sorted(stage_address(name, part or None) for name, part, _ in walk.missing)),
        )
    return tree


class LineageWalker:
    def __init__(self, project: Project) -> None:
        self._project = project
        self._seen: set[tuple[str, str | None, str]] = set()
        self.missing: set[Key] = set()

    def node(self, name: str, partition: str | None, version: str) -> LineageNode:
        run = find_run(self._project.root, name, partition, version)
        if run is None:
            self.missing.add((name, partition or "", version))
            return LineageNode(name, partition, version)
        run_id, tags = run
        node = LineageNode(name, partition, version, run_id, tags.get("git_commit", ""))
        if (name, partition, version) in self._seen:
            return node
        self._seen.add((name, partition, version))
        node.made_from = [*self._inputs(tags, name, partition), *self._pins(tags, partition)]
        if "parent" in tags:  # an earlier version of the same model
            node.made_from.append(self.node(name, partition, tags["parent"]))
        return node

    def _inputs(self, tags: dict[str, str], name: str, partition: str | None) -> list[LineageNode]:
        graph: Graph = self._project.graph
        nodes = []
        for other in graph.wiring(name).assets:
            parts = {
                key.partition("/")[2]: value
                for key, value in sorted(tags.items())
                if key.startswith(f"input.{other.name}/")
            }
            if parts:
                nodes += [self.node(other.name, part, value) for part, value in parts.items()]
            elif f"input.{other.name}" in tags:
                input_partition = partition if other.partitioned else None
                nodes.append(self.node(other.name, input_partition, tags[f"input.{other.name}"]))
        return nodes

    def _pins(self, tags: dict[str, str], partition: str | None) -> list[LineageNode]:
        pins = self._project.graph.pins
        return [
            LineageNode(name, partition if pins[name].partitioned else None, json.loads(value))
            for key, value in sorted(tags.items())
            if (name := key.removeprefix("pin.")) in pins
        ]


def render(node: LineageNode, indent: str = "") -> str:
    label = f"{node.name}[{node.partition}]" if node.partition else node.name
    version = node.version if isinstance(node.version, str) else json.dumps(node.version)
    lines = [f"{indent}{label}  {version}"]
    lines += [render(child, indent + "  ") for child in node.made_from]
    return "\n".join(lines)
