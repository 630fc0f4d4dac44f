"""Where a completion of code ends: with the block, the statement or the line that it began.

Each end is tried on the syntax tree of prompt, answer and suffix, which may hold no more errors than the tree without
the answer: what a parser says of unfinished code is judged against the same unfinished code. Brackets that the prompt
leaves open are closed for the parser if the suffix is empty.
"""

import ast
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product, takewhile
from typing import Literal

from tree_sitter import Node, Tree

from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.serving.code_language import MOST_WRONG, after_comment, likeliest_grammar, nodes
from cortex_pipelines.syntax.grammars import GRAMMARS, Grammar, error_count, parse
from cortex_pipelines.syntax.unparsable import skip_reason

_NEAR = 6_000
"""Characters of the prompt, and of the suffix, that are parsed: some 150 lines."""

_MOST_ERRORS = 20
"""Of text without the answer, above which another placeholder would hardly make fewer, and is slow to parse."""

_MOST_MISSING = 4
"""Brackets that an answer before a suffix may have to close."""

_WRONG_LINES = 0.1
"""Largest share of errors to lines where too many bytes are in errors; prose has more of both."""

CLOSERS = {"(": ")", "[": "]", "{": "}", "${": "}"}
CLOSING = frozenset(CLOSERS.values())
HEADING = re.compile(r"[ \t]*(?:#|//) (\S+\.\w+)[ \t]*")
_TEXT, _SUBSTITUTION = re.compile(r"(?:string(?:_literal)?|comment)$"), re.compile(r"interpolation|substitution")
_CLAUSE = re.compile(r"\s*(?:[)\]}]|(?:else|elif|except|finally|catch)\b)")
_CODE_NODE = re.compile(
    r"function|method|class|import|assignment|call|return|declaration|declarator|(?:if|for|while|with|try|use|package)_|"
    r"struct|impl|decorat|lambda|arrow|macro_invocation|annotation|export_"
)

Extent = Literal["block", "statement", "line"]


def code_end(prefix: str, suffix: str = "", language: str | None = None) -> "CodeEnd | None":
    """What ends an answer between two texts; None if they are not code of a language with a grammar."""
    before, after = _near_end(prefix), _near_start(suffix)
    name = language or _heading_language(prefix)
    grammars = [grammar for grammar in GRAMMARS if name in (None, grammar.language)]
    if not grammars or not prefix.strip() or skip_reason((before + after).encode(), grammars[0], _NEAR * 8):
        return None
    if (likeliest := likeliest_grammar(grammars, before, after)) is None:
        return None
    grammar, wrong = likeliest
    end = CodeEnd(grammar, after_comment(before, grammar), after)
    lines = before.count("\n") + after.count("\n") + 1
    is_wrong = wrong > MOST_WRONG and end.errors > _WRONG_LINES * lines
    return None if name is None and (is_wrong or not end.looks_like_code) else end


