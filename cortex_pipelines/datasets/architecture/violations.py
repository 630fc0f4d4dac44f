"""Imports to judge by the learnt rules: allowed, against a rule, or put in on purpose."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from posixpath import dirname, relpath
from typing import Any

from cortex_pipelines.datasets.architecture.rules import Edge, Parts, Rule, parts_of
from cortex_pipelines.datasets.architecture.settings import ArchitectureExampleSettings

Row = dict[str, Any]
_QUOTED = re.compile(r"(['\"])(\.[^'\"\n]*)\1")
_ENDING = re.compile(r"(/index)?\.(d\.ts|[cm]?[jt]sx?)$")


@dataclass(frozen=True)
class Imports:
    """What the facts say about the imports inside of sources.

    Args:
        edges: Each import once.
        facts: Fact of an import by its id.
        of_file: Source and path to the facts of all imports of the file, in order of lines.
    """

    edges: tuple[Edge, ...]
    facts: Mapping[str, Row]
    of_file: Mapping[tuple[str, str], Sequence[Row]]


def imports_of(facts: Sequence[Row]) -> Imports:
    """The imports among facts.

    Args:
        facts: Rows of ARCHITECTURE_FACTS, in order of path and line.
    """
    stated = [row for row in facts if row["fact"] == "module-dependency"]
    of_file: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in stated:
        of_file[row["source"], row["path"]].append(row)
    first: dict[tuple[str, str, str], Row] = {}
    for row in stated:
        if row["scope"] == "internal":
            first.setdefault((row["source"], row["path"], row["object"]), row)
    edges = tuple(Edge(*key, row["fact_id"]) for key, row in first.items())
    return Imports(edges, {row["fact_id"]: row for row in first.values()}, of_file)


def judged_imports(
    imports: Imports, rules: Sequence[Rule], settings: ArchitectureExampleSettings, seed: int
) -> Iterator[Row]:
    """Examples: ``prompt``, ``completion``, ``rule``, ``explanation``, ``origin`` and the fact.

    Args:
        imports: Imports of the project.
        rules: Rules that they keep.
        settings: Most examples a rule.
        seed: Of the choice.
    """
    by_parts: dict[Parts, list[Edge]] = defaultdict(list)
    for edge in imports.edges:
        parts = parts_of(edge)
        if parts is not None:
            by_parts[parts].append(edge)
    for rule in rules:
        chosen = _few(by_parts.get(rule.parts, ()), rule, settings, seed)
        for edge in chosen:
            fact = imports.facts[edge.fact_id]
            yield _example(fact, fact["evidence"], rule, imports, allowed=True, origin="original")
        for edge in by_parts.get(rule.parts.turned, ()):
            fact = imports.facts[edge.fact_id]
            yield _example(fact, fact["evidence"], rule, imports, allowed=False, origin="original")
        yield from _injected(rule, by_parts, imports, settings, seed)


def _injected(
    rule: Rule,
    by_parts: Mapping[Parts, Sequence[Edge]],
    imports: Imports,
    settings: ArchitectureExampleSettings,
    seed: int,
) -> Iterator[Row]:
    """Real files of the lower part with an import of the upper part that they do not have."""
    upper = [
        edge
        for parts, edges in by_parts.items()
        if (parts.source, parts.folder) == (rule.parts.source, rule.parts.folder)
        and parts.imported == rule.parts.importer
        for edge in edges
    ] + _inside(rule, imports)
    importers = sorted(
        {(source, path) for source, path in imports.of_file if _belongs(source, path, rule)}
    )
    made = 0
    for source, path in _shuffled(importers, rule, seed):
        if made >= settings.max_per_rule or not upper:
            return
        own = {row["object"] for row in imports.of_file[source, path]}
        for edge in _shuffled(upper, rule, seed, path)[:8]:
            text = _written(imports.facts[edge.fact_id], path)
            same = imports.of_file[source, path][0]["language"] == imports.facts[edge.fact_id][
                "language"
            ]  # fmt: skip
            if text and same and edge.target not in own:
                fact = imports.of_file[source, path][0]
                yield _example(fact, text, rule, imports, allowed=False, origin="injected")
                made += 1
                break


def _inside(rule: Rule, imports: Imports) -> list[Edge]:
    """Imports between files of the upper part: they too say how one of its files is imported."""
    inside = f"{rule.parts.folder}/{rule.parts.importer}/".lstrip("/")
    return [
        edge
        for edge in imports.edges
        if edge.source == rule.parts.source
        and edge.path.startswith(inside)
        and edge.target.startswith(inside)
    ]


def _belongs(source: str, path: str, rule: Rule) -> bool:
    """Whether a file is of the rule's lower part."""
    inside = f"{rule.parts.folder}/{rule.parts.imported}".lstrip("/")
    own = path.startswith(inside + "/") or path.rsplit(".", 1)[0] == inside
    return source == rule.parts.source and own


