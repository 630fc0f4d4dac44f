"""Rewrite the comments and layout of units without a formatter, and verify that the code is the same."""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter

from tree_sitter import Node

from cortex_pipelines.augmentation.node_table import COMMENTS, NodeTable, indent_unit, own_indent
from cortex_pipelines.augmentation.python_code import header_for, same_tree
from cortex_pipelines.augmentation.seeding import draw
from cortex_pipelines.augmentation.snippets import Edit, Snippet, applied, parse_unit
from cortex_pipelines.schemas.vocabulary import LANGUAGES

_LISTS = ("argument_list", "arguments", "parameters", "formal_parameters", "parameter_list")


_CLOSED_ON_ITS_LINE = frozenset(LANGUAGES) - {"java"}
_TRAILING_COMMA = ("python", "go", "rust")
"""Languages whose formatters put the closing bracket on a line of its own, and a comma after the last argument."""
_NOT_OF_A_CALL = ("result", "receiver")


def _one_argument_a_line(view: NodeTable) -> Iterator[Edit]:
    """Lists of arguments and parameters as the formatter of the language breaks them."""
    language, unit = view.language, indent_unit(view)
    broken_until = 0
    for node in sorted((node for kind in _LISTS for node in view.by_type.get(kind, ())), key=attrgetter("start_byte")):
        parts = [part for part in node.named_children if part.type not in COMMENTS]
        alone = node.start_point[0] == node.end_point[0] and view.field(node) not in _NOT_OF_A_CALL
        is_inside = node.start_byte < broken_until  # of a list that is broken already
        if is_inside or len(parts) < 2 or not alone or view.text[node.start_byte : node.start_byte + 1] != b"(":
            continue
        line = view.text.rfind(b"\n", 0, node.start_byte) + 1
        text = view.text[line : node.start_byte]
        indent: str | None = text[: len(text) - len(text.lstrip())].decode("ascii", "replace")
        if line <= len(view.snippet.prefix):  # the first line, without its indentation
            indent = own_indent(view)
        if indent is None or view.text[parts[-1].end_byte : node.end_byte].strip() not in (b")", b",)"):
            continue
        if any("string" in above.type or above.type.startswith("jsx") for above in view.ancestors(node)):
            continue
        broken_until = node.end_byte
        deeper = indent + unit * (1 if language in _CLOSED_ON_ITS_LINE else 2)
        for part in parts:
            before = len(view.text[: part.start_byte].rstrip())
            if view.text[before - 1 : before] in (b"(", b","):
                yield Edit(before, part.start_byte, f"\n{deeper}")
        if language in _CLOSED_ON_ITS_LINE:
            comma = "," if language in _TRAILING_COMMA else ""
            yield Edit(parts[-1].end_byte, node.end_byte - 1, f"{comma}\n{indent}")


# What a tool reads: the comment is a part of the program for someone.
_DIRECTIVE = re.compile(
    r"^(?:#!|#\s*-\*-|#\s*(?:type|noqa|pragma|pylint|mypy|fmt|isort|ruff|nosec|pyright)\b|//go:|"
    r"//\s*\+build|//\s*nolint|/[/*]\s*(?:eslint|@ts-|tslint|istanbul|prettier|jshint|global\b|"
    r"webpack|@__PURE__|#__PURE__|NOSONAR|NOPMD|CHECKSTYLE|c8 )|/[/*][*!/])",
    re.IGNORECASE,
)


def _plain_comments(view: NodeTable) -> Iterator[Node]:
    for kind in sorted(COMMENTS):
        for node in view.by_type.get(kind, ()):
            if not _DIRECTIVE.match(view.code(node)):
                yield node


def _comments_removed(view: NodeTable) -> Iterator[Edit]:
    for node in _plain_comments(view):
        end = node.end_byte - (view.text[node.end_byte - 1 : node.end_byte] == b"\n")
        span = view.lines(node)
        if span is not None:
            yield Edit(*span, "")
            continue
        line = view.text.rfind(b"\n", 0, node.start_byte) + 1
        line_tail = view.text[end : view.text.find(b"\n", end) if b"\n" in view.text[end:] else None]
        if line_tail.strip():  # code follows on the line: something has to part it from the code before
            yield Edit(node.start_byte, end, " ")
        else:
            before = view.text[line : node.start_byte].rstrip()
            yield Edit(line + len(before), end, "")


