"""Conventions of a project: naming, documentation and its style."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import polars as pl

from cortex_pipelines.check.checked_file import CheckedFile
from cortex_pipelines.check.findings import Finding
from cortex_pipelines.check.project_facts import ProjectFacts
from cortex_pipelines.extraction.nesting import Unit
from cortex_pipelines.extraction.test_cases import is_test

NAMING, UNDOCUMENTED, STYLE = "naming", "missing-documentation", "documentation-style"

_AGREEMENT = 0.95
_FEWEST = 20  # units that a convention is learnt from

_NAMES = {
    "snake_case": re.compile(r"_*[a-z][a-z0-9]*(_[a-z0-9]+)*_*"),
    "camelCase": re.compile(r"[_$]*[a-z][A-Za-z0-9]*_*"),
    "PascalCase": re.compile(r"_*[A-Z][A-Za-z0-9]*"),
    "UPPER_CASE": re.compile(r"_*[A-Z][A-Z0-9]*(_[A-Z0-9]+)*_*"),
    "mixedCaps": re.compile(r"[_$]*[A-Za-z][A-Za-z0-9]*"),
}
_GROUPS = {
    "function": "functions",
    "method": "methods",
    **dict.fromkeys(("class", "interface", "struct", "trait", "enum"), "types"),
}
_DOCUMENTED = ("functions", "methods", "types")
_PARAMETERS = {
    ":param name:": re.compile(r"^\s*:(param|type|raises|returns?|rtype)\b", re.MULTILINE),
    "Args:": re.compile(r"^\s*(Args|Arguments|Returns|Raises|Yields):\s*$", re.MULTILINE),
    "NumPy's headings": re.compile(r"^\s*(Parameters|Returns|Raises)\s*\n\s*-{4,}\s*$", re.MULTILINE),
    "@param": re.compile(r"^\s*@(param|returns?|throws|raise)\b", re.MULTILINE),
}
_PUBLIC = {
    "java": re.compile(r"\bpublic\b"),
    "rust": re.compile(r"(^|\s)pub\b"),
    "javascript": re.compile(r"^export\b"),
    "typescript": re.compile(r"^export\b"),
}
_INHERITED = re.compile(r"@(\w+\.)?(overload|override|setter|deleter|Override)\b")
_EXAMPLES = re.compile(r"(^|/)(docs?|examples?|benchmarks?|samples?|scripts?|_?examples)/", re.IGNORECASE)


class _Unit(NamedTuple):
    path: str
    language: str
    kind: str
    name: str
    qualified_name: str
    docstring: str | None
    head: str  # code before the body

    @property
    def group(self) -> tuple[str, bool, str]:
        return self.language, is_test(self.path), _GROUPS[self.kind]

    @property
    def is_named_by_choice(self) -> bool:
        """False if the language requires the name, as of a constructor or ``__len__``."""
        outer = self.qualified_name.split(".")[:-1]
        return self.name.isidentifier() and not re.fullmatch(r"__\w+__|_+", self.name) and self.name not in outer

    @property
    def is_public(self) -> bool:
        if any(part.startswith("_") for part in self.qualified_name.split(".")):
            return False
        if self.language == "go":
            return all(part[:1].isupper() for part in self.qualified_name.split("."))
        public = _PUBLIC.get(self.language)
        return (public is None or bool(public.search(self.head))) and not _INHERITED.search(self.head)


@dataclass(frozen=True)
class _Convention:
    meaning: str  # what all do
    agree: int
    all: int

    @property
    def evidence(self) -> str:
        return f"{self.agree:,} of {self.all:,} do"


@dataclass(frozen=True)
class _Conventions:
    naming: Mapping[tuple[str, bool, str], _Convention]
    documented: Mapping[tuple[str, bool, str], _Convention]
    style: Mapping[tuple[str, str], _Convention]  # by language and aspect
    existing_names: frozenset[str]  # which the team accepts


def find_broken_conventions(file: CheckedFile, project: ProjectFacts, rules: Collection[str]) -> Iterator[Finding]:
    units_path = project.table("code_units", "units.parquet")
    if units_path is None or not {NAMING, UNDOCUMENTED, STYLE} & set(rules) or _EXAMPLES.search(file.source_path):
        return
    conventions, units = _learn_conventions(units_path), list(_code_units(file))
    findings = [finding for unit, code in units for finding in _findings(file, unit, code, conventions)]
    undocumented = sum(finding.rule == UNDOCUMENTED for finding in findings)
    # a file that mostly does otherwise has a convention of its own, or the project has changed its mind
    is_usual = undocumented == 1 or 2 * undocumented < sum(_is_documentable(code) for _, code in units)
    yield from (finding for finding in findings if finding.rule in rules and (is_usual or finding.rule != UNDOCUMENTED))


def _code_units(file: CheckedFile) -> Iterator[tuple[Unit, _Unit]]:
    for unit in file.units:
        if unit.kind in _GROUPS and not file.is_broken(unit.start_byte, unit.end_byte):
            end = unit.end_byte if unit.body_start_byte is None else unit.body_start_byte
            head = file.data[unit.start_byte : end].decode(errors="replace")
            fields = (unit.kind, unit.name, unit.qualified_name, unit.docstring, head)
            yield unit, _Unit(file.source_path, file.language, *fields)


def _findings(file: CheckedFile, unit: Unit, code: _Unit, conventions: _Conventions) -> Iterator[Finding]:
    for rule, message in _broken_conventions(code, conventions):
        yield file.name_finding(unit, rule, message)


def _broken_conventions(unit: _Unit, conventions: _Conventions) -> Iterator[tuple[str, str]]:
    group_name = f"{'test ' if unit.group[1] else ''}{unit.group[2]}"
    naming = conventions.naming.get(unit.group)
    if (
        naming
        and unit.is_named_by_choice
        and unit.name not in conventions.existing_names
        and not _NAMES[naming.meaning].fullmatch(unit.name)
    ):
        yield NAMING, f"{unit.name}: {group_name} here are {naming.meaning} ({naming.evidence})."
    documented = conventions.documented.get(unit.group)
    if documented and _is_documentable(unit) and not unit.docstring:
        yield UNDOCUMENTED, f"{unit.name}: public {group_name} here are documented ({documented.evidence})."
    for aspect, value in _style_of(unit):
        style = conventions.style.get((unit.language, aspect))
        if style and value != style.meaning:
            yield STYLE, f"{unit.name}: documentation here {_SAID[aspect].format(style.meaning)} ({style.evidence})."


def _is_documentable(unit: _Unit) -> bool:
    return unit.group[2] in _DOCUMENTED and unit.is_public and unit.is_named_by_choice


_SAID = {"end": "{}", "begin": "{}", "parameters": "describes parameters by {}"}
_ENDS = ("ends its first paragraph with a full stop", "ends its first paragraph without a full stop")
_BEGINS = ("begins with the name", "begins with another word than the name")
_PARAGRAPH_END = re.compile(r"\n\s*\n|\n\s*(?:@\w|:(?:param|type|raises?|returns?|rtype|yields?)\b|[-*] |\.\. )")


def _style_of(unit: _Unit) -> Iterator[tuple[str, str]]:
    """Aspects of a unit's documentation with their values."""
    if not unit.docstring or unit.group[2] not in _DOCUMENTED or unit.group[1]:
        return
    summary = _PARAGRAPH_END.split(unit.docstring.strip(), maxsplit=1)[0].strip()
    words = summary.split()
    if len(words) > 2 and (summary[-1].isalpha() or summary[-1] in ".!?"):
        yield "end", _ENDS[not summary.endswith((".", "!", "?"))]
    if len(words) > 2 and unit.language == "go" and unit.is_named_by_choice:
        yield "begin", _BEGINS[words[0] != unit.name and words[1:2] != [unit.name]]
    forms = [form for form, pattern in _PARAMETERS.items() if pattern.search(unit.docstring)]
    if len(forms) == 1:
        yield "parameters", forms[0]


