"""Learn a project's dependency rules from its imports: which part may import which.

If imports between two parts of a folder nearly always point in one direction, the lower part must not import the
upper one. The transitive consequence of two rules of a folder is a rule too, unless an import contradicts it.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cortex_pipelines.datasets.architecture.settings import ArchitectureExampleSettings

_MAX_PARTS = 60  # of a folder, for rules by order: they grow with the cube


@dataclass(frozen=True)
class Edge:
    """An import of one file by another in the same source."""

    source: str
    path: str  # file that imports
    target: str  # file or folder that is imported
    fact_id: str


@dataclass(frozen=True, order=True)
class FolderImport:
    """Two parts of a folder; the first imports the second."""

    source: str
    folder: str
    importer: str
    imported: str

    @property
    def inverse(self) -> "FolderImport":
        return FolderImport(self.source, self.folder, self.imported, self.importer)


@dataclass(frozen=True)
class DependencyRule:
    """``upper`` may import ``lower``; the reverse is a violation."""

    parts: FolderImport  # upper and lower part, as an import that is allowed
    edges: int  # imports from upper to lower
    against: int  # imports in the opposite direction
    learnt: str  # `counted`, or `order`

    @property
    def rule_id(self) -> str:
        key = (self.parts.source, self.parts.folder, self.parts.importer, self.parts.imported)
        return hashlib.blake2b("\0".join(key).encode(), digest_size=16).hexdigest()

    @property
    def text(self) -> str:
        prefix = f"in {self.parts.folder}: " if self.parts.folder else ""
        return f"{prefix}{self.parts.imported} must not import {self.parts.importer}"


def folder_import(edge: Edge) -> FolderImport | None:
    """The parts joined by an import, where the two paths diverge; None if they do not."""
    importer_path, imported_path = (edge.path.split("/"), edge.target.split("/") if edge.target else [])
    depth = 0
    while depth < min(len(importer_path), len(imported_path)) and importer_path[depth] == imported_path[depth]:
        depth += 1
    if depth >= len(importer_path) or depth >= len(imported_path):
        return None  # one path contains the other
    folder = "/".join(importer_path[:depth])
    importer, imported = _part_name(importer_path, depth), _part_name(imported_path, depth)
    return FolderImport(edge.source, folder, importer, imported) if importer != imported else None


def learn_rules(edges: Iterable[Edge], settings: ArchitectureExampleSettings) -> list[DependencyRule]:
    """Rules that the imports obey, ordered by source, folder and parts."""
    distinct = {(edge.source, edge.path, edge.target): edge for edge in edges}
    counts = Counter(parts for edge in distinct.values() if (parts := folder_import(edge)) is not None)
    rules = []
    for parts, count in sorted(counts.items()):
        against = counts.get(parts.inverse, 0)
        is_frequent = count >= settings.min_rule_edges
        if is_frequent and count >= settings.rule_agreement * (count + against):
            rules.append(DependencyRule(parts, count, against, "counted"))
    counted_parts = {rule.parts for rule in rules} | {rule.parts.inverse for rule in rules}
    rules += [rule for rule in _transitive_rules(rules, counts) if rule.parts not in counted_parts]
    return sorted(rules, key=lambda rule: rule.parts)


def _part_name(path: Sequence[str], index: int) -> str:
    name = path[index]
    return name.rsplit(".", 1)[0] if index == len(path) - 1 and "." in name[1:] else name


def _transitive_rules(rules: Sequence[DependencyRule], counts: Counter[FolderImport]) -> Iterator[DependencyRule]:
    folders: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for rule in rules:
        parts = rule.parts
        folders[parts.source, parts.folder][parts.importer].add(parts.imported)
    for (source, folder), lower_parts in sorted(folders.items()):
        if len(lower_parts) > _MAX_PARTS:
            continue
        for upper in sorted(lower_parts):
            reachable = _reachable(upper, lower_parts)
            if upper in reachable:
                continue  # a cycle of imports has no order
            for lower in sorted(reachable - lower_parts[upper]):
                parts = FolderImport(source, folder, upper, lower)
                if upper not in _reachable(lower, lower_parts) and not counts.get(parts.inverse):
                    yield DependencyRule(parts, counts.get(parts, 0), 0, "order")


def _reachable(start: str, lower_parts: dict[str, set[str]]) -> set[str]:
    reachable: set[str] = set()
    frontier = sorted(lower_parts.get(start, ()))
    while frontier:
        part = frontier.pop()
        if part not in reachable:
            reachable.add(part)
            frontier += sorted(lower_parts.get(part, set()) - reachable)
    return reachable
