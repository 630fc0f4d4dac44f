"""Build the architecture facts of a project from its files and units."""

import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from cortex_pipelines.extraction.architecture.collect import collect_facts
from cortex_pipelines.extraction.architecture.facts import CONFIG, IMPORT, MOUNT, NAME, SKIPPED_FILE, normalise_path
from cortex_pipelines.extraction.architecture.mounts import Mounts
from cortex_pipelines.extraction.architecture.resolvers import ImportResolver
from cortex_pipelines.extraction.architecture.resolvers.index import (
    EXTERNAL,
    INTERNAL,
    ImportTarget,
    SourceIndex,
    SourcePackage,
    parsed_detail,
)
from cortex_pipelines.extraction.architecture.settings import ArchitectureSettings
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.extraction import ARCHITECTURE_FACTS

_DECLARED = ("function", "class", "struct", "trait", "interface", "enum")
_MAX_DECLARED = 40
UNIT_COLUMNS = (*("path", "kind", "name", "qualified_name", "start_line", "docstring"), *("start_byte", "end_byte"))
"""Columns of CODE_UNITS that the documentation is read from."""


class UnitDocstrings:
    def __init__(self, units: pl.DataFrame) -> None:
        self._documented: dict[tuple[str, str], tuple[int, str]] = {}
        self._declared: dict[str, dict[str, None]] = {}
        ordered_units = units.sort("path", "start_byte", "end_byte", descending=[False, False, True])
        for path, kind, name, qualified, line, docstring, *_ in ordered_units.select(UNIT_COLUMNS).iter_rows():
            if docstring and kind != "import":
                self._documented.setdefault((path, qualified), (line, docstring))
                self._documented.setdefault((path, name), (line, docstring))
            if kind in _DECLARED and name == qualified:
                self._declared.setdefault(path, {}).setdefault(name)

    def declared(self, path: str) -> list[str]:
        """Top-level functions and types of a file that are not private by name, in order."""
        names = [name for name in self._declared.get(path, ()) if not name.startswith("_")]
        return names[:_MAX_DECLARED]

    def docstring_at(self, path: str, subject: str, line: int) -> str | None:
        documented = self._documented.get((path, subject))
        return documented[1] if documented and documented[0] == line else None

    def handler_docstring(self, path: str, handler: str, imports: Mapping[str, list[ImportTarget]]) -> str | None:
        """Documentation of a handler: in its file, or where an import finds it."""
        local = self._documented.get((path, handler))
        if local:
            return local[1]
        words = handler.replace("::", ".").split(".")
        for target in imports.get(path, ()):
            if target.scope == INTERNAL and target.local == words[0]:
                name = words[-1] if len(words) > 1 else target.name or target.local
                documented = self._documented.get((target.object, name))
                return documented[1] if documented else None
        return None


FILE_COLUMNS = ("source", "path", "language", "generated", "text")
"""Columns of REPOSITORY_FILES that facts are read from."""

Row = dict[str, Any]
_LOG = logging.getLogger(__name__)
_TAG = re.compile(r"(?:^|\s)[@\\:](?=[a-z]+\b)")  # @param, \\brief, :param


def architecture_facts(
    files: pl.DataFrame,
    units: pl.DataFrame,
    settings: ArchitectureSettings,
    parsing: ExtractionSettings,
    cache: RowCache | None = None,
    project: str = "",
) -> pl.DataFrame:
    """Imports, routes, APIs, schemas, deployment and services of a project: rows of ``ARCHITECTURE_FACTS``."""
    file_facts = collect_facts(files, settings, parsing, cache, project)
    by_source: dict[str, list[Row]] = defaultdict(list)
    for row in file_facts.iter_rows(named=True):
        by_source[row["source"]].append(row)
        if row["fact"] == SKIPPED_FILE:
            location = f"{row['path']} of {row['source']}"
            _LOG.warning("%s: skipped, no architecture facts: %s", location, row["object"])
    rows: list[Row] = []
    for (source,), source_files in files.sort("source", "path").group_by("source", maintain_order=True):
        notes = UnitDocstrings(units.filter(pl.col("source") == source))
        resolved = _resolve_source(by_source[str(source)], source_files, notes)
        texts = dict(source_files.select("path", "text").iter_rows())
        rows += _identified(resolved, texts, str(source), settings)
    return ARCHITECTURE_FACTS.frame(rows)


