"""Look for the counter-examples of patterns in code, by ast-grep.

ast-grep parses the code of a pattern by itself. Some fragments parse differently than in context
(``f(x)`` alone is a conversion in Go, an error in Java), so each is embedded in a context of its
language, and only the node that it becomes there is searched for.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ast_grep_py import Config, SgNode, SgRoot

from cortex_pipelines.extraction.patterns.pattern import METAVARIABLE, Pattern, PatternError, fill_metavariables

Rule = dict[str, Any]
"""As ast-grep's YAML has it."""

_SURROUNDINGS: Mapping[str, Sequence[str]] = {
    "python": ("{}",),
    "javascript": ("{}", "class C {{\n{}\n}}"),
    "typescript": ("{}", "class C {{\n{}\n}}"),
    "java": (
        # with the semicolon first: without it the parser adds one, and an expression is a statement
        "class C {{ void f() {{\n{};\n}} }}",
        "class C {{ void f() {{\n{}\n}} }}",
        "class C {{\n{}\n}}",
        "{}",
    ),
    "go": ("package p\nfunc f() {{\n{}\n}}", "package p\n{}"),
    "rust": ("{}", "fn f() {{\n{}\n}}", "impl S {{\n{}\n}}"),
}
# Remainder of a pattern that matches any code of its kind.
_MATCHES_ANYTHING = re.compile(r"(?:[\s().,;:\[\]{}]|(?<!=)=(?!=))*")
_MEMBER = re.compile(r"\s*(?:@\w+(?:\([^()]*\))?\s+)*(?:public|protected|private|static)\b")
_ELLIPSIS = re.compile(r"\$\$\$[A-Z0-9_]*")


@dataclass(frozen=True)
class PatternMatch:
    name: str
    when: str
    line: int


@dataclass(frozen=True)
class _Check:
    name: str
    when: str
    counter_example: Rule
    example: Rule