@dataclass(frozen=True)
class CodeEnd:
    """The end of an answer at a cursor, by its language and the code around it."""

    grammar: Grammar
    before: str
    after: str

    @cached_property
    def extent(self) -> Extent:
        """A block if the prompt has just begun one, a line if what it begins follows already, else a statement."""
        if self.after.split("\n", 1)[0].strip() or self.is_above_block:
            return "line"
        if self._is_python:
            return "block" if self._code_before.endswith(":") and not self._open else "statement"
        return "block" if self._code_before.endswith("{") else "statement"

    @cached_property
    def is_above_block(self) -> bool:
        """Whether the next line is indented deeper: it belongs to what the cursor's line begins."""
        below = re.match(r"[ \t]*\n(?:[ \t]*\n)*([ \t]*)\S", self.after)
        is_placed = len(self.cursor_line) > 0 or not (self._is_python or self._open)  # else a blank line in a block
        return below is not None and is_placed and _indent(self.cursor_line) < len(below[1])

    @property
    def cursor_line(self) -> str:
        """What stands before the cursor on its line."""
        return self.before[self.before.rfind("\n") + 1 :]

    @cached_property
    def margin(self) -> str:
        """White space before the statement whose block the answer is."""
        code = self._code_before
        line = code[_start_of_statement(code) :]
        return line[: len(line) - len(line.lstrip(" \t"))]

    @property
    def lead(self) -> str:
        """White space that an answer has to begin with to stand within Python's block."""
        if self.extent != "block" or not self._is_python or self.cursor_line.strip() or "\n" not in self.before:
            return ""
        inner = self.margin + self._step
        is_outside = len(self.cursor_line) <= len(self.margin)
        return inner.removeprefix(self.cursor_line) if is_outside and inner.startswith(self.cursor_line) else ""

    @property
    def is_indented(self) -> bool:
        """Whether all white space before the answer's first letter stands before the cursor, or in ``lead``."""
        line, width = self.cursor_line, len(self.margin) + (self.extent == "block")
        return bool(self.lead) or (bool(line) and not line.strip() and len(line) >= width)

    @property
    def barred(self) -> str:
        """Letters that no answer begins with: a comment's, also of Python, and a bracket's that closes too much."""
        closers = "" if self.extent != "block" and self.open_after != self._open else ")]}"
        return closers + {"python": "#", "go": "/#", "java": "/#"}.get(self.grammar.language, "/")

    @cached_property
    def closing_mark(self) -> str:
        """What closes, after the cursor, the string or comment around it; empty outside of one."""
        cursor = len(self.before.encode())
        node = self._tree(self.before + self.after).root_node.descendant_for_byte_range(cursor, cursor)
        while node is not None and not (_TEXT.search(node.type) and node.start_byte < cursor < node.end_byte):
            node = None if _SUBSTITUTION.search(node.type) else node.parent
        if node is None or node.has_error:
            return ""
        text = (node.children[-1].text if node.child_count else node.text) or b""
        mark = text.decode() if node.child_count else "*/" * text.endswith(b"*/")
        if cursor + len(mark.encode()) > node.end_byte:
            return ""
        if mark in self.after.split("\n", 1)[0]:
            return mark
        is_begun = mark == '"' and node.start_point.row == self.before.count("\n")  # hardly one of several lines
        is_closed = not is_begun and self._errors(self.before + self.after) <= self._errors(self._text(mark, ()))
        return mark if is_closed else ""

    @property
    def errors(self) -> int:
        """Errors of the code with the best placeholder instead of the answer."""
        return self._placeholder[0]

    @property
    def looks_like_code(self) -> bool:
        root = self._tree(self._text(self._placeholder[2], self.open_after)).root_node
        return any(node.is_named and _CODE_NODE.search(node.type) for node in nodes(root))

    @cached_property
    def open_after(self) -> tuple[str, ...]:
        """Brackets that are open after the answer: those before it without those that it has to close."""
        return self._open[: len(self._open) - self._placeholder[1]]

    def is_whole(self, answer: str) -> bool:
        """Whether the code parses with this answer, and the answer closes what it has to."""
        opened = self.brackets_after(answer)
        if opened != self.open_after and not (
            self.is_above_block and opened[: len(self.open_after)] == self.open_after
        ):
            return False
        text = self._text(answer, self.open_after)
        return self._errors(text) <= self.errors and (not self._compiles or _is_python(text))

    def brackets_after(self, answer: str) -> tuple[str, ...]:
        """Brackets open at the end of an answer, by the leaves of the tree: strings and comments hold none."""
        kinds = _brackets(self._tree(self.before + answer).root_node, len(self.before.encode()))
        return _still_open(kinds, self._open)

    @cached_property
    def _is_python(self) -> bool:
        return self.grammar.language == "python"

    @cached_property
    def _open(self) -> tuple[str, ...]:
        return _still_open(_brackets(self._tree(self.before).root_node))

    @cached_property
    def _placeholder(self) -> tuple[int, int, str]:
        """The fewest errors without the answer, the brackets it then closes, and its placeholder."""
        best = (sys.maxsize, 0, "")
        openers = ("", ":" if self._is_python else "{") if self.is_above_block else ("",)
        for missing, opener in product(self._possibly_missing(), openers):
            open_brackets = self._open[: len(self._open) - missing]
            for filler, ending in self._fillers():
                text = filler + _closing(self._open[len(open_brackets) :]) + ending
                if (errors := self._errors(self._text(text + opener, open_brackets))) < best[0]:
                    best = (errors, missing, text)
                if not 0 < errors <= _MOST_ERRORS:
                    return best
        return best

    @cached_property
    def _compiles(self) -> bool:
        """Whether Python's own parser, which is stricter, reads the code without the answer."""
        closing = _closing(self._open[len(self.open_after) :])
        texts = (self._text(filler + closing + ending, self.open_after) for filler, ending in self._fillers())
        return self._is_python and any(map(_is_python, texts))

    def _possibly_missing(self) -> Sequence[int]:
        """How many brackets the answer may have to close, the likeliest first."""
        count = len(self._open)
        if self.after.strip():
            return range(min(count, _MOST_MISSING) + 1)
        if self._is_python:
            return [0 if count and not self.cursor_line.strip() else count]
        first = int(self.extent == "block")
        outer = reversed(self._open[: count - first])
        return [first + sum(1 for _ in takewhile("([".__contains__, outer))]

    def _fillers(self) -> Sequence[tuple[str, str]]:
        """What may stand for the answer: its beginning, and what follows the brackets that it closes."""
        if not self._is_python:
            fillers = [("", ""), ("x", ""), ("x", ";"), ("", ";"), ("\nx", ""), ("x", "{}"), ("", "{}")]
        else:
            inner = f"\n{self.margin}{self._step}pass"
            inside = inner if self.cursor_line.strip() else f"{self.lead}pass"
            fillers = [(inside, ""), ("x", ""), ("", ""), ("x", ": pass"), ("x", f":{inner}")]
            fillers.append((f"{inside}\n{self.margin}finally:{inner}", ""))
        quotes = [] if self.closing_mark else [each for each in "\"'`" if self.cursor_line.count(each) % 2]
        return [(quote, ending) for quote in quotes for ending in ("", ";", ":", "{}")] + fillers

    def _text(self, answer: str, still_open: tuple[str, ...]) -> str:
        if self.after.strip():
            inner, closed = self._unclosed_below
            outer = still_open[: max(len(still_open) - closed, 0)]
            return self.before + answer + self.after + _closing((*outer, *inner))
        return f"{self.before}{answer}\n{_closing(still_open)}"

    @cached_property
    def _unclosed_below(self) -> tuple[tuple[str, ...], int]:
        """Brackets open at the end of the text after the cursor, of those before it how many that closes.

        All of them unless it is cut off within a block: a file's last line is not indented.
        """
        if not re.search(r"\n[ \t]+\S.*\s*\Z", self.after):
            return (), len(self._open)
        return _match_brackets(_brackets(self._tree(self.after).root_node))

    @cached_property
    def _step(self) -> str:
        """White space of one level."""
        indents = re.findall(r"^[ \t]+(?=\S)", self.before + self.after, re.MULTILINE)
        return "\t" if any("\t" in each for each in indents) else min(indents, key=len, default="    ")

    @cached_property
    def _code_before(self) -> str:
        """The text before the cursor without blank lines and comments at its end."""
        lines, mark = self.before.split("\n"), "#" if self._is_python else "//"
        while lines and (not lines[-1].strip() or lines[-1].lstrip().startswith(mark)):
            lines.pop()
        if lines:
            lines[-1] = re.sub(rf"\s{mark}[^\"']*$", "", lines[-1])
        return "\n".join(lines).rstrip()

    def _tree(self, text: str) -> Tree:
        return parse(text.encode(), self.grammar)

    def _errors(self, text: str) -> int:
        return error_count(self._tree(text).root_node)


