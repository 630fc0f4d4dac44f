"""Propose patterns from recurring changes in the history and recurring statements in the code."""

import difflib
import json
import re
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any, NamedTuple

import polars as pl
from tree_sitter import Node

from cortex_pipelines.extraction.patterns.pattern import Pattern, PatternError, fill_metavariables, parse_pattern
from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks
from cortex_pipelines.extraction.patterns.statement_templates import (
    RecurringGroup,
    StatementTemplate,
    find_edits,
    find_statements,
    header,
    recurring_groups,
    statement_template,
)
from cortex_pipelines.syntax.grammars import PARSED

MIN_OCCURRENCES = 3
"""Fewest commits or files, by default."""

_MIN_OWN, _MIN_NAMES = 2, 4
"""Names of the project in a statement, and names in one that calls one of these alone: `x = f($$$A)` says little."""
_MAX_LISTED = 5
_WORD = re.compile(r"[A-Za-z]\w*")


@dataclass(frozen=True)
class Proposal:
    """A pattern that is not accepted yet, from ``history`` or ``code``; a person should improve its `when`.

    ``names`` are those of the project that it holds, where it is from its code.
    """

    pattern: Pattern
    origin: str
    occurrences: tuple[str, ...]
    names: frozenset[str] = frozenset()

    @property
    def summary(self) -> str:
        unit = "commits" if self.origin == "history" else "files"
        examples = ", ".join(occurrence[:12] if self.origin == "history" else occurrence
                          for occurrence in self.occurrences[:_MAX_LISTED])  # fmt: skip
        ellipsis = ", …" if len(self.occurrences) > _MAX_LISTED else ""
        return f"in {len(self.occurrences)} {unit}: {examples}{ellipsis}"

    def as_yaml(self) -> str:
        pattern = self.pattern
        lines = [
            f"# Proposed by `cortex patterns learn`: seen {self.summary}",
            f"# Correct it and say `cortex patterns accept {pattern.name}`, or delete it.",
            f"name: {pattern.name}",
            f"when: {json.dumps(pattern.when, ensure_ascii=False)}",
            f"languages: [{', '.join(pattern.languages)}]",
        ]
        if pattern.counter_example is not None:
            lines.append(f"counter_example: |\n{textwrap.indent(pattern.counter_example, '  ')}")
        lines.append(f"example: |\n{textwrap.indent(pattern.example, '  ')}")
        return "\n".join(lines) + "\n"


def propose_from_history(
    pairs: pl.DataFrame, files: pl.DataFrame, min_occurrences: int = MIN_OCCURRENCES
) -> list[Proposal]:
    """Changes that recur in at least so many commits of one project, the most frequent first.

    Of nested changes, the one that explains the others is kept. A change is only proposed if the
    code before occurs in fewer places of the files than the code after.
    """
    candidates = []
    for language in sorted(pairs["language"].unique()):
        rows = list(_replacements(pairs.filter(pl.col("language") == language), language))
        for group in _groups(rows, min_occurrences):
            before, after = group.texts
            if before != after and group.names and group.variables[1] <= group.variables[0]:
                line = " ".join(before.split())
                short = line if len(line) <= 120 else f"{line[:119]}…"
                candidates.append(_Candidate(group, language, f"Instead of `{short}`.", before))
    proposals: list[Proposal] = []
    for proposal in _build_proposals(candidates, "history"):
        if not _is_explained(proposal.pattern, proposals):
            proposals.append(proposal)
    return [proposal for proposal in proposals if _is_gone(proposal.pattern, files)]


def propose_from_code(
    files: pl.DataFrame, called_names: Mapping[str, Collection[str]], min_occurrences: int = MIN_OCCURRENCES
) -> list[Proposal]:
    """Statements that recur in at least so many files with names of the project, the most frequent first.

    ``called_names``: what each file calls or extends of the project, by its path. Of several statements with the same
    of these names, the most frequent is kept.
    """
    own_names, candidates = frozenset[str]().union(*called_names.values()), []
    for language in sorted(set(files["language"].drop_nulls()) & PARSED):
        language_files = files.filter(pl.col("language") == language).sort("source", "path")
        rows = [
            (path, _template_pair(node))
            for path, text in language_files.select("path", "text").iter_rows()
            for node in find_statements(text, language, path)
        ]
        for group in _groups(rows, min_occurrences):
            callers = [called_names.get(path, ()) for path in group.occurrences]
            names = [name for name in group.names if 2 * sum(name in called for called in callers) > len(callers)]
            is_telling = len(names) >= _MIN_OWN or (names and len(group.names) >= _MIN_NAMES)
            if is_telling and len(own_names.intersection(group.names)) >= _MIN_OWN and any(group.variables):
                together = "are used together" if len(names) > 1 else "is used"
                when = f"Wherever {' and '.join(names)} {together}."
                candidates.append(_Candidate(group, language, when, None, frozenset(names)))
    by_names: dict[frozenset[str], Proposal] = {}
    for proposal in _build_proposals(candidates, "code"):
        if not any(proposal.names <= other for other in by_names):
            by_names[proposal.names] = proposal
    return list(by_names.values())


