"""Build the architecture facts of a project from its files and units."""

import hashlib
import importlib
import logging
import pkgutil
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from itertools import islice
from typing import Any

import polars as pl

from cortex_pipelines.damage import SkipReason, attempt, encodable
from cortex_pipelines.extraction.architecture import readers
from cortex_pipelines.extraction.architecture.facts import CONFIG, GUESSED, IMPORT, MOUNT, NAME, Fact, parsed_detail
from cortex_pipelines.extraction.architecture.index import EXTERNAL, INTERNAL, ImportTarget, SourceIndex, SourcePackage
from cortex_pipelines.extraction.architecture.mounts import Mounts
from cortex_pipelines.extraction.architecture.resolvers import import_targets
from cortex_pipelines.extraction.architecture.sourcefile import READERS, Reader, SourceFile, rows_by_file
from cortex_pipelines.extraction.settings import ArchitectureSettings, ExtractionSettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.extraction import ARCHITECTURE_FACTS

UNIT_COLUMNS = (*("path", "kind", "name", "qualified_name", "start_line", "docstring"), *("start_byte", "end_byte"))
"""Columns of CODE_UNITS that the documentation is read from."""
FILE_COLUMNS = ("source", "path", "language", "generated", "text")
"""Columns of REPOSITORY_FILES that facts are read from."""

_DECLARED = ("function", "class", "struct", "trait", "interface", "enum")
_MAX_DECLARED = 40
_SKIPPED_FILE = "unread"  # the fact that marks a skipped file; its object is the reason
_IDENTITY = ("source", "path", "start_line", "end_line", "fact", "subject", "relation", "object")
_TAG = re.compile(r"(?:^|\s)[@\\:](?=[a-z]+\b)")  # @param, \\brief, :param
_LOG = logging.getLogger(__name__)

Row = dict[str, Any]
Docstrings = dict[tuple[str, str], tuple[int, str]]
"""First line and documentation of units by path and name."""


def architecture_facts(
    files: pl.DataFrame,
    units: pl.DataFrame,
    settings: ArchitectureSettings,
    parsing: ExtractionSettings,
    cache: RowCache | None = None,
    project: str = "",
) -> pl.DataFrame:
    """Imports, routes, APIs, schemas, deployment and services of a project: rows of ``ARCHITECTURE_FACTS``."""
    read = partial(_facts_or_skipped, settings=settings, parsing=parsing)
    schema = pl.Schema({name: ARCHITECTURE_FACTS.schema.get(name, pl.String) for name in Fact._fields})
    file_facts = rows_by_file(files.filter(~pl.col("generated")), schema, read, cache, f"architecture/{project}")
    kinds: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in file_facts.iter_rows(named=True):
        kinds[row["source"]][row["fact"]].append(row)
        if row["fact"] == _SKIPPED_FILE:
            location = f"{row['path']} of {row['source']}"
            _LOG.warning("%s: skipped, no architecture facts: %s", location, row["object"])
    rows: list[Row] = []
    for (source,), source_files in files.sort("source", "path").group_by("source", maintain_order=True):
        languages = dict(source_files.select("path", "language").iter_rows())
        resolved = _resolve_source(kinds[str(source)], languages, units.filter(pl.col("source") == source))
        texts = dict(source_files.select("path", "text").iter_rows())
        rows += _identified(resolved, texts, str(source), settings.max_evidence_chars)
    return ARCHITECTURE_FACTS.frame(rows)


def _facts_or_skipped(
    path: str, language: str | None, text: str, settings: ArchitectureSettings, parsing: ExtractionSettings
) -> list[Fact]:
    facts = attempt(lambda: list(facts_in_file(SourceFile(path, language, text, settings, parsing))))
    if isinstance(facts, SkipReason):
        return [_encodable(Fact(1, 1, _SKIPPED_FILE, path, "set-aside", facts.detail))]
    return facts


def facts_in_file(file: SourceFile) -> Iterator[Fact]:
    if len(file.text) <= file.settings.max_file_bytes:
        facts = (fact for applies_to, reader in _readers() if applies_to(file) for fact in reader(file))
        yield from map(_encodable, islice(facts, file.settings.max_facts_per_file))