def _resolve_source(rows: list[Row], files: pl.DataFrame, notes: UnitDocstrings) -> list[Row]:
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        kinds[row["fact"]].append(row)
    languages = dict(files.select("path", "language").iter_rows())
    kinds["service"] = _services(kinds["service"])
    index = _index(kinds, frozenset(languages))
    resolver = ImportResolver(index, languages)
    imports = {
        (row["path"], number): resolver.targets(row["path"], row["object"], dict(detail))
        for number, row in enumerate(kinds[IMPORT])
        for detail in [parsed_detail(row["detail"])]
    }
    by_path: dict[str, list[ImportTarget]] = defaultdict(list)
    for (path, _), targets in imports.items():
        by_path[path] += targets
    mounts = Mounts(kinds["route"] + kinds[MOUNT], by_path, resolver)
    facts = [
        *({**row, "subject": row["path"], "object": ", ".join(notes.declared(row["path"]))} for row in kinds["module"]),
        *_imports(kinds[IMPORT], imports),
        *_crossings(kinds[IMPORT], imports, index),
        *(
            route
            for row in _with_frameworks(kinds["route"], kinds[MOUNT], languages)
            for route in _routes(row, mounts, notes, by_path)
        ),
        *_needs(kinds["service-dependency"], index),
    ]
    rewritten_kinds = {"module", "route", "service-dependency", IMPORT, MOUNT, NAME, CONFIG, SKIPPED_FILE}
    facts += [row for kind in sorted(kinds.keys() - rewritten_kinds) for row in kinds[kind]]
    for row in facts:
        if row["description"] is None:
            # a model describes its table, and is documented under its own name
            names = (row["subject"], row["object"])
            row["description"] = next(
                filter(None, (notes.docstring_at(row["path"], n, row["start_line"]) for n in names)), None
            )
            row["description_source"] = "docstring" if row["description"] else None
        package = index.package_of(row["path"])
        row["boundary"] = package.name if package else None
        row["language"] = languages[row["path"]]
    return facts


def _services(rows: list[Row]) -> list[Row]:
    """One package per folder and format; a manifest replaces a guess."""
    services: dict[tuple[str, str], Row] = {}
    declared = {row["object"] for row in rows if not parsed_detail(row["detail"]).get("guessed")}
    for row in rows:
        if not parsed_detail(row["detail"]).get("guessed") or row["object"] not in declared:
            services.setdefault((row["object"], row["technology"]), row)
    return list(services.values())


def _index(kinds: Mapping[str, list[Row]], paths: frozenset[str]) -> SourceIndex:
    needs: dict[str, list[str]] = defaultdict(list)
    for row in kinds["service-dependency"]:
        needs[row["path"]].append(row["object"])
    packages = [
        SourcePackage(
            row["subject"], row["object"], row["technology"],
            {**parsed_detail(row["detail"]), "needs": needs[row["path"]]},
        )
        for row in kinds["service"]
        if row["relation"] == "rooted-at"
    ]  # fmt: skip
    aliases: dict[str, Mapping[str, Any]] = {}
    for row in kinds[CONFIG]:
        aliases.setdefault(row["subject"], parsed_detail(row["detail"]))
    names = {row["path"]: row["object"] for row in kinds[NAME]}
    return SourceIndex(paths, packages, aliases, names)


def _imports(rows: list[Row], imports: Mapping[tuple[str, int], list[ImportTarget]]) -> Iterator[Row]:
    for number, row in enumerate(rows):
        unique_targets = dict.fromkeys((t.object, t.scope) for t in imports[row["path"], number])
        for target, scope in unique_targets:
            if target != row["path"]:
                yield {**row, "fact": "module-dependency", "subject": row["path"],
                       "object": target, "scope": scope}  # fmt: skip


