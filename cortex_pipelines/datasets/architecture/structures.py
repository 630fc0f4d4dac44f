"""Examples that map requirements to structures: packages, modules, APIs, schemas, deployment.

A requirement is the text that people wrote about the structure: its doc comment, summary, manifest or README. If
missing, it is generated from the facts and marked ``weak:rule``.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cortex_pipelines.datasets.settings import ArchitectureExampleSettings

Row = dict[str, Any]
WEAK = "weak:rule"
_SCHEMAS = ("table", "model", "view", "enum")
_OPERATIONS = ("operation", "rpc", "query", "mutation", "subscription", "service", "message")
_BY_NAME = ("operation", "rpc", "query", "mutation", "subscription")  # a verb says what for
_DEPLOYED = ("service", "object", "job", "resource", "module", "builds")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_README = re.compile(r"(?i)^readme(\.(md|markdown|rst|txt))?$")
_README_CHARS = 8000
# Headings, badges, HTML, tables, lists and code are not prose about the project.
_NOT_PROSE = re.compile(r"^\s*([#=\-*+>|<`~!]|\[!|\.\. |:\w+:|\d+\.|https?://)")


def structure_examples(
    facts: Sequence[Row], texts: Mapping[tuple[str, str], str], settings: ArchitectureExampleSettings
) -> Iterator[Row]:
    """Examples with ``prompt``, ``completion``, ``kind``, ``description_source`` and the fact.

    ``facts``: rows of ARCHITECTURE_FACTS, in order of path and line.
    """
    facts_by_file: dict[tuple[str, str], list[Row]] = defaultdict(list)
    facts_by_boundary: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for fact in facts:
        facts_by_file[fact["source"], fact["path"]].append(fact)
        facts_by_boundary[fact["source"], fact["boundary"] or ""].append(fact)
    readmes = _readmes(texts, settings)
    for fact in facts:
        structure = _structure(fact, facts_by_file, facts_by_boundary, settings)
        if structure is None:
            continue
        kind, question, weak, completion = structure
        description = _truncate(fact["description"] or "", settings)
        source = fact["description_source"]
        if len(description.split()) < settings.min_description_words:
            readme = readmes.get((fact["source"], fact["object"]), "") * (kind == "boundary")
            description, source = (readme, "readme") if readme else (weak, WEAK)
        if description:
            yield {
                "fact": fact,
                "kind": kind,
                "origin": "original",
                "prompt": f"{description}\n{question}",
                "completion": completion,
                "rule": None,
                "explanation": "",
                "description_source": source,
                "target": completion,
            }


def _structure(
    fact: Row,
    facts_by_file: Mapping[tuple[str, str], Sequence[Row]],
    facts_by_boundary: Mapping[tuple[str, str], Sequence[Row]],
    settings: ArchitectureExampleSettings,
) -> tuple[str, str, str, str] | None:
    """Kind, question, rule-based description (may be empty) and answer."""
    kind, relation = fact["fact"], fact["relation"]
    location = f"{fact['technology']}, {fact['path']}"
    file_facts = facts_by_file[fact["source"], fact["path"]]
    if kind == "route":
        line = f"{fact['subject']} -> {fact['object']}"
        return ("api", f"Route ({location}):", _name_as_words(fact["object"]), f"{line}\n{fact['evidence']}")
    if kind == "api" and relation in _OPERATIONS:
        weak = _name_as_words(fact["subject"]) if relation in _BY_NAME else ""
        return "api", f"API ({location}):", weak, fact["evidence"]
    if kind == "schema" and relation in _SCHEMAS:
        columns = _columns(fact, file_facts, settings)
        weak = f"A {relation} {fact['object']} with {columns}" if columns else ""
        return "schema", f"Schema ({location}):", weak, fact["evidence"]
    if kind == "deployment" and relation in _DEPLOYED:
        return ("deployment", f"Deployment ({location}):", _deployed(fact, file_facts), fact["evidence"])
    if kind == "service" and fact["technology"] != "dockerfile":
        return ("boundary", f"Package ({location}):", "", _boundary(fact, facts_by_boundary, settings))
    if kind == "module" and fact["description"]:
        return "module", f"Module ({location}):", "", _module(fact, file_facts, settings)
    return None


def _columns(fact: Row, file_facts: Sequence[Row], settings: ArchitectureExampleSettings) -> str:
    columns = [
        row["object"].split(" ")[0]
        for row in file_facts
        if row["relation"] == "column" and _covers(fact, row) and row["subject"] == fact["subject"]
    ]
    return _name_list(columns, settings)


def _deployed(fact: Row, file_facts: Sequence[Row]) -> str:
    is_build = fact["relation"] == "builds"
    objects: dict[str, list[str]] = defaultdict(list)
    for row in file_facts:
        belongs = is_build or (row["subject"] == fact["subject"] and _covers(fact, row))
        if row["fact"] == "deployment" and row is not fact and belongs:
            objects[row["relation"]].append(row["object"])
    phrases = [
        f"{words} {', '.join(dict.fromkeys(objects[relation]))}"
        for relation, words in (
            ("image", "from"), ("runs-on", "on"), ("port", "with port"), ("command", "running"),
            ("depends-on", "after"), ("needs", "after"), ("uses", "using"),
        )
        if objects[relation]
    ]  # fmt: skip
    return f"{fact['subject']} {'; '.join(phrases)[:300]}" if phrases else ""


def _boundary(
    fact: Row, facts_by_boundary: Mapping[tuple[str, str], Sequence[Row]], settings: ArchitectureExampleSettings
) -> str:
    """Outline of a package: folder, parts, internal and external dependencies."""
    boundary_facts = facts_by_boundary.get((fact["source"], fact["subject"]), ())
    root = fact["object"]
    parts = [
        inner.split("/")[0]
        for row in boundary_facts
        if row["fact"] == "module"
        for inner in [row["path"][len(root) + 1 if root else 0 :]]
    ]
    dependencies = {
        scope: [
            row["object"] for row in boundary_facts if row["fact"] == "service-dependency" and row["scope"] == scope
        ]
        for scope in ("internal", "external")
    }
    return "\n".join(
        [
            f"package {fact['subject']} ({fact['technology']}) in {root or '.'}",
            f"parts: {_name_list(parts, settings)}",
            f"inside: {_name_list(dependencies['internal'], settings)}",
            f"needs: {_name_list(dependencies['external'], settings)}",
        ]
    )


def _module(fact: Row, file_facts: Sequence[Row], settings: ArchitectureExampleSettings) -> str:
    imports = [row for row in file_facts if row["fact"] == "module-dependency"]
    lines = [f"declares: {_name_list(fact['object'].split(', '), settings)}"]
    for scope in ("internal", "external", "standard"):
        names = [row["object"] for row in imports if row["scope"] == scope]
        lines.append(f"{scope}: {_name_list(names, settings)}")
    return "\n".join(lines)


def _readmes(texts: Mapping[tuple[str, str], str], settings: ArchitectureExampleSettings) -> dict[tuple[str, str], str]:
    readmes: dict[tuple[str, str], str] = {}
    for (source, path), text in texts.items():
        folder, _, name = path.rpartition("/")
        if _README.match(name):
            paragraphs = re.split(r"\n\s*\n", text[:_README_CHARS])
            prose = [p for p in paragraphs if not _NOT_PROSE.match(p) and len(p.split()) > 4
                     and not p.rstrip().endswith(":")]  # fmt: skip
            if prose:
                readmes.setdefault((source, folder), _truncate(" ".join(prose[0].split()), settings))
    return readmes


def _covers(outer: Row, inner: Row) -> bool:
    return bool(outer["start_line"] <= inner["start_line"] <= outer["end_line"])


def _name_as_words(name: str) -> str:
    words = [word.lower() for word in _WORD.findall(name.rsplit(".", 1)[-1].rsplit("::", 1)[-1])]
    return " ".join(words).capitalize() if len(words) > 1 else ""


def _name_list(names: Sequence[str], settings: ArchitectureExampleSettings) -> str:
    distinct = [name for name in dict.fromkeys(names) if name]
    more = len(distinct) - settings.max_listed
    listing = ", ".join(distinct[: settings.max_listed])
    return listing + (f" and {more} more" if more > 0 else "") or "nothing"


def _truncate(text: str, settings: ArchitectureExampleSettings) -> str:
    limit = settings.max_description_chars
    if len(text) <= limit:
        return text
    prefix = text[:limit]
    end = max(prefix.rfind(". ") + 1, 0) or prefix.rfind(" ")
    return prefix[:end].rstrip() if end > 0 else prefix
