"""Annotate the units of files and collect evidence for their labels."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from math import fsum
from typing import Any

import polars as pl

from cortex_pipelines.annotation.detector import Evidence
from cortex_pipelines.annotation.evidence import owners, read_file
from cortex_pipelines.annotation.labels.categories import categorise
from cortex_pipelines.annotation.labels.intent import intent_of
from cortex_pipelines.annotation.labels.vocabulary import LABELS, NOT_IN_TESTS, first_sentence, words_of
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.annotation.technologies import bindings, names
from cortex_pipelines.annotation.technologies.resolve import BINDINGS
from cortex_pipelines.extraction.test_cases import is_test
from cortex_pipelines.syntax.grammars import grammar_for, parse

_TYPES = frozenset({"class", "struct", "interface", "trait"})
_OF_TYPES = (
    *(
        (label, re.compile(rf"\b{label}$"))
        for label in ("adapter", "builder", "decorator", "factory", "iterator", "proxy", "singleton", "visitor")
    ),
    ("mixin", re.compile(r"\bmix ?in$")),
    ("observer", re.compile(r"\b(observer|listener|subscriber)s?$")),
    ("repository", re.compile(r"\b(repository|dao)$")),
    ("strategy", re.compile(r"\b(strategy|policy)$")),
)
_OF_FUNCTIONS = (("memoisation", re.compile(r"^memoi[sz]e\b|\bmemoi[sz]ed$")),)


def labels_by_name(unit: dict[str, Any]) -> Iterator[tuple[str, tuple[int, int]]]:
    if unit["kind"] not in _TYPES and unit["kind"] not in ("function", "method"):
        return
    words = words_of(unit["name"])
    end = unit["end_byte"] if unit["body_start_byte"] is None else unit["body_start_byte"]
    for label, form in _OF_TYPES if unit["kind"] in _TYPES else _OF_FUNCTIONS:
        if form.search(words):
            yield label, (unit["start_byte"], max(end, unit["start_byte"] + 1))


def quality(settings: AnnotationSettings) -> pl.Expr:
    features, weights = quality_features(settings), settings.quality_weights.model_dump()
    parts = [features[name] * weight for name, weight in weights.items()]
    mean: pl.Expr = pl.sum_horizontal(parts) / fsum(weights.values())
    return mean.round(6).alias("quality")


def quality_features(settings: AnnotationSettings) -> dict[str, pl.Expr]:
    """Feature values by their names in ``QualityWeights``: 1 is best, 0 worst."""
    return {
        "documented": pl.col("docstring").is_not_null().cast(pl.Float64),
        "short": _at_most("lines", settings.max_lines),
        "simple": pl.min_horizontal(
            _at_most("cyclomatic", settings.max_cyclomatic), _at_most("cognitive", settings.max_cognitive)
        ),
        "shallow": _at_most("nesting", settings.max_nesting),
        "few_parameters": _at_most("parameters", settings.max_parameters),
        "named": (pl.col("name").str.len_chars() >= 3).cast(pl.Float64),
        "clean": 1.0 / (1 + pl.col("smell_count")),
        "parses": (~pl.col("has_error")).cast(pl.Float64),
        "hand_written": (~pl.col("generated")).cast(pl.Float64),
    }


def _at_most(column: str, limit: int) -> pl.Expr:
    return limit / pl.max_horizontal(pl.col(column), pl.lit(limit))


FileKey = tuple[str, str, str]
"""Source, path and blob."""

_TEST_UNIT = re.compile(r"(^|\.)(tests?|test_\w*|Test[A-Z]?\w*)(\.|$)")
_PRINTS = frozenset({"main", "print", "usage", "help", "version", "debug", "dump", "show", "display"})
"""Words in names of functions that are there to print."""
_FINDING = pl.Struct(
    {"label": pl.String, "start_byte": pl.Int64, "end_byte": pl.Int64, "start_line": pl.Int64, "end_line": pl.Int64}
)
_COUNTS = ("cyclomatic", "cognitive", "nesting", "parameters", "lines")
NAMES: dict[str, pl.DataType] = {**dict.fromkeys(("uses", "heads", "bases"), pl.List(pl.String)), "bindings": BINDINGS}
"""Columns that technologies are resolved from (``technologies/resolve.py``); of one unit a file, its ``bindings``."""
_FACTS: dict[str, pl.DataType | type[pl.DataType]] = {
    **dict.fromkeys(("unit_id", "words", "said", "place", "head", "imports"), pl.String),
    "patterns": pl.List(pl.String),
    "smell_count": pl.Int64,
    **dict.fromkeys(_COUNTS, pl.Int64),
    "findings": pl.List(_FINDING),
    **dict.fromkeys(("intent", "intent_kind"), pl.String),
    **NAMES,
}
_KEPT = (
    *("unit_id", "category", "category_source", "category_score", "patterns", "quality"),
    *(*_COUNTS, "findings", "intent", "intent_kind", *NAMES),
)


def label_units(units: pl.DataFrame, texts: Mapping[FileKey, str], settings: AnnotationSettings) -> pl.DataFrame:
    """Annotations of units, one row each.

    Returns: ``unit_id``, the columns of ``ANNOTATED_UNITS`` that a unit's file decides, ``category_score`` (evidence
    for the category, not yet a confidence) and ``findings``. ``units``: rows of ``CODE_UNITS``, all of each file.
    """
    groups = units.sort("start_byte", "end_byte", "unit_id").partition_by(
        "source", "path", "blob", as_dict=True, maintain_order=True
    )
    facts = [row for key in sorted(groups) for row in _file_facts(groups[key].to_dicts(), texts[key], settings)]
    with_facts = units.join(pl.DataFrame(facts, schema=_FACTS, orient="row"), on="unit_id")
    return categorise(with_facts).with_columns(quality(settings)).select(_KEPT)


def _file_facts(units: list[dict[str, Any]], text: str, settings: AnnotationSettings) -> list[dict[str, Any]]:
    data, grammar = text.encode(), grammar_for(units[0]["language"], units[0]["path"])
    nodes = (*bindings.NODES[grammar.language], *names.NODES.get(grammar.language, ()))
    reading = read_file(parse(data, grammar), data, grammar, units, settings, nodes=nodes)
    imported = bindings.bindings(reading.walk, grammar.language)
    used = names.names_of_units(units, data, grammar.language, reading.walk, reading.parameters, imported)
    imports = "\n".join(unit["name"] for unit in units if unit["kind"] == "import")
    findings, labels = _findings(units, reading.evidence, data)
    facts = []
    for number, (unit, size) in enumerate(zip(units, reading.sizes, strict=True)):
        unit_id, name, complexity = unit["unit_id"], unit["name"], size.complexity
        summary = first_sentence(unit["docstring"]) if unit["docstring"] else ""
        intent = intent_of(unit, summary)
        head_end = unit["end_byte"] if unit["body_start_byte"] is None else unit["body_start_byte"]
        row = {
            "unit_id": unit_id,
            "imports": imports,
            "words": words_of(name),
            "said": words_of(summary),
            "place": words_of(f"{unit['path']} {unit['qualified_name'].removesuffix(name)}"),
            "head": data[unit["start_byte"] : head_end].decode(errors="replace"),
            **{measure: getattr(complexity, measure) for measure in ("cyclomatic", "cognitive", "nesting")},
            "parameters": size.parameters,
            "lines": size.lines,
            "patterns": sorted(labels[unit_id]),
            "smell_count": sum(LABELS[label].kind != "pattern" for label in labels[unit_id]),
            "findings": findings[unit_id],
            "intent": intent.text if intent else None,
            "intent_kind": intent.kind if intent else None,
            **{column: sorted(getattr(used[unit_id], column)) for column in ("uses", "heads", "bases")},
            "bindings": [binding.as_row() for binding in imported] if number == 0 else None,
        }
        facts.append(row)
    return facts


def _findings(
    units: Sequence[dict[str, Any]], evidence: Sequence[Evidence], data: bytes
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, set[str]]]:
    ends = [line.start() for line in re.finditer(b"\n", data)]
    findings: dict[str, list[dict[str, Any]]] = {unit["unit_id"]: [] for unit in units}
    labels: dict[str, set[str]] = {unit["unit_id"]: set() for unit in units}
    from_names = [Evidence(*span, label) for unit in units for label, span in labels_by_name(unit)]
    tests = is_test(units[0]["path"])
    for item, unit, holders in owners(sorted({*evidence, *from_names}), units):
        if item.label in NOT_IN_TESTS and (tests or _TEST_UNIT.search(unit["qualified_name"])):
            continue
        if item.label == "console-output" and _PRINTS.intersection(words_of(unit["name"]).split()):
            continue
        if unit["generated"] and LABELS[item.label].kind != "pattern":
            continue  # nobody would mend it there
        # patterns count once per unit: a generator may yield in a hundred places
        is_repeated = item.label in labels[unit["unit_id"]] and LABELS[item.label].kind == "pattern"
        for holder in holders:
            labels[holder["unit_id"]].add(item.label)
        if is_repeated:
            continue
        end = item.start + len(data[item.start : item.end].rstrip())
        start_line, end_line = (bisect_left(ends, byte) + 1 for byte in (item.start, max(end - 1, item.start)))
        span = {"start_byte": item.start, "end_byte": end, "start_line": start_line, "end_line": end_line}
        findings[unit["unit_id"]].append({"label": item.label, **span})
    return findings, labels