def _crossings(
    rows: list[Row], imports: Mapping[tuple[str, int], list[ImportTarget]], index: SourceIndex
) -> Iterator[Row]:
    crossed = set()
    for number, row in enumerate(rows):
        importer = index.package_of(row["path"])
        for target in imports[row["path"], number]:
            if target.scope != INTERNAL or importer is None:
                continue
            is_folder = target.object in index.folders
            imported = index.package_of(f"{target.object}/x" if is_folder else target.object)
            if imported is None or importer.root == imported.root:
                continue
            if (row["path"], imported.root) not in crossed:
                crossed.add((row["path"], imported.root))
                yield {**row, "fact": "service-dependency", "subject": importer.name,
                       "object": imported.name, "scope": INTERNAL}  # fmt: skip


def _needs(rows: list[Row], index: SourceIndex) -> Iterator[Row]:
    names = {package.name for package in index.packages}
    for row in rows:
        importer = index.package_of(row["path"])
        subject = row["subject"] or (importer.name if importer else row["path"].rpartition("/")[0] or ".")
        scope = INTERNAL if row["object"] in names else EXTERNAL
        yield {**row, "subject": subject, "scope": scope}


def _with_frameworks(routes: list[Row], mounts: list[Row], languages: Mapping[str, str | None]) -> Iterator[Row]:
    """Give routes of unknown framework the only framework of their language in the source."""
    frameworks: dict[str | None, set[str]] = defaultdict(set)
    for row in (*routes, *mounts):
        if row["technology"]:
            frameworks[languages[row["path"]]].add(row["technology"])
    for row in routes:
        candidates = frameworks[languages[row["path"]]]
        yield {**row, "technology": row["technology"] or (min(candidates) if len(candidates) == 1 else None)}


def _routes(
    row: Row, mounts: Mounts, notes: UnitDocstrings, imports: Mapping[str, list[ImportTarget]]
) -> Iterator[Row]:
    detail = parsed_detail(row["detail"])
    description = row["description"] or notes.handler_docstring(row["path"], row["object"], imports)
    source = row["description_source"] or ("docstring" if description else None)
    for prefix in mounts.prefixes(row["path"], detail["router"]):
        path = normalise_path(f"{prefix}/{detail['path']}" if detail["path"] else prefix)
        yield {**row, "subject": f"{detail['method']} {path}", "description": description,
               "description_source": source}  # fmt: skip


def _identified(
    rows: list[Row], texts: Mapping[str, str], source: str, settings: ArchitectureSettings
) -> Iterator[Row]:
    lines: dict[str, list[str]] = {}
    fact_ids = set()
    max_chars, names = settings.max_evidence_chars, list(ARCHITECTURE_FACTS.schema)
    for row in sorted(rows, key=lambda row: row["path"]):
        path = row["path"]
        if path not in lines:
            lines = {path: texts[path].split("\n")}
        row = {"scope": None, **row, "source": source}
        description = row["description"]
        row["description"] = _summary(description)[:max_chars] or None
        row["description_source"] = row["description_source"] if row["description"] else None
        parts = [row[name] for name in _IDENTITY]
        identity = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=16).hexdigest()
        if identity not in fact_ids:
            fact_ids.add(identity)
            evidence = "\n".join(lines[path][row["start_line"] - 1 : row["end_line"]])[:max_chars]
            row |= {"fact_id": identity, "evidence": evidence}
            yield {name: row[name] for name in names}


def _summary(doc: str | None) -> str:
    words = _TAG.split(doc or "", maxsplit=1)[0].split()
    return " ".join(words) if sum(word[:1].isalpha() for word in words) > 1 else ""


_IDENTITY = ("source", "path", "start_line", "end_line", "fact", "subject", "relation", "object")
