"""Look for the counter-examples of patterns in code, by ast-grep.

ast-grep parses the code of a pattern by itself. Some fragments are read otherwise than where they
stand (``f(x)`` alone is a conversion in Go, an error in Java), so each is set into the surroundings
of its language, and only the node that it is there is looked for.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from ast_grep_py import Config, SgNode, SgRoot

from cortex_pipelines.extraction.patterns.pattern import (
    METAVARIABLE,
    Pattern,
    PatternError,
    filled,
)

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
# What is left of a pattern that any code of its kind matches.
_ANYTHING = re.compile(r"(?:[\s().,;:\[\]{}]|(?<!=)=(?!=))*")
_MEMBER = re.compile(r"\s*(?:@\w+(?:\([^()]*\))?\s+)*(?:public|protected|private|static)\b")
_ALONE = re.compile(r"\$\$\$[A-Z0-9_]*")


@dataclass(frozen=True)
class PatternMatch:
    """Code that breaks a pattern.

    Args:
        name: The pattern's.
        when: When it applies.
        line: Where the code begins, from 1.
    """

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
    """Looks for what breaks patterns.

    Args:
        patterns: The patterns; those without a counter-example check nothing.

    Raises:
        PatternError: one of them cannot be looked for.
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
        """Languages that anything is checked in."""
        return frozenset(self._by_language)

    def places(self, text: str, language: str, path: str = "") -> list[PatternMatch]:
        """What breaks a pattern in a text, in the order of its lines.

        Args:
            text: The code.
            language: Its language; nothing is found in one that no pattern is for.
            path: Of its file, where known: ``.tsx`` has a grammar of its own.
        """
        checks = self._by_language.get(language)
        if not checks:
            return []
        root = _root(text, "tsx" if path.endswith(".tsx") else language)
        found = [place for check in checks for place in _places(root, check)]
        return sorted(found, key=lambda place: (place.line, place.name))

    def broken(self, text: str, language: str, path: str = "") -> list[str]:
        """Names of the patterns that a text breaks, each once, sorted."""
        return sorted({place.name for place in self.places(text, language, path)})


def _check(pattern: Pattern, language: str) -> _Check | None:
    """What is looked for, after it was tried on the pattern's own code."""
    if pattern.counter_example is None:
        _rule(pattern.example, language, "example")
        return None
    counter = _rule(pattern.counter_example, language, "counter_example")
    example = _rule(pattern.example, language, "example")
    if _ANYTHING.fullmatch(METAVARIABLE.sub("", pattern.counter_example)):
        raise PatternError(
            "counter_example: any code matches it; leave a name or an operator as it is"
        )
    check = _Check(pattern.name, pattern.when, counter, example)
    try:
        found = _found_in_itself(check, pattern.counter_example, language)
    except RuntimeError as error:  # ast-grep's own; what follows the first line is a traceback
        raise PatternError(f"counter_example: {str(error).partition(chr(10))[0]}") from error
    if not found:
        raise PatternError(f"counter_example: does not match itself as {language}")
    if _found_in_itself(check, pattern.example, language):
        raise PatternError("counter_example: matches the example, too, so nothing could keep it")
    return check


def _found_in_itself(check: _Check, code: str, language: str) -> bool:
    for surroundings in _surroundings(code, language):
        root = _root(surroundings.format(filled(code, language)), language)
        if not root.find(kind="ERROR"):
            return any(True for _ in _places(root, check))
    return False


def _places(root: SgNode, check: _Check) -> Iterator[PatternMatch]:
    found = _all(root, check.counter_example)
    if found:
        right = {_span(node) for node in _all(root, check.example)}
        for node in found:
            if _span(node) not in right:
                yield PatternMatch(check.name, check.when, node.range().start.line + 1)


def _all(root: SgNode, rule: Rule) -> list[SgNode]:
    return root.find_all(cast(Config, {"rule": rule}))


def _rule(code: str, language: str, key: str) -> Rule:
    """The rule that finds code, one statement or several in a row.

    Raises:
        PatternError: the code is none.
    """
    anything = PatternError(f"{key}: any code matches it; leave a name or an operator as it is")
    if METAVARIABLE.fullmatch(code.strip()):
        raise anything
    for surroundings in _surroundings(code, language):
        if _root(surroundings.format(filled(code, language)), language).find(kind="ERROR"):
            continue
        before, after = surroundings.format("\0").split("\0")
        nodes = _nodes(_named(before + code + after, language), len(before), len(before + code))
        row = [_Node(node.kind(), code[_span(node)[0] - len(before) :][: _length(node)])
               for node in nodes]  # fmt: skip
        if row and all(_is_first(before, node, after, language) for node in row):
            rule = _in_a_row(before, row, after)
            if rule is None:
                raise anything
            return rule
    raise PatternError(
        f"{key}: cannot be read as {language}; write whole expressions or statements, "
        "with $NAME for one node and $$$NAME for several"
    )


def _surroundings(code: str, language: str) -> Sequence[str]:
    """What code may stand in; to Java's parser a field with its access is a local variable, too."""
    known = _SURROUNDINGS[language]
    return known[2:] if language == "java" and _MEMBER.match(code) else known


class _Node(NamedTuple):
    kind: str
    text: str


def _is_first(before: str, node: _Node, after: str, language: str) -> bool:
    """Whether ast-grep finds the node by its kind, and not one of its surroundings."""
    found = _named(before + node.text + after, language).find(kind=node.kind)
    return found is not None and _span(found)[0] == len(before)


def _in_a_row(before: str, row: Sequence[_Node], after: str) -> Rule | None:
    """A rule for nodes that follow one another, with anything where ``$$$NAME`` stands alone."""
    rule: Rule | None = None
    follows = "neighbor"
    for node in reversed(row):
        if _ALONE.fullmatch(node.text.rstrip(";")):
            follows = "end"
            continue
        own: Rule = {"pattern": {"context": before + node.text + after, "selector": node.kind}}
        if rule is not None:
            own["precedes"] = {**rule, "stopBy": follows}
        rule, follows = own, "neighbor"
    return rule


def _named(context: str, language: str) -> SgNode:
    """The tree with names in place of metavariables, as long as these, so that places stay."""
    return _root(METAVARIABLE.sub(lambda match: match[0].replace("$", "_"), context), language)


def _nodes(root: SgNode, start: int, end: int) -> list[SgNode]:
    """The nodes that make up a stretch of text, none where it does not end with one."""
    node = root
    while True:
        inner = [child for child in node.children() if _holds(child, start, end)]
        if not inner:
            break
        node = inner[0]
        if _span(node) == (start, end):
            return [_inmost(node)]
    row = [
        child
        for child in node.children()
        if child.is_named() and start <= _span(child)[0] and _span(child)[1] <= end
    ]
    if not row or (_span(row[0])[0], _span(row[-1])[1]) != (start, end):
        return []
    return [_inmost(row[0])] if len(row) == 1 else row


def _inmost(node: SgNode) -> SgNode:
    """An expression by itself, so that it is found within others, too."""
    children = node.children()
    if len(children) == 1 and children[0].is_named() and not node.is_leaf():
        return _inmost(children[0])
    return node


def _holds(node: SgNode, start: int, end: int) -> bool:
    first, last = _span(node)
    return first <= start and end <= last


def _span(node: SgNode) -> tuple[int, int]:
    place = node.range()
    return place.start.index, place.end.index


def _length(node: SgNode) -> int:
    first, last = _span(node)
    return last - first


def _root(text: str, language: str) -> SgNode:
    return SgRoot(text, language).root()
