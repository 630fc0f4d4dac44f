"""Examples that map requirements to structures: packages, modules, APIs, schemas, deployment.

A requirement is the text that people wrote about the structure: its doc comment, summary, manifest
or README. Where there is none, one is generated from the facts and marked ``weak:rule``.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cortex_pipelines.datasets.architecture.settings import ArchitectureExampleSettings

Row = dict[str, Any]
WEAK = "weak:rule"
_SCHEMAS = ("table", "model", "view", "enum")
_OPERATIONS = ("operation", "rpc", "query", "mutation", "subscription", "service", "message")
_BY_NAME = ("operation", "rpc", "query", "mutation", "subscription")  # a verb says what for
_DEPLOYED = ("service", "object", "job", "resource", "module", "builds")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_README = re.compile(r"(?i)^readme(\.(md|markdown|rst|txt))?$")
_README_CHARS = 8000
# Headings, badges, HTML, tables, lists and code are no sentences about the project.
_NOT_PROSE = re.compile(r"^\s*([#=\-*+>|<`~!]|\[!|\.\. |:\w+:|\d+\.|https?://)")


def structures(
    facts: Sequence[Row],
    texts: Mapping[tuple[str, str], str],
    settings: ArchitectureExampleSettings,
) -> Iterator[Row]:
    """Examples with ``prompt``, ``completion``, ``kind``, ``description_source`` and the fact.

    Args:
        facts: Rows of ARCHITECTURE_FACTS, in order of path and line.
        texts: Source and path to the text of each file.
        settings: What is long enough to ask by, and how much is listed.
    """
    about: dict[tuple[str, str], list[Row]] = defaultdict(list)
    inside: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for fact in facts:
        about[fact["source"], fact["path"]].append(fact)
        inside[fact["source"], fact["boundary"] or ""].append(fact)
    readmes = _readmes(texts, settings)
    for fact in facts:
        made = _structure(fact, about, inside, settings)
        if made is None:
            continue
        kind, asked, weak, completion = made
        stated = _cut(fact["description"] or "", settings)
        source = fact["description_source"]
        if len(stated.split()) < settings.min_description_words:
            readme = readmes.get((fact["source"], fact["object"]), "") * (kind == "boundary")
            stated, source = (readme, "readme") if readme else (weak, WEAK)
        if stated:
            yield {
                "fact": fact,
                "kind": kind,
                "origin": "original",
                "prompt": f"{stated}\n{asked}",
                "completion": completion,
                "rule": None,
                "explanation": "",
                "description_source": source,
                "target": completion,
            }


def _structure(
    fact: Row,
    about: Mapping[tuple[str, str], Sequence[Row]],
    inside: Mapping[tuple[str, str], Sequence[Row]],
    settings: ArchitectureExampleSettings,
) -> tuple[str, str, str, str] | None:
    """Kind, question, rule-based description (may be empty) and answer."""
    kind, relation = fact["fact"], fact["relation"]
    place = f"{fact['technology']}, {fact['path']}"
    beside = about[fact["source"], fact["path"]]
    if kind == "route":
        line = f"{fact['subject']} -> {fact['object']}"
        return "api", f"Route ({place}):", _words(fact["object"]), f"{line}\n{fact['evidence']}"
    if kind == "api" and relation in _OPERATIONS:
        weak = _words(fact["subject"]) if relation in _BY_NAME else ""
        return "api", f"API ({place}):", weak, fact["evidence"]
    if kind == "schema" and relation in _SCHEMAS:
        columns = _columns(fact, beside, settings)
        weak = f"A {relation} {fact['object']} with {columns}" if columns else ""
        return "schema", f"Schema ({place}):", weak, fact["evidence"]
    if kind == "deployment" and relation in _DEPLOYED:
        return "deployment", f"Deployment ({place}):", _deployed(fact, beside), fact["evidence"]
    if kind == "service" and fact["technology"] != "dockerfile":
        return "boundary", f"Package ({place}):", "", _boundary(fact, inside, settings)
    if kind == "module" and fact["description"]:
        return "module", f"Module ({place}):", "", _module(fact, beside, settings)
    return None


def _columns(fact: Row, beside: Sequence[Row], settings: ArchitectureExampleSettings) -> str:
    inside = [
        row["object"].split(" ")[0]
        for row in beside
        if row["relation"] == "column" and _covers(fact, row) and row["subject"] == fact["subject"]
    ]
    return _listed(inside, settings)


def _deployed(fact: Row, beside: Sequence[Row]) -> str:
    """Describe a deployed component in a sentence from its facts."""
    whole = fact["relation"] == "builds"
    objects: dict[str, list[str]] = defaultdict(list)
    for row in beside:
        mine = whole or (row["subject"] == fact["subject"] and _covers(fact, row))
        if row["fact"] == "deployment" and row is not fact and mine:
            objects[row["relation"]].append(row["object"])
    parts = [
        f"{words} {', '.join(dict.fromkeys(objects[relation]))}"
        for relation, words in (
            ("image", "from"), ("runs-on", "on"), ("port", "with port"), ("command", "running"),
            ("depends-on", "after"), ("needs", "after"), ("uses", "using"),
        )
        if objects[relation]
    ]  # fmt: skip
    return f"{fact['subject']} {'; '.join(parts)[:300]}" if parts else ""


def _boundary(
    fact: Row,
    inside: Mapping[tuple[str, str], Sequence[Row]],
    settings: ArchitectureExampleSettings,
) -> str:
    """Outline of a package: folder, parts, internal and external dependencies."""
    mine = inside.get((fact["source"], fact["subject"]), ())
    root = fact["object"]
    parts = [
        inner.split("/")[0]
        for row in mine
        if row["fact"] == "module"
        for inner in [row["path"][len(root) + 1 if root else 0 :]]
    ]
    needs = {
        scope: [
            row["object"]
            for row in mine
            if row["fact"] == "service-dependency" and row["scope"] == scope
        ]
        for scope in ("internal", "external")
    }
    return "\n".join(
        [
            f"package {fact['subject']} ({fact['technology']}) in {root or '.'}",
            f"parts: {_listed(parts, settings)}",
            f"inside: {_listed(needs['internal'], settings)}",
            f"needs: {_listed(needs['external'], settings)}",
        ]
    )


def _module(fact: Row, beside: Sequence[Row], settings: ArchitectureExampleSettings) -> str:
    """Outline of a file: declarations and imports."""
    imports = [row for row in beside if row["fact"] == "module-dependency"]
    lines = [f"declares: {_listed(fact['object'].split(', '), settings)}"]
    for scope in ("internal", "external", "standard"):
        names = [row["object"] for row in imports if row["scope"] == scope]
        lines.append(f"{scope}: {_listed(names, settings)}")
    return "\n".join(lines)


def _readmes(
    texts: Mapping[tuple[str, str], str], settings: ArchitectureExampleSettings
) -> dict[tuple[str, str], str]:
    """First prose paragraph of each folder's README."""
    readmes: dict[tuple[str, str], str] = {}
    for (source, path), text in texts.items():
        folder, _, name = path.rpartition("/")
        if _README.match(name):
            paragraphs = re.split(r"\n\s*\n", text[:_README_CHARS])
            prose = [p for p in paragraphs if not _NOT_PROSE.match(p) and len(p.split()) > 4
                     and not p.rstrip().endswith(":")]  # fmt: skip
            if prose:
                readmes.setdefault((source, folder), _cut(" ".join(prose[0].split()), settings))
    return readmes


def _covers(outer: Row, inner: Row) -> bool:
    return bool(outer["start_line"] <= inner["start_line"] <= outer["end_line"])


def _words(name: str) -> str:
    """A name as words; empty for fewer than two."""
    words = [word.lower() for word in _WORD.findall(name.rsplit(".", 1)[-1].rsplit("::", 1)[-1])]
    return " ".join(words).capitalize() if len(words) > 1 else ""


def _listed(names: Sequence[str], settings: ArchitectureExampleSettings) -> str:
    distinct = [name for name in dict.fromkeys(names) if name]
    more = len(distinct) - settings.max_listed
    shown = ", ".join(distinct[: settings.max_listed])
    return shown + (f" and {more} more" if more > 0 else "") or "nothing"


def _cut(text: str, settings: ArchitectureExampleSettings) -> str:
    most = settings.max_description_chars
    if len(text) <= most:
        return text
    short = text[:most]
    end = max(short.rfind(". ") + 1, 0) or short.rfind(" ")
    return short[:end].rstrip() if end > 0 else short
