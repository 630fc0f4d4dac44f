"""Propose patterns from what recurs: in the project's own history, and in its code."""

import difflib
import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl
from tree_sitter import Node

from cortex_pipelines.extraction.patterns.pattern import (
    Pattern,
    PatternError,
    filled,
    pattern_of,
)
from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks
from cortex_pipelines.extraction.patterns.statement_templates import (
    Group,
    StatementTemplate,
    edits,
    header,
    recurring,
    shapes_of,
    statements,
)
from cortex_pipelines.syntax.grammars import PARSED

LEAST = 3
"""Fewest commits or files, unless another number is asked for."""

_LEAST_NAMES = 2
_SHOWN = 5
_WORD = re.compile(r"[A-Za-z]\w*")


@dataclass(frozen=True)
class Proposal:
    """A pattern that nobody has accepted yet.

    Args:
        pattern: The pattern, its `when` in words that a person should better.
        origin: ``history`` or ``code``.
        places: Commits or files that it was seen in.
        names: Names of the project that it holds, where it is from its code.
    """

    pattern: Pattern
    origin: str
    places: tuple[str, ...]
    names: frozenset[str] = frozenset()

    @property
    def seen(self) -> str:
        """How often it was seen, and where."""
        what = "commits" if self.origin == "history" else "files"
        first = ", ".join(place[:12] if self.origin == "history" else place
                          for place in self.places[:_SHOWN])  # fmt: skip
        more = ", …" if len(self.places) > _SHOWN else ""
        return f"in {len(self.places)} {what}: {first}{more}"

    def as_yaml(self) -> str:
        """The file that a person reads, corrects and accepts."""
        pattern = self.pattern
        lines = [
            f"# Proposed by `cortex patterns learn`: seen {self.seen}",
            f"# Correct it and say `cortex patterns accept {pattern.name}`, or delete it.",
            f"name: {pattern.name}",
            f"when: {json.dumps(pattern.when, ensure_ascii=False)}",
            f"languages: [{', '.join(pattern.languages)}]",
        ]
        if pattern.counter_example is not None:
            lines.append(f"counter_example: |\n{textwrap.indent(pattern.counter_example, '  ')}")
        lines.append(f"example: |\n{textwrap.indent(pattern.example, '  ')}")
        return "\n".join(lines) + "\n"


def proposals_of_history(
    pairs: pl.DataFrame, files: pl.DataFrame, least: int = LEAST
) -> list[Proposal]:
    """Changes that recur in the history, the most frequent first.

    Of changes within each other the one that explains the others stays. What the code is still full
    of is none: there the code before has to be in fewer places than the code after.

    Args:
        pairs: REFACTORING_PAIRS of one project, of files that are trained on.
        files: REPOSITORY_FILES of the same project, those that are trained on.
        least: Fewest commits.
    """
    found = []
    for language in sorted(pairs["language"].unique()):
        rows = list(_changes(pairs.filter(pl.col("language") == language), language))
        for group in _groups(rows, least):
            before, after = group.texts
            if before != after and group.names and group.variables[1] <= group.variables[0]:
                found.append(_Found(group, language, f"Instead of `{_short(before)}`.", before))
    made: list[Proposal] = []
    for proposal in _proposals(found, "history"):
        if not _explained(proposal.pattern, made):
            made.append(proposal)
    return [proposal for proposal in made if _is_gone(proposal.pattern, files)]


def proposals_of_code(
    files: pl.DataFrame, own_names: Iterable[str], least: int = LEAST
) -> list[Proposal]:
    """Statements that recur in the code with names of the project, the most frequent first.

    Of several with the same names of the project the most frequent stays.

    Args:
        files: REPOSITORY_FILES of one project, those that are trained on.
        own_names: Names that the project defines.
        least: Fewest files.
    """
    own, found = frozenset(own_names), []
    for language in sorted(set(files["language"].drop_nulls()) & PARSED):
        of_language = files.filter(pl.col("language") == language).sort("source", "path")
        for group in _groups(list(_statements(of_language, language)), least):
            names = [name for name in group.names if name in own]
            if len(names) >= _LEAST_NAMES and any(group.variables):
                when = f"Wherever {' and '.join(names)} are used together."
                found.append(_Found(group, language, when, None, frozenset(names)))
    made: dict[frozenset[str], Proposal] = {}
    for proposal in _proposals(found, "code"):
        if not any(proposal.names <= other for other in made):
            made[proposal.names] = proposal
    return list(made.values())


