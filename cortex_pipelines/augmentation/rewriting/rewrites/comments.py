"""Remove or restyle comments; doc comments are not part of a unit's body."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.augmentation.node_table import COMMENTS, NodeTable
from cortex_pipelines.augmentation.rewriting.rule import Edit, Rewrite
from cortex_pipelines.schemas.vocabulary import LANGUAGES

# What a tool reads: the comment is a part of the program for someone.
_DIRECTIVE = re.compile(
    r"^(?:#!|#\s*-\*-|#\s*(?:type|noqa|pragma|pylint|mypy|fmt|isort|ruff|nosec|pyright)\b|//go:|"
    r"//\s*\+build|//\s*nolint|/[/*]\s*(?:eslint|@ts-|tslint|istanbul|prettier|jshint|global\b|"
    r"webpack|@__PURE__|#__PURE__|NOSONAR|NOPMD|CHECKSTYLE|c8 )|/[/*][*!/])",
    re.IGNORECASE,
)
_LINE = {"python": "#"}


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
            if text.startswith("/*"):
                words = text[2:-2].strip()
                plain = "\n" not in words and view.text[end : end + 1] == b"\n"
                new = f"// {_recased(words)}" if plain and words else f"/* {_recased(words)} */"
            else:
                mark = _LINE.get(view.language, "//")
                words = text[len(mark) :].strip()
                safe = view.language != "python" and "*/" not in words and words
                new = f"/* {_recased(words)} */" if safe else f"{mark} {_recased(words)}".rstrip()
            if new != text:
                yield Edit(node.start_byte, end, new)


def _recased(words: str) -> str:
    if not words or not words[0].isalpha() or not words.isascii():
        return words
    first = words.split()[0]
    if first[1:].islower() or len(first) == 1:
        words = words[0].swapcase() + words[1:]
    if "\n" in words or words[-1] in ":,;":
        return words
    return words[:-1] if words.endswith(".") and not words.endswith("..") else words + "."