@lru_cache(maxsize=8)
def _learn_conventions(path: Path) -> _Conventions:
    head = pl.col("code").str.slice(0, (pl.col("body_start_byte") - pl.col("start_byte")).fill_null(400).clip(0, 2000))
    table = pl.scan_parquet(path).filter(~pl.col("generated"), pl.col("kind").is_in(list(_GROUPS)))
    columns = ("path", "language", "kind", "name", "qualified_name", "docstring")
    rows = table.select(*columns, head.alias("head")).unique(maintain_order=True).collect()
    units = [_Unit(*row) for row in rows.iter_rows() if not _EXAMPLES.search(row[0])]
    names, documented = defaultdict(list), defaultdict(list)
    style: dict[tuple[str, str], list[str]] = defaultdict(list)
    for unit in units:
        if unit.is_named_by_choice and not unit.group[1]:
            names[unit.group].append(unit.name)
        if _is_documentable(unit):
            documented[unit.group].append(bool(unit.docstring))
        for aspect, value in _style_of(unit):
            style[unit.language, aspect].append(value)
    return _Conventions(
        naming={group: convention for group, of_group in names.items() if (convention := _name_form(of_group))},
        documented={
            group: _Convention("documented", sum(has), len(has))
            for group, has in documented.items()
            if _is_convention(sum(has), len(has))
        },
        style={key: convention for key, values in style.items() if (convention := _majority(values))},
        existing_names=frozenset(unit.name for unit in units),
    )


def _is_convention(agree: int, count: int) -> bool:
    return count >= _FEWEST and agree >= _AGREEMENT * count


def _name_form(names: Iterable[str]) -> _Convention | None:
    """The narrowest form that the names share; only names of several words distinguish forms."""
    distinct = sorted(set(names))
    telling = [name for name in distinct if re.search(r"[a-z0-9][A-Z]|[A-Za-z0-9]_[A-Za-z0-9]", name)]
    for form, pattern in _NAMES.items():
        agree = sum(bool(pattern.fullmatch(name)) for name in distinct)
        telling_agree = sum(bool(pattern.fullmatch(name)) for name in telling)
        if _is_convention(agree, len(distinct)) and 2 * telling_agree > len(telling) >= _FEWEST // 4:
            return _Convention(form, agree, len(distinct))
    return None


def _majority(values: list[str]) -> _Convention | None:
    value = max(sorted(set(values)), key=values.count)
    convention = _Convention(value, values.count(value), len(values))
    return convention if _is_convention(convention.agree, convention.all) else None
