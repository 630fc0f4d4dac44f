"""Learn a project's dependency rules from its imports: which part may import which.

If imports between two parts of a folder nearly always point in one direction, the lower part must not import the
upper one. The transitive consequence of two rules of a folder is a rule too, unless an import contradicts it.

A rule is in one split with all of its examples, as its answer is always the same. A prompt lists which parts of the
folder import which, without the conclusion.
"""

import hashlib
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from posixpath import dirname, relpath
from typing import Any, TypeVar

from cortex_pipelines.augmentation.seeding import draw
from cortex_pipelines.datasets.settings import ArchitectureExampleSettings, DatasetSettings
from cortex_pipelines.extraction.test_cases import is_test

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
        return hashlib.blake2b("\0".join(astuple(self.parts)).encode(), digest_size=16).hexdigest()

    @property
    def text(self) -> str:
        prefix = f"in {self.parts.folder}: " if self.parts.folder else ""
        return f"{prefix}{self.parts.imported} must not import {self.parts.importer}"


def folder_import(edge: Edge) -> FolderImport | None:
    """The parts joined by an import, where the two paths diverge; None if they do not, or for a test of its part."""
    importer_path, imported_path = edge.path.split("/"), edge.target.split("/") if edge.target else []
    depth = 0
    while depth < min(len(importer_path), len(imported_path)) and importer_path[depth] == imported_path[depth]:
        depth += 1
    if depth >= len(importer_path) or depth >= len(imported_path):
        return None  # one path contains the other
    if _is_test_within(edge.path, "/".join(importer_path[: depth + 1])):
        return None
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


def _is_test_within(path: str, part: str) -> bool:
    """Whether a file is a test inside a part of the product: what it imports, the part itself need not."""
    return is_test(path) and not is_test(part) and not is_test(f"{part}/")


def _part_name(path: Sequence[str], index: int) -> str:
    name = path[index]
    return name.rsplit(".", 1)[0] if index == len(path) - 1 and "." in name[1:] else name


def _transitive_rules(rules: Sequence[DependencyRule], counts: Counter[FolderImport]) -> Iterator[DependencyRule]:
    folders: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for rule in rules:
        source, folder, upper, lower = astuple(rule.parts)
        folders[source, folder][upper].add(lower)
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


T = TypeVar("T")
Row = dict[str, Any]
_VISIBILITY = re.compile(r"\Apub(?:\([^)]*\))?\s+")
_QUOTED = re.compile(r"(['\"])(\.[^'\"\n]*)\1")
_ENDING = re.compile(r"(/index)?\.(d\.ts|[cm]?[jt]sx?)$")
_OTHER_IMPORTS = 8  # of the file, in a prompt
_TRIES = 8


@dataclass(frozen=True)
class Imports:
    edges: tuple[Edge, ...]
    facts: Mapping[str, Row]
    # facts of all imports of a file, by source and path, in order of lines
    of_file: Mapping[tuple[str, str], Sequence[Row]]


def collect_imports(facts: Sequence[Row]) -> Imports:
    """Extract the imports from the facts. ``facts``: rows of ARCHITECTURE_FACTS, in order of path and line."""
    import_facts = [row for row in facts if row["fact"] == "module-dependency"]
    of_file: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in import_facts:
        of_file[row["source"], row["path"]].append(row)
    first: dict[tuple[str, str, str], Row] = {}
    for row in import_facts:
        if row["scope"] == "internal":
            first.setdefault((row["source"], row["path"], row["object"]), row)
    edges = tuple(Edge(*key, row["fact_id"]) for key, row in first.items())
    return Imports(edges, {row["fact_id"]: row for row in first.values()}, of_file)


@dataclass(frozen=True)
class RuleSplits:
    rules: Mapping[str, str]
    split_of_file: Callable[[tuple[str, str]], str]  # returns the split of a file, by source and path

    def share_split(self, rule: DependencyRule, source: str, path: str) -> bool:
        """Whether a file can give an example of a rule: both are in the same split."""
        return self.split_of_file((source, path)) == self.rules[rule.rule_id]


