"""Which language the code around a cursor is in."""

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

from tree_sitter import Node

from cortex_pipelines.syntax.grammars import Grammar, parse

_TELLING = 1_500
"""Characters before and after the cursor that tell the language."""

_SHORT = 80
"""Characters that a language can hardly be told by."""

MOST_WRONG = 0.3
"""Largest share of bytes in errors in what is surely code."""

_DIALECTS = {"javascript": ("javascript", "typescript"), "typescript": ("typescript", "javascript")}
"""Languages that are taken for one another."""

_ENOUGH, _SURE = 300, 0.8
"""Characters that a language is told by, and how sure it has to be of fewer."""
_UNSURE = frozenset({"txt", "unknown", "undefined", "empty"})

_LIKELIER = 0.03
"""Share of bytes in errors by which a dialect has to be better than the language that was named."""

_WORDS = {
    "python": re.compile(r"\bself\b|\b(?:def|elif|except|lambda|import) |:$", re.MULTILINE),
    "javascript": re.compile(r"\bfunction\b|=>|===|\b(?:const|let|var) |\brequire\(|\bthis\."),
    "typescript": re.compile(r"\w: (?:string|number|boolean|void)\b|=>|===|\b(?:const|let|interface|type|export) "),
    "java": re.compile(r"\b(?:public|private|protected|static|final|void|int) |@[A-Z]\w|\bString\b"),
    "go": re.compile(r"\bfunc\b|:=|\b(?:nil|err)\b|\bpackage |\bstruct \{|\b(?:range|string|defer) "),
    "rust": re.compile(r"\b(?:fn|impl|pub|match|use|let) |\bmut\b|\w::|->|#\["),
}

_CODE = re.compile(
    r"[=(){}\[\]<>]|;$|\w\.\w|^[ \t]+(?:if|for|while|final|void)\b|^\s*(?:@\w|(?:"
    r"import|from|package|use|return|def|class|func|fn|let|const|var|async|await|public|private|protected|static|export|"
    r"type|struct|enum|interface|impl|pub|mod|raise|throw|yield|else|try)\b.{0,60}$)",
    re.MULTILINE,
)
"""What code of a few lines has that prose hardly has: signs, or a line that begins with a word of a language."""

_TRIPLE_QUOTES, _COMMENT_MARK = re.compile(r'"{3}|\'{3}'), re.compile(r"/\*|\*/")


def likeliest_grammar(grammars: Sequence[Grammar], before: str, after: str) -> tuple[Grammar, float] | None:
    """The grammar of the language that the text is in, and the share of bytes in errors; None if it has no grammar.

    Of a few lines the language is unsure: the one with most words of its own, of equals the one with fewest errors.
    """
    if len(grammars) == 1:
        return grammars[0], 0.0
    ending, following = before[-_TELLING:], after[:_TELLING]
    language = _language(_whole_lines(before) + after[max(after.find("\n"), 0) :][:_TELLING])
    possible = _DIALECTS.get(language, (language,))
    if (is_unsure := language in _UNSURE) and not _CODE.search(ending + following):
        return None
    scores = {}
    for number, grammar in enumerate(grammars):
        if is_unsure or grammar.language in possible:
            wrong = _share_in_errors(after_comment(ending, grammar) + following, grammar)
            words = len(_WORDS[grammar.language].findall(ending)) if is_unsure else 0
            penalty = wrong - _LIKELIER * (grammar.language == language)
            scores[-words, penalty, number] = grammar, wrong
    return scores[min(scores)] if scores else None


def _whole_lines(before: str) -> str:
    """Text before the cursor's line, so that the language is told once while that is typed; all of a short text."""
    lines = before[: before.rfind("\n") + 1]
    return (lines if len(lines) >= _SHORT else before)[-_TELLING:]


@lru_cache(256)
def _language(text: str) -> str:
    """By magika (arXiv 2409.13768): of 1,272 windows of files without a grammar here, 45 were taken for one with."""
    result = _identifier().identify_bytes(text.encode(errors="replace"))
    is_sure = len(text) >= _ENOUGH or result.score >= _SURE
    return str(result.output.label) if is_sure else "unknown"


@cache
def _identifier() -> Any:
    from magika import Magika

    return Magika()


def after_comment(text: str, grammar: Grammar) -> str:
    """Without the rest of a comment or docstring that a text begins within: prose up to a mark that may end one."""
    mark = (_TRIPLE_QUOTES if grammar.language == "python" else _COMMENT_MARK).search(text)
    if mark is None or mark[0] == "/*" or _share_in_errors(text[: mark.start()][-_TELLING:], grammar) <= MOST_WRONG:
        return text
    return text[mark.end() :]


def _share_in_errors(text: str, grammar: Grammar) -> float:
    data = text.encode()
    return _bytes_in_errors(parse(data, grammar).root_node) / max(len(data), 1)


def _bytes_in_errors(root: Node) -> int:
    """Bytes of the leaves of errors: an error may hold a block that is not closed, whose statements are right."""
    errors = (node for node in nodes(root, errors=True) if node.is_error)
    leaves = (child for error in errors for child in error.children if not child.child_count)
    return sum(leaf.end_byte - leaf.start_byte for leaf in leaves)


def nodes(root: Node, start: int = -1, *, errors: bool = False) -> Iterator[Node]:
    """Nodes in order that end after a byte; with ``errors`` only those that hold an error."""
    pending = [root]
    while pending:
        node = pending.pop()
        if node.end_byte > start and (not errors or node.has_error):
            yield node
            pending += reversed(node.children)