def _encodable(fact: Fact) -> Fact:
    """The fact with all text encodable as UTF-8, and no source of no description."""
    fact = Fact._make(encodable(value) if isinstance(value, str) else value for value in fact)
    return fact if fact.description else fact._replace(description=None, description_source=None)


@cache
def _readers() -> tuple[tuple[Callable[[SourceFile], bool], Reader], ...]:
    """What ``readers/`` registers, by name."""
    for module in pkgutil.iter_modules(readers.__path__):
        importlib.import_module(f"{readers.__name__}.{module.name}")
    return tuple(reader for _, reader in sorted(READERS.items()))


def _resolve_source(kinds: dict[str, list[Row]], languages: Mapping[str, str | None], units: pl.DataFrame) -> list[Row]:
    docstrings, declared = _documentation(units)
    kinds["service"] = _services(kinds["service"])
    index = _index(kinds, languages)
    imports = [
        (row, import_targets(index, row["path"], row["object"], parsed_detail(row["detail"]))) for row in kinds[IMPORT]
    ]
    by_path: dict[str, list[ImportTarget]] = defaultdict(list)
    for row, targets in imports:
        by_path[row["path"]] += targets
    facts = [
        {**row, "subject": row["path"], "object": ", ".join(declared.get(row["path"], ()))} for row in kinds["module"]
    ]
    facts += [
        {**row, "fact": "module-dependency", "subject": row["path"], "object": target, "scope": scope}
        for row, targets in imports
        for target, scope in dict.fromkeys((t.object, t.scope) for t in targets)
        if target != row["path"]
    ]
    facts += _crossings(imports, index)
    facts += _routes(kinds, index, docstrings, by_path)
    names = {package.name for package in index.packages}
    for row in kinds["service-dependency"]:
        importer = index.package_of(row["path"])
        subject = row["subject"] or (importer.name if importer else row["path"].rpartition("/")[0] or ".")
        facts.append({**row, "subject": subject, "scope": INTERNAL if row["object"] in names else EXTERNAL})
    rewritten_kinds = {"module", "route", "service-dependency", IMPORT, MOUNT, NAME, CONFIG, _SKIPPED_FILE}
    facts += [row for kind in sorted(kinds.keys() - rewritten_kinds) for row in kinds[kind]]
    for row in facts:
        if row["description"] is None:
            # a model describes its table, and is documented under its own name
            documented = (docstrings.get((row["path"], row[name]), (0, "")) for name in ("subject", "object"))
            texts = (text for line, text in documented if line == row["start_line"])
            row["description"] = next(texts, None)
            row["description_source"] = "docstring" if row["description"] else None
        package = index.package_of(row["path"])
        row["boundary"] = package.name if package else None
        row["language"] = languages[row["path"]]
    return facts


def _documentation(units: pl.DataFrame) -> tuple[Docstrings, dict[str, list[str]]]:
    """What units are for; and top-level functions and types of files that are not private by name, in order."""
    docstrings: Docstrings = {}
    declared: dict[str, list[str]] = defaultdict(list)
    ordered_units = units.sort("path", "start_byte", "end_byte", descending=[False, False, True])
    for path, kind, name, qualified, line, docstring, *_ in ordered_units.select(UNIT_COLUMNS).iter_rows():
        if docstring and kind != "import":
            docstrings.setdefault((path, qualified), (line, docstring))
            docstrings.setdefault((path, name), (line, docstring))
        if kind in _DECLARED and name == qualified and not name.startswith("_"):
            declared[path].append(name)
    return docstrings, {path: list(dict.fromkeys(names))[:_MAX_DECLARED] for path, names in declared.items()}


def _services(rows: list[Row]) -> list[Row]:
    """One package per folder and format; a manifest replaces a guess."""
    services: dict[tuple[str, str], Row] = {}
    declared = {row["object"] for row in rows if row["detail"] != GUESSED}
    for row in rows:
        if row["detail"] != GUESSED or row["object"] not in declared:
            services.setdefault((row["object"], row["technology"]), row)
    return list(services.values())