def split_rules(rules: Sequence[DependencyRule], settings: DatasetSettings) -> dict[str, str]:
    """Split of each rule by hash; validation and test shares are rounded down.

    A project with few rules keeps all of them in train.
    """
    ids = sorted((rule.rule_id for rule in rules), key=lambda rule_id: draw(settings.seed, "rule", rule_id))
    test = int(len(ids) * settings.test_share)
    validation = test + int(len(ids) * settings.validation_share)
    return {
        rule_id: "test" if position < test else "validation" if position < validation else "train"
        for position, rule_id in enumerate(ids)
    }


def violation_examples(
    imports: Imports,
    rules: Sequence[DependencyRule],
    rule_splits: RuleSplits,
    settings: ArchitectureExampleSettings,
    seed: int,
) -> Iterator[Row]:
    """Examples with ``prompt``, ``completion``, ``rule``, ``explanation``, ``origin`` and the fact."""
    by_parts: dict[FolderImport, list[Edge]] = defaultdict(list)
    for edge in imports.edges:
        parts = folder_import(edge)
        if parts is not None:
            by_parts[parts].append(edge)
    for rule in rules:
        prompt_imports = _prompt_imports(rule, rules, rule_splits, settings, seed)
        if prompt_imports is None:
            continue
        for parts, allowed in ((rule.parts, True), (rule.parts.inverse, False)):
            edges = [e for e in by_parts.get(parts, ()) if rule_splits.share_split(rule, e.source, e.path)]
            for edge in _shuffled(edges, rule, seed)[: settings.max_per_rule if allowed else None]:
                fact = imports.facts[edge.fact_id]
                yield _example(fact, fact["evidence"], rule, imports, prompt_imports, allowed, "original")
        yield from _injected_examples(rule, by_parts, imports, prompt_imports, rule_splits, settings, seed)


PromptImports = tuple[tuple[str, ...], str]
"""Imports of a folder listed in a prompt, and those that lead from the rule's upper part to its lower one."""


def _prompt_imports(
    rule: DependencyRule,
    rules: Sequence[DependencyRule],
    rule_splits: RuleSplits,
    settings: ArchitectureExampleSettings,
    seed: int,
) -> PromptImports | None:
    """Import directions of a folder that establish the rule, among others.

    Imports of other splits than train and its own are hidden; None if that leaves no path from the upper part to the
    lower one.
    """
    visible = ("train", rule_splits.rules[rule.rule_id])
    folder_key = (rule.parts.source, rule.parts.folder)
    pairs = sorted(
        (other.parts.importer, other.parts.imported)
        for other in rules
        if other.learnt == "counted"
        and (other.parts.source, other.parts.folder) == folder_key
        and rule_splits.rules[other.rule_id] in visible
    )
    chain = import_chain(rule.parts.importer, rule.parts.imported, pairs)
    if not chain or len(chain) > settings.max_listed:
        return None
    distractors = [pair for pair in _shuffled(pairs, rule, seed, "listed") if pair not in chain]
    lower_parts: dict[str, list[str]] = defaultdict(list)
    for upper, lower in sorted([*chain, *distractors[: settings.max_listed - len(chain)]]):
        lower_parts[upper].append(lower)
    lines = tuple(f"{upper} imports {', '.join(lowers)}" for upper, lowers in lower_parts.items())
    return lines, chain_text(chain)


