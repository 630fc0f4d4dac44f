"""Change the layout of tokens without a formatter, identically on every machine."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.augmentation.node_table import COMMENTS, NodeTable, indent_unit, own_indent
from cortex_pipelines.augmentation.rewriting.rewrite_units import Rewrite
from cortex_pipelines.augmentation.snippets import Edit
from cortex_pipelines.schemas.vocabulary import LANGUAGES

_LISTS = ("argument_list", "arguments", "parameters", "formal_parameters", "parameter_list")


_CLOSED_ON_ITS_LINE = frozenset(LANGUAGES) - {"java"}
_TRAILING_COMMA = ("python", "go", "rust")
"""Languages whose formatters put the closing bracket on a line of its own, and a comma after the last argument."""
_NOT_OF_A_CALL = ("result", "receiver")


class OneArgumentALine(Rewrite):
    """Lists of arguments and parameters as the formatter of the language breaks them."""

    name = "one_argument_a_line"
    family = "layout"
    languages = LANGUAGES

    def edits(self, view: NodeTable) -> Iterator[Edit]:
        language, unit = view.language, indent_unit(view)
        broken_until = 0
        for node in sorted((node for kind in _LISTS for node in view.by_type.get(kind, ())), key=_start):
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


def _start(node: Node) -> int:
    return node.start_byte


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


class CommentsRemoved(Rewrite):
    name = "comments_removed"
    family = "comments"
    languages = LANGUAGES

    def edits(self, view: NodeTable) -> Iterator[Edit]:
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


class CommentsRestyled(Rewrite):
    name = "comments_restyled"
    family = "comments"
    languages = LANGUAGES

    def edits(self, view: NodeTable) -> Iterator[Edit]:
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