class PatternChecks:
    """Finds violations of patterns; those without a counter-example check nothing.

    Raises:
        PatternError: one of them cannot be searched for.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._by_language: dict[str, list[_Check]] = {}
        for pattern in patterns:
            for language in pattern.languages:
                check = _check(pattern, language)
                if check is not None:
                    self._by_language.setdefault(language, []).append(check)

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(self._by_language)

    def find_matches(self, text: str, language: str, path: str = "") -> list[PatternMatch]:
        """Violations in a text, in order of line; ``path`` decides between ``.ts`` and ``.tsx``."""
        checks = self._by_language.get(language)
        if not checks:
            return []
        root = SgRoot(text, "tsx" if path.endswith(".tsx") else language).root()
        matches = [match for check in checks for match in _violations(root, check)]
        return sorted(matches, key=lambda violation: (violation.line, violation.name))

    def violated_patterns(self, text: str, language: str, path: str = "") -> list[str]:
        return sorted({match.name for match in self.find_matches(text, language, path)})


def _check(pattern: Pattern, language: str) -> _Check | None:
    if pattern.counter_example is None:
        _rule(pattern.example, language, "example")
        return None
    counter = _rule(pattern.counter_example, language, "counter_example")
    example = _rule(pattern.example, language, "example")
    if _MATCHES_ANYTHING.fullmatch(METAVARIABLE.sub("", pattern.counter_example)):
        raise PatternError("counter_example: any code matches it; leave a name or an operator as it is")
    check = _Check(pattern.name, pattern.when, counter, example)
    try:
        matches_itself = _matches_code(check, pattern.counter_example, language)
    except RuntimeError as error:  # ast-grep's own; what follows the first line is a traceback
        raise PatternError(f"counter_example: {str(error).partition(chr(10))[0]}") from error
    if not matches_itself:
        raise PatternError(f"counter_example: does not match itself as {language}")
    if _matches_code(check, pattern.example, language):
        raise PatternError("counter_example: matches the example, too, so nothing could keep it")
    return check


def _matches_code(check: _Check, code: str, language: str) -> bool:
    root = next((root for _, root in _contexts(code, language)), None)
    return root is not None and bool(_violations(root, check))


def _violations(root: SgNode, check: _Check) -> list[PatternMatch]:
    nodes = _find_all(root, check.counter_example)
    correct_spans = {_span(node) for node in _find_all(root, check.example)} if nodes else set()
    lines = [node.range().start.line + 1 for node in nodes if _span(node) not in correct_spans]
    return [PatternMatch(check.name, check.when, line) for line in lines]


def _find_all(root: SgNode, rule: Rule) -> list[SgNode]:
    return root.find_all(cast(Config, {"rule": rule}))


def _rule(code: str, language: str, key: str) -> Rule:
    too_general = PatternError(f"{key}: any code matches it; leave a name or an operator as it is")
    if METAVARIABLE.fullmatch(code.strip()):
        raise too_general
    for surroundings, _ in _contexts(code, language):
        before, after = surroundings.format("\0").split("\0")
        context = _without_metavariables(before + code + after, language)
        row = []
        for node in _nodes(context, len(before), len(before + code)):
            start, end = _span(node)
            row.append((node.kind(), code[start - len(before) : end - len(before)]))
        if row and all(_is_first(kind, before, text, after, language) for kind, text in row):
            rule = _sequence_rule(before, row, after)
            if rule is None:
                raise too_general
            return rule
    raise PatternError(
        f"{key}: cannot be read as {language}; write whole expressions or statements, "
        "with $NAME for one node and $$$NAME for several"
    )


def _contexts(code: str, language: str) -> Iterator[tuple[str, SgNode]]:
    """Surroundings in which code can be parsed, with its tree."""
    candidates = _SURROUNDINGS[language]
    # Java's parser would also read a field as a local variable
    for surroundings in candidates[2:] if language == "java" and _MEMBER.match(code) else candidates:
        root = SgRoot(surroundings.format(fill_metavariables(code, language)), language).root()
        if not root.find(kind="ERROR"):
            yield surroundings, root


def _is_first(kind: str, before: str, text: str, after: str, language: str) -> bool:
    """Whether ast-grep finds the node by its kind, and not one of its surroundings."""
    match = _without_metavariables(before + text + after, language).find(kind=kind)
    return match is not None and _span(match)[0] == len(before)


def _sequence_rule(before: str, row: Sequence[tuple[str, str]], after: str) -> Rule | None:
    rule: Rule | None = None
    stop_by = "neighbor"
    for kind, text in reversed(row):
        if _ELLIPSIS.fullmatch(text.rstrip(";")):
            stop_by = "end"
            continue
        node_rule: Rule = {"pattern": {"context": before + text + after, "selector": kind}}
        if rule is not None:
            node_rule["precedes"] = {**rule, "stopBy": stop_by}
        rule, stop_by = node_rule, "neighbor"
    return rule


def _without_metavariables(context: str, language: str) -> SgNode:
    return SgRoot(METAVARIABLE.sub(lambda match: match[0].replace("$", "_"), context), language).root()


def _nodes(root: SgNode, start: int, end: int) -> list[SgNode]:
    node = root
    while True:
        inner = [child for child in node.children() if _span(child)[0] <= start and end <= _span(child)[1]]
        if not inner:
            break
        node = inner[0]
        if _span(node) == (start, end):
            return [_innermost(node)]
    row = [
        child for child in node.children() if child.is_named() and start <= _span(child)[0] and _span(child)[1] <= end
    ]
    if not row or (_span(row[0])[0], _span(row[-1])[1]) != (start, end):
        return []
    return [_innermost(row[0])] if len(row) == 1 else row


def _innermost(node: SgNode) -> SgNode:
    children = node.children()
    if len(children) == 1 and children[0].is_named() and not node.is_leaf():
        return _innermost(children[0])
    return node


def _span(node: SgNode) -> tuple[int, int]:
    node_range = node.range()
    return node_range.start.index, node_range.end.index