def import_chain(start: str, end: str, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Shortest chain of imports from one part to another, ties broken by the order of the pairs; empty if none."""
    lower_parts: dict[str, list[str]] = defaultdict(list)
    for upper, lower in pairs:
        lower_parts[upper].append(lower)
    edge_into: dict[str, tuple[str, str] | None] = {start: None}
    queue = deque([start])
    while queue and end not in edge_into:
        part = queue.popleft()
        for lower in lower_parts[part]:
            if lower not in edge_into:
                edge_into[lower] = (part, lower)
                queue.append(lower)
    chain, step = list[tuple[str, str]](), edge_into.get(end)
    while step is not None:
        chain.append(step)
        step = edge_into[step[0]]
    return chain[::-1]


def chain_text(chain: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{upper} imports {lower}" for upper, lower in chain)


def _injected_examples(
    rule: DependencyRule,
    by_parts: Mapping[FolderImport, Sequence[Edge]],
    imports: Imports,
    prompt_imports: PromptImports,
    rule_splits: RuleSplits,
    settings: ArchitectureExampleSettings,
    seed: int,
) -> Iterator[Row]:
    upper, lower = (f"{rule.parts.folder}/{part}".lstrip("/") for part in (rule.parts.importer, rule.parts.imported))
    upper_imports = [
        edge
        for parts, edges in by_parts.items()
        if (parts.source, parts.folder) == (rule.parts.source, rule.parts.folder)
        and parts.imported == rule.parts.importer
        for edge in edges
    ]
    upper_imports += [
        edge
        for edge in imports.edges
        if edge.source == rule.parts.source
        and edge.path.startswith(f"{upper}/")
        and edge.target.startswith(f"{upper}/")
    ]
    importers = sorted(
        (source, path)
        for source, path in imports.of_file
        if source == rule.parts.source
        and (path.startswith(f"{lower}/") or path.rsplit(".", 1)[0] == lower)
        and not _is_test_within(path, lower)
        and rule_splits.share_split(rule, source, path)
    )
    injected_count = 0
    for source, path in _shuffled(importers, rule, seed):
        if injected_count >= settings.max_per_rule or not upper_imports:
            return
        imported_targets = {row["object"] for row in imports.of_file[source, path]}
        for edge in _shuffled(upper_imports, rule, seed, path)[:_TRIES]:
            text = rewritten_import(imports.facts[edge.fact_id], path)
            fact = imports.of_file[source, path][0]
            same_language = fact["language"] == imports.facts[edge.fact_id]["language"]
            if text and same_language and edge.target not in imported_targets:
                yield _example(fact, text, rule, imports, prompt_imports, False, "injected")
                injected_count += 1
                break


def rewritten_import(fact: Row, path: str) -> str | None:
    """An import statement as written in another file; None if it cannot be derived."""
    text: str = fact["evidence"].strip()
    if "\n" in text or len(text) > 300 or text.startswith("export"):
        return None
    if fact["language"] in ("javascript", "typescript"):
        target = _ENDING.sub("", relpath(fact["object"], dirname(path) or "."))
        module = target if target.startswith(".") else f"./{target}"
        return _QUOTED.sub(lambda match: f"{match[1]}{module}{match[1]}", text)
    relative = ("from .", "use super::", "use self::", "mod ", "import .")
    return None if _VISIBILITY.sub("", text).startswith(relative) else text


def _example(
    fact: Row,
    statement: str,
    rule: DependencyRule,
    imports: Imports,
    prompt_imports: PromptImports,
    allowed: bool,
    origin: str,
) -> Row:
    parts = rule.parts if allowed else rule.parts.inverse
    other_imports = [
        row["evidence"].strip()
        for row in imports.of_file[fact["source"], fact["path"]]
        if row["evidence"].strip() != statement.strip() and "\n" not in row["evidence"].strip()
    ][:_OTHER_IMPORTS]
    location = f" in {rule.parts.folder}" if rule.parts.folder else ""
    listed, chain = prompt_imports
    prompt = "\n".join(
        [
            f"Parts{location}:",
            *listed,
            f"File: {fact['path']}",
            *dict.fromkeys(other_imports),
            f"New import: {statement.strip()}",
            f"May {parts.importer} import {parts.imported}?",
        ]
    )
    explanation = (
        f"{parts.importer} may import {parts.imported}{location}: {chain}"
        if allowed
        else f"{rule.text}: {chain}; the import turns the direction round"
    )
    return {
        "fact": fact,
        "kind": "violation",
        "origin": origin,
        "prompt": prompt,
        "completion": f"{'allowed' if allowed else 'violation'}: {explanation}.",
        "rule": rule.text,
        "explanation": f"{explanation}.",
        "description_source": "weak:rule",
        "target": "\n".join([fact["path"], statement.strip(), *other_imports]),
    }


def _shuffled(items: Sequence[T], rule: DependencyRule, seed: int, salt: str = "") -> list[T]:
    return sorted(items, key=lambda item: draw(seed, rule.rule_id, salt, item))
