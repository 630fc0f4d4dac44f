"""TODO notes and commented-out code."""

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import text
from cortex_pipelines.annotation.complexity.syntax import types_of
from cortex_pipelines.annotation.complexity.treewalk import NodeVisit
from cortex_pipelines.annotation.detector import Detector, Evidence, FileContext, evidence
from cortex_pipelines.schemas.vocabulary import LANGUAGES
from cortex_pipelines.syntax.grammars import grammar_for, parse

_TODO = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
_MARKERS = re.compile(r"^\s*(?:#+!?|//+!?|/\*+|\*+/?)?(.*?)(?:\*+/)?\s*$")
_MAX_BYTES = 4000
_MAX_PARSED = 500  # of a file: a table in comments is not looked at line by line
# Before parsing: a line of code ends in a way, or has a form, that prose does not.
_CODE_LINE = re.compile(
    r"[;{}]\s*$|^\s*[\w.\[\]'\"]+\s*(=|\+=|:=)\s*\S|^\s*(return|yield|raise|throw|import|from|del|await)\s+\S+"
    r"|^\s*(if|for|while|def|class|elif|else|try|with)\b.*[:{]\s*$|^\s*[\w.]+\(.*\)\s*$"
)
_PROSE = re.compile(r"[A-Za-z]{2,} [a-z]{2,} [a-z]{2,} [a-z]{2,}|https?://|^\s*(e\.g\.|i\.e\.|see )", re.I)
_STATEMENTS = re.compile(r"statement|declaration|assignment|call|definition|if_expression|let_")


class Todo(Detector):
    labels = ("todo-comment",)
    types: ClassVar = {language: types_of("skip", language) for language in LANGUAGES}

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        """Comments with a marker word that editors recognise."""
        if _TODO.search(text(visit.node)):
            yield evidence("todo-comment", visit.node)


class CommentedOutCode(Detector):
    labels = ("commented-out-code",)
    types: ClassVar = Todo.types

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        return self.find_all([visit], context)

    def find_all(self, visits: Sequence[NodeVisit], context: FileContext) -> Iterator[Evidence]:
        parsed = 0
        for run in _runs([comment.node for comment in visits]):
            start, end = run[0].start_byte, run[-1].end_byte
            if end - start > _MAX_BYTES or parsed >= _MAX_PARSED:
                continue
            code = _code("\n".join(text(comment).rstrip("\n") for comment in run))
            parsed += code is not None
            if code is not None and _parses(code, context.language):
                yield Evidence(start, end, "commented-out-code")


def _runs(comments: Sequence[Node]) -> Iterator[list[Node]]:
    run: list[Node] = []
    for comment in comments:
        if run and not _is_below(run[-1], comment):
            yield run
            run = []
        run.append(comment)
    if run:
        yield run


def _is_below(first: Node, second: Node) -> bool:
    # a line comment of Rust ends where the next line begins
    row, column = first.end_point
    rows = second.start_point[0] - (row - 1 if column == 0 else row)
    return rows == 1 and first.start_point[1] == second.start_point[1]


def _code(raw: str) -> str | None:
    """Comment text without markers, if it looks like code."""
    if raw.startswith(("///", "//!", "/**", "#!", "# type:", "# noqa", "# pragma", "//go:")):
        return None
    lines = [_MARKERS.sub(r"\1", line) for line in raw.split("\n")]
    code = [line for line in lines if line.strip()]
    looks = [line for line in code if _CODE_LINE.search(line)]
    if not looks or 2 * len(looks) < len(code) or _PROSE.search(raw):
        return None
    return "\n".join(lines).strip("\n")


def _parses(code: str, language: str) -> bool:
    """Whether text parses without error as more than a name or number."""
    for before, after in _FRAMES[language]:
        root = parse(f"{before}{_dedent(code)}{after}".encode(), grammar_for(language)).root_node
        if not root.has_error:
            return bool(before) or any(_STATEMENTS.search(statement.type) for statement in root.named_children)
    return False


def _dedent(code: str) -> str:
    first = len(code) - len(code.lstrip(" "))
    return "\n".join(line[first:] if line[:first].isspace() else line for line in code.split("\n"))


# What has to stand around a statement for it to be a file; a header of Python needs a body.
_FRAMES = {
    "python": (("", ""), ("", "\n    pass\n")),
    "javascript": (("", ""), ("async function f() {", "\n}")),
    "typescript": (("", ""), ("async function f() {", "\n}")),
    "java": (("class A { void f() {", "\n}}"),),
    "go": (("package a\nfunc f() {\n", "\n}\n"),),
    "rust": (("fn f() {", "\n}"), ("fn f() {", ";\n}")),
}