def _near_end(prefix: str) -> str:
    """The end of a text, from a line at its top level if one is near, else with the headers of the blocks around it."""
    if len(prefix) <= _NEAR:
        return prefix
    tail = prefix[-_NEAR:]
    if start := re.search(r"\n(?=[^\s)\]}])", tail):
        return tail[start.end() :]
    margin = min(re.findall(r"\n([ \t]+)(?=\S)", tail), key=len, default="")
    member = re.search(rf"\n(?={margin}[^\s)\]}}])", tail)
    headers = _headers(prefix[:-_NEAR].split("\n"), len(margin))
    return "\n".join([*headers, tail[member.end() if member else tail.find("\n") + 1 :]])


def _headers(lines: Sequence[str], margin: int) -> Sequence[str]:
    """Lines that begin the blocks around what follows them with an indentation."""
    headers: list[str] = []
    for number in reversed(range(len(lines))):
        line = lines[number]
        if line.strip() and _indent(line) < margin and not _CLAUSE.match(line):
            ends = (last for last in range(number, len(lines)) if lines[last].rstrip().endswith(("{", ":")))
            headers[:0] = lines[number : next(ends, number) + 1]
            if not (margin := _indent(line)):
                break
    return headers


def _near_start(suffix: str) -> str:
    if len(suffix) <= _NEAR:
        return suffix
    head = suffix[:_NEAR]
    starts = [match.start() for match in re.finditer(r"\n(?=[^\s)\]}])", head)]
    return head[: starts[-1] + 1] if starts else head[: head.rfind("\n") + 1]


def _heading_language(prefix: str) -> str | None:
    heading = HEADING.fullmatch(prefix.split("\n", 1)[0])
    return language_of(heading[1], "") if heading else None


def _is_python(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def _closing(opened: Sequence[str]) -> str:
    return "".join(CLOSERS[each] for each in reversed(opened))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _start_of_statement(code: str) -> int:
    """Start of the line on which the last statement begins: further up, where its brackets are opened."""
    position, depth = len(code), 0
    while position > 0 and not (depth == 0 and code[position - 1] == "\n"):
        position -= 1
        depth += (code[position] in ")]}") - (code[position] in "([{" and depth > 0)
    return position


def _still_open(kinds: Iterable[str], opened: Sequence[str] = ()) -> tuple[str, ...]:
    return _match_brackets(kinds, opened)[0]


def _match_brackets(kinds: Iterable[str], opened: Sequence[str] = ()) -> tuple[tuple[str, ...], int]:
    """Brackets that are still open, and how many close none of these."""
    stack, excess = list(opened), 0
    for kind in kinds:
        if kind in CLOSERS:
            stack.append(kind)
        elif not stack:
            excess += 1
        elif CLOSERS[stack[-1]] == kind:
            stack.pop()
    return tuple(stack), excess


def _brackets(root: Node, start: int = -1) -> Iterator[str]:
    """Brackets that end after a byte, in order."""
    for node in nodes(root, start):
        if not node.child_count and not node.is_missing and (node.type in CLOSERS or node.type in CLOSING):
            yield node.type