_TemplatePair = tuple[str, Sequence[Sequence[StatementTemplate]]]
"""An occurrence, and its templates with single arguments and with arguments as one token."""


class _Candidate(NamedTuple):
    group: RecurringGroup
    language: str
    when: str
    counter_example: str | None
    names: frozenset[str] = frozenset()


def _build_proposals(candidates: Sequence[_Candidate], origin: str) -> list[Proposal]:
    proposals: list[Proposal] = []
    used_names: set[str] = set()
    for group, language, when, counter, names in sorted(candidates, key=_rank):
        fields = {"when": when, "example": group.texts[-1], "counter_example": counter}
        name = _name(group.names, used_names)
        try:
            pattern = parse_pattern({**fields, "name": name, "languages": language})
            PatternChecks([pattern])
        except PatternError:
            continue  # nobody could use it
        used_names.add(name)
        proposals.append(Proposal(pattern, origin, group.occurrences, names))
    return proposals


def _rank(candidate: _Candidate) -> tuple[Any, ...]:
    group, code = candidate.group, candidate.counter_example is None
    names = -len(group.names) if code else 0
    return -len(group.occurrences), names, len(group.texts[0]), group.texts


def _is_explained(pattern: Pattern, accepted: Iterable[Proposal]) -> bool:
    (language,) = pattern.languages
    before, after = (fill_metavariables(code, language) for code in (pattern.counter_example or "", pattern.example))
    return any(
        checks.violated_patterns(before, language) and not checks.violated_patterns(after, language)
        for checks in (PatternChecks([other.pattern]) for other in accepted)
    )


def _is_gone(pattern: Pattern, files: pl.DataFrame) -> bool:
    (language,) = pattern.languages
    swapped = {"example": pattern.counter_example, "counter_example": pattern.example}
    try:
        example_checks = PatternChecks([pattern.model_copy(update=swapped)])
    except PatternError:  # the example finds the counter-example, too, so it proves nothing
        return True
    counter_example_checks = PatternChecks([pattern])
    texts = files.filter(pl.col("language") == language)["text"]
    counts = [
        sum(len(checks.find_matches(text, language)) for text in texts)
        for checks in (counter_example_checks, example_checks)
    ]
    return counts[0] <= counts[1]


def _groups(rows: Sequence[_TemplatePair], min_occurrences: int) -> list[RecurringGroup]:
    """Groups with single arguments, and those that only recur with arguments as one token."""
    exact, generalised = (
        list(recurring_groups(((source, pair[form]) for source, pair in rows if pair[form]), min_occurrences))
        for form in (0, 1)
    )
    exact_keys = {(group.names, group.occurrences) for group in exact}
    return exact + [group for group in generalised if (group.names, group.occurrences) not in exact_keys]


def _replacements(pairs: pl.DataFrame, language: str) -> Iterator[_TemplatePair]:
    columns = pairs.select("commit", "path_after", "before", "after").unique().sort(pl.all())
    for commit, path, before, after in columns.iter_rows():
        versions = [find_statements(text, language, path or "") for text in (before, after)]
        old_lines, new_lines = ([header(node) for node in nodes] for nodes in versions)
        matcher = difflib.SequenceMatcher(None, old_lines, new_lines, autojunk=False)
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            if tag != "replace" or i2 - i1 != j2 - j1:
                continue
            for old, new in zip(versions[0][i1:i2], versions[1][j1:j2], strict=True):
                for old_node, new_node in find_edits(old, new):
                    yield commit, _template_pair(old_node, new_node)


def _template_pair(*nodes: Node) -> list[list[StatementTemplate]]:
    """Templates of nodes that belong together; none if one of them cannot be a template."""
    pair = [[statement_template(node, whole_arguments) for node in nodes] for whole_arguments in (False, True)]
    return [[t for t in templates if t is not None] if None not in templates else [] for templates in pair]


def _name(names: Sequence[str], used_names: set[str]) -> str:
    words = [word.strip("_") for name in names for word in _WORD.findall(name)]
    base = "_".join(dict.fromkeys(filter(None, words)))[:50].strip("_").lower() or "pattern"
    numbered = chain([base], (f"{base}_{number}" for number in count(2)))
    return next(name for name in numbered if name not in used_names)