def _written(fact: Row, path: str) -> str | None:
    """An import as it would stand in another file; None if that cannot be told."""
    text: str = fact["evidence"].strip()
    if "\n" in text or len(text) > 300:
        return None
    if fact["language"] in ("javascript", "typescript"):
        target = _ENDING.sub("", relpath(fact["object"], dirname(path) or "."))
        module = target if target.startswith(".") else f"./{target}"
        return _QUOTED.sub(lambda match: f"{match[1]}{module}{match[1]}", text)
    relative = ("from .", "use super::", "use self::", "mod ", "pub mod ", "import .")
    return None if text.startswith(relative) else text


def _example(
    fact: Row, statement: str, rule: Rule, imports: Imports, *, allowed: bool, origin: str
) -> Row:
    parts = rule.parts if allowed else rule.parts.turned
    others = [
        row["evidence"].strip()
        for row in imports.of_file[fact["source"], fact["path"]]
        if row["evidence"].strip() != statement.strip() and "\n" not in row["evidence"].strip()
    ]
    # what is judged is not counted among what it is judged by
    with_rule = rule.edges - (allowed and origin == "original")
    against = rule.against - (not allowed and origin == "original")
    upper, lower = rule.parts.importer, rule.parts.imported
    seen = f"{upper} imports {lower} {with_rule} times, {lower} imports {upper} {against} times"
    where = f" in {rule.parts.folder}" if rule.parts.folder else ""
    prompt = "\n".join(
        [
            f"File: {fact['path']}",
            *dict.fromkeys(others[:8]),
            f"New import: {statement.strip()}",
            f"So far{where}: {seen}.",
            f"May {parts.importer} import {parts.imported}?",
        ]
    )
    how = "by the order of the other parts" if rule.learnt == "order" else f"as {seen}"
    told = (
        f"{upper} may import {lower}, {how}"
        if allowed
        else f"{rule.text}, {how}; the import turns the direction round"
    )
    return {
        "fact": fact,
        "kind": "violation",
        "origin": origin,
        "prompt": prompt,
        "completion": f"{'allowed' if allowed else 'violation'}: {told}.",
        "rule": rule.text,
        "explanation": f"{told}.",
        "description_source": "weak:rule",
        "target": "\n".join([fact["path"], statement.strip(), *others[:8]]),
    }


def _few(
    edges: Sequence[Edge], rule: Rule, settings: ArchitectureExampleSettings, seed: int
) -> list[Edge]:
    return _shuffled(edges, rule, seed)[: settings.max_per_rule]


def _shuffled(items: Sequence[Any], rule: Rule, seed: int, salt: str = "") -> list[Any]:
    """The items in the order of the hashes of what they are."""

    def key(item: Any) -> str:
        told = f"{seed}:{rule.rule_id}:{salt}:{item}"
        return hashlib.sha256(told.encode()).hexdigest()

    return sorted(items, key=key)
