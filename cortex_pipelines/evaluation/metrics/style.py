"""Distance of a text from a team's coding style.

A style is a set of distributions, one per feature and language: quotes, indentation width, line length, naming of each
kind, share of comment and blank lines, and spacing around operators and after commas. The distance of two styles is the
mean total variation distance over the features of both, 0 (equal) to 1 (disjoint).
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from math import fsum

from cortex_pipelines.datasets.tasks.naming import style_of
from cortex_pipelines.evaluation.metrics.code_trees import leaves, parse_dedented
from cortex_pipelines.syntax.grammars import PARSED

Style = Mapping[tuple[str, str], Counter[str]]
"""Feature and language to the counts of its values."""

FEATURES = {
    "quotes": "single, double or backtick quotes of strings",
    "indentation": "what a line is indented by beyond the one before: tab, or number of spaces",
    "line length": "characters of a line, in steps of 20",
    "lines": "code, comment or blank",
    "names": "snake_case, camelCase, PascalCase or UPPER_CASE, by kind of identifier",
    "operators": "space on both sides of a binary operator or assignment, or not",
    "commas": "space after a comma within a line, or not",
    "semicolons": "a statement's line ends with a semicolon, or not",
}
"""Features and the meaning of their values."""

_QUOTED = re.compile(r"^[a-zA-Z]{0,2}(\"\"\"|'''|\"|'|`)")
_OPERATORS = re.compile(r"(\s?)(?:===?|!==?|<=|>=|\+=|-=|:=|=>|&&|\|\||(?<![<>=!:+\-*/])=(?![=>]))(\s?)")
_COMMA = re.compile(r",(\s?)(?=\S)")
_COMMENT = re.compile(r"^\s*(?:#|//|/\*|\*)")
_STEP = 20


def learn_style(texts: Iterable[tuple[str, str]]) -> Style:
    counters: dict[tuple[str, str], Counter[str]] = {}
    for language, code in texts:
        if language in PARSED and code.strip():
            for feature, value in _feature_values(code, language):
                counters.setdefault((feature, language), Counter())[value] += 1
    return counters


def style_distance(style: Style, team: Style) -> float | None:
    """0 to 1; None without common features."""
    shared = sorted(set(style) & set(team))
    if not shared:
        return None
    return fsum(_variation(style[key], team[key]) for key in shared) / len(shared)


def distances_by_feature(style: Style, team: Style) -> dict[str, float]:
    distances = {}
    for feature in FEATURES:
        keys = [key for key in sorted(set(style) & set(team)) if key[0] == feature]
        if keys:
            distances[feature] = fsum(_variation(style[key], team[key]) for key in keys) / len(keys)
    return distances


def _variation(first: Counter[str], second: Counter[str]) -> float:
    """Total variation distance."""
    first_total, second_total = sum(first.values()), sum(second.values())
    values = sorted(first.keys() | second.keys())  # a sum of floats depends on their order
    return fsum(abs(first[value] / first_total - second[value] / second_total) for value in values) / 2


def _feature_values(code: str, language: str) -> Iterable[tuple[str, str]]:
    previous_indent = 0
    for line in code.split("\n"):
        kind = "blank" if not line.strip() else "comment" if _COMMENT.match(line) else "code"
        yield "lines", kind
        if kind == "blank":
            continue
        yield "line length", str(len(line) // _STEP * _STEP)
        indent = line[: len(line) - len(line.lstrip())]
        if len(indent) > previous_indent:
            yield "indentation", "tab" if "\t" in indent else str(len(indent) - previous_indent)
        previous_indent = len(indent)
        if kind == "comment":
            continue
        for before, after in _OPERATORS.findall(line):
            yield "operators", "spaced" if before and after else "tight"
        for space in _COMMA.findall(line):
            yield "commas", "spaced" if space else "tight"
        if line.rstrip()[-1] not in "{}(,:[":
            yield "semicolons", "with" if line.rstrip().endswith(";") else "without"
    for node in leaves(parse_dedented(code, language)):
        text = (node.text or b"").decode(errors="replace")
        if "identifier" in node.type:
            style = style_of(text)
            if style not in ("lower", "other"):  # one word goes with several conventions
                yield "names", f"{node.type} {style}"
        elif "string" in node.type and (quote := _QUOTED.match(text)):
            yield "quotes", quote[1]