def _index(kinds: Mapping[str, list[Row]], languages: Mapping[str, str | None]) -> SourceIndex:
    needs: dict[str, list[str]] = defaultdict(list)
    for row in kinds["service-dependency"]:
        needs[row["path"]].append(row["object"])
    packages = []
    for row in kinds["service"]:
        details = {**parsed_detail(row["detail"]), "needs": needs[row["path"]]}
        packages.append(SourcePackage(row["subject"], row["object"], row["technology"], details))
    aliases: dict[str, Mapping[str, Any]] = {}
    for row in kinds[CONFIG]:
        aliases.setdefault(row["subject"], parsed_detail(row["detail"]))
    return SourceIndex(languages, packages, aliases, {row["path"]: row["object"] for row in kinds[NAME]})


def _crossings(imports: list[tuple[Row, list[ImportTarget]]], index: SourceIndex) -> Iterator[Row]:
    """Dependencies between packages of the source, at the first import that shows them in a file."""
    crossed = set()
    for row, targets in imports:
        importer = index.package_of(row["path"])
        for target in targets if importer is not None else ():
            is_folder = target.object in index.folders
            imported = index.package_of(f"{target.object}/x" if is_folder else target.object)
            if target.scope != INTERNAL or importer is None or imported is None or importer.root == imported.root:
                continue
            if (row["path"], imported.root) not in crossed:
                crossed.add((row["path"], imported.root))
                yield {**row, "fact": "service-dependency", "subject": importer.name,
                       "object": imported.name, "scope": INTERNAL}  # fmt: skip


def _routes(
    kinds: dict[str, list[Row]], index: SourceIndex, docstrings: Docstrings, imports: dict[str, list[ImportTarget]]
) -> Iterator[Row]:
    """Routes with their full paths; those of unknown framework get the only one of their language in the source."""
    frameworks: dict[str | None, set[str]] = defaultdict(set)
    rows = kinds["route"] + kinds[MOUNT]
    for row in rows:
        if row["technology"]:
            frameworks[index.languages[row["path"]]].add(row["technology"])
    mounts = Mounts(rows, imports, index)
    for row in kinds["route"]:
        candidates = frameworks[index.languages[row["path"]]]
        technology = row["technology"] or (min(candidates) if len(candidates) == 1 else None)
        detail = parsed_detail(row["detail"])
        description = row["description"] or _handler_docstring(docstrings, row["path"], row["object"], imports)
        source = row["description_source"] or ("docstring" if description else None)
        for prefix in mounts.prefixes(row["path"], detail["router"]):
            path = f"{prefix}/{detail['path']}" if detail["path"] else prefix
            path = re.sub("//+", "/", "/" + path.strip())
            yield {**row, "subject": f"{detail['method']} {path}", "technology": technology,
                   "description": description, "description_source": source}  # fmt: skip


def _handler_docstring(
    docstrings: Docstrings, path: str, handler: str, imports: Mapping[str, list[ImportTarget]]
) -> str | None:
    """Documentation of a handler: in its file, or where an import finds it."""
    location = (path, handler)
    if location not in docstrings:
        words = handler.replace("::", ".").split(".")
        targets = (t for t in imports.get(path, ()) if t.scope == INTERNAL and t.local == words[0])
        target = next(targets, None)
        if target is not None:
            location = (target.object, words[-1] if len(words) > 1 else target.name or target.local)
    return docstrings[location][1] if location in docstrings else None


def _identified(rows: list[Row], texts: Mapping[str, str], source: str, max_chars: int) -> Iterator[Row]:
    lines: dict[str, list[str]] = {}
    fact_ids = set()
    for row in sorted(rows, key=lambda row: row["path"]):
        path = row["path"]
        if path not in lines:
            lines = {path: texts[path].split("\n")}
        words = _TAG.split(row["description"] or "", maxsplit=1)[0].split()
        summary = " ".join(words)[:max_chars] if sum(word[:1].isalpha() for word in words) > 1 else None
        row = {"scope": None, **row, "source": source, "description": summary}
        row["description_source"] = row["description_source"] if summary else None
        parts = [str(row[name]) for name in _IDENTITY]
        identity = hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
        if identity not in fact_ids:
            fact_ids.add(identity)
            evidence = "\n".join(lines[path][row["start_line"] - 1 : row["end_line"]])[:max_chars]
            row |= {"fact_id": identity, "evidence": evidence}
            yield {name: row[name] for name in ARCHITECTURE_FACTS.schema}