def _comments_restyled(view: NodeTable) -> Iterator[Edit]:
    for node in _plain_comments(view):
        text = view.code(node)
        end = node.end_byte - text.endswith("\n")
        text = text.rstrip("\n")
        if _CODE.search(text) or _goes_on(node):
            continue
        if text.startswith("/*"):
            words = text[2:-2].strip()
            plain = "\n" not in words and view.text[end : end + 1] == b"\n"
            new = f"// {_recased(words)}" if plain and words else f"/* {_recased(words)} */"
        else:
            mark = "#" if view.language == "python" else "//"
            words = text[len(mark) :].strip()
            safe = view.language != "python" and "*/" not in words and words
            new = f"/* {_recased(words)} */" if safe else f"{mark} {_recased(words)}".rstrip()
        if new != text:
            yield Edit(node.start_byte, end, new)


_CODE = re.compile(r"[=;{}]|\w\(")


def _goes_on(node: Node) -> bool:
    """Whether a comment is a part of one of several lines, each of which need not be a sentence."""
    siblings = (node.prev_sibling, node.next_sibling)
    return any(
        other is not None and other.type in COMMENTS and abs(other.start_point[0] - node.start_point[0]) == 1
        for other in siblings
    )


def _recased(words: str) -> str:
    if not words or not words[0].isalpha() or not words.isascii():
        return words
    first = words.split()[0]
    if first[1:].islower() or len(first) == 1:
        words = words[0].swapcase() + words[1:]
    if "\n" in words or words[-1] in ":,;":
        return words
    return words[:-1] if words.endswith(".") and not words.endswith("..") else words + "."


REWRITES: dict[str, tuple[str, Callable[[NodeTable], Iterator[Edit]]]] = {
    "comments_removed": ("comments", _comments_removed),
    "comments_restyled": ("comments", _comments_restyled),
    "one_argument_a_line": ("layout", _one_argument_a_line),
}
"""Name in the data to what a rewrite changes besides the tokens, which stay, and its edits, in all languages."""


@dataclass(frozen=True)
class Rewritten:
    """The rewrite's name, its family (``comments`` or ``layout``) and the code."""

    rewrite: str
    family: str
    code: str


def rewritten(code: str, language: str, kind: str, path: str, limit: int, *seed: object) -> list[Rewritten]:
    """At most ``limit`` distinct rewrites of a unit, drawn by hash."""
    snippet = parse_unit(code.encode(), language, kind, path) if limit else None
    if snippet is None:
        return []
    by_code: dict[str, Rewritten] = {}
    view, shift, end = NodeTable(snippet), len(snippet.prefix), len(snippet.prefix) + len(snippet.code)
    for name in sorted(REWRITES, key=lambda candidate: draw(*seed, candidate)):
        family, edits = REWRITES[name]
        inside = [edit for edit in edits(view) if shift <= edit.start and edit.end <= end]
        full_text = applied(view.text, inside)
        changed = full_text[shift : len(full_text) - len(snippet.suffix)]
        if changed != snippet.code and is_same(view, changed):
            variant = changed.decode("utf-8", "replace")
            by_code.setdefault(variant, Rewritten(name, family, variant))
        if len(by_code) >= limit:
            break
    return sorted(by_code.values(), key=lambda variant: variant.rewrite)


def is_same(view: NodeTable, changed: bytes) -> bool:
    """Whether a rewritten unit has the same tokens, but for trailing commas, and in Python the same syntax tree."""
    snippet = view.snippet
    other = snippet.with_code(changed)
    if other.errors or _without_trailing_commas(snippet) != _without_trailing_commas(other):
        return False
    if view.language != "python":
        return True
    header = header_for(view.nodes, snippet.prefix)
    try:
        before, after = (ast.parse(header + code) for code in (snippet.code, changed))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return same_tree(before, after)


def _without_trailing_commas(snippet: Snippet) -> list[tuple[str, bytes]]:
    tokens = snippet.tokens
    followed = zip(tokens, [*tokens[1:], ("", b"")], strict=False)
    return [token for token, (after, _) in followed if (token[0], after) != (",", ")")]