class _Found(NamedTuple):
    group: Group
    language: str
    when: str
    counter_example: str | None
    names: frozenset[str] = frozenset()


def _proposals(found: Sequence[_Found], origin: str) -> list[Proposal]:
    """Those that can be looked for, each under a name of its own."""
    made: list[Proposal] = []
    taken: set[str] = set()
    for group, language, when, counter, names in sorted(found, key=_rank):
        given = {"when": when, "example": group.texts[-1], "counter_example": counter}
        name = _name(group.names, taken)
        try:
            pattern = pattern_of({**given, "name": name, "languages": language})
            PatternChecks([pattern])
        except PatternError:
            continue  # nobody could use it
        taken.add(name)
        made.append(Proposal(pattern, origin, group.places, names))
    return made


def _rank(found: _Found) -> tuple[Any, ...]:
    """The most frequent first; of changes the smallest then, of code what has the most names."""
    group, code = found.group, found.counter_example is None
    names = -len(group.names) if code else 0
    return -len(group.places), names, len(group.texts[0]), group.texts


def _explained(pattern: Pattern, others: Iterable[Proposal]) -> bool:
    """Whether one of the others takes the counter-example away, and leaves the example."""
    (language,) = pattern.languages
    before, after = (
        filled(code, language) for code in (pattern.counter_example or "", pattern.example)
    )
    return any(
        checks.broken(before, language) and not checks.broken(after, language)
        for checks in (PatternChecks([other.pattern]) for other in others)
    )


def _is_gone(pattern: Pattern, files: pl.DataFrame) -> bool:
    """Whether the code has the example in more places than the counter-example."""
    (language,) = pattern.languages
    turned = {"example": pattern.counter_example, "counter_example": pattern.example}
    try:
        right = PatternChecks([pattern.model_copy(update=turned)])
    except PatternError:  # the example finds the counter-example, too, so it says nothing
        return True
    wrong = PatternChecks([pattern])
    texts = files.filter(pl.col("language") == language)["text"]
    counts = [sum(len(side.places(text, language)) for text in texts) for side in (wrong, right)]
    return counts[0] <= counts[1]


def _groups(
    rows: Sequence[tuple[str, Sequence[Sequence[StatementTemplate]]]], least: int
) -> list[Group]:
    """Groups with arguments one by one, and those that only hold with arguments as a whole."""
    exact = list(recurring(((place, both[0]) for place, both in rows if both[0]), least))
    known = {(group.names, group.places) for group in exact}
    whole = recurring(((place, both[1]) for place, both in rows if both[1]), least)
    return exact + [group for group in whole if (group.names, group.places) not in known]


def _statements(
    files: pl.DataFrame, language: str
) -> Iterator[tuple[str, Sequence[Sequence[StatementTemplate]]]]:
    for path, text in files.select("path", "text").iter_rows():
        for node in statements(text, language, path):
            yield path, [_shapes((node,), whole) for whole in (False, True)]


def _changes(
    pairs: pl.DataFrame, language: str
) -> Iterator[tuple[str, Sequence[Sequence[StatementTemplate]]]]:
    """Statements that a commit put in the place of others, each once a commit."""
    columns = pairs.select("commit", "path_after", "before", "after").unique().sort(pl.all())
    for commit, path, before, after in columns.iter_rows():
        sides = [statements(text, language, path or "") for text in (before, after)]
        old_lines, new_lines = ([header(node) for node in side] for side in sides)
        matcher = difflib.SequenceMatcher(None, old_lines, new_lines, autojunk=False)
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            if tag != "replace" or i2 - i1 != j2 - j1:
                continue
            for old, new in zip(sides[0][i1:i2], sides[1][j1:j2], strict=True):
                for one, other in edits(old, new):
                    yield commit, [_shapes((one, other), whole) for whole in (False, True)]


def _shapes(nodes: Sequence[Node], whole_arguments: bool) -> list[StatementTemplate]:
    """The nodes as shapes; none if one of them cannot be."""
    made = [shapes_of(node, whole_arguments) for node in nodes]
    return [shape for shape in made if shape is not None] if None not in made else []


def _name(names: Sequence[str], taken: set[str]) -> str:
    """An identifier from the names that stay."""
    words = [word.strip("_") for name in names for word in _WORD.findall(name)]
    base = "_".join(dict.fromkeys(filter(None, words)))[:50].strip("_").lower() or "pattern"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    return name


def _short(code: str) -> str:
    line = " ".join(code.split())
    return line if len(line) <= 120 else f"{line[:119]}…"
