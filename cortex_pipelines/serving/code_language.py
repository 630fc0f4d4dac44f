"""Which language the code around a cursor is in."""

import re
from collections.abc import Iterator, Sequence

from tree_sitter import Node

from cortex_pipelines.syntax.grammars import Grammar, parse

_TELLING = 1_500
"""Characters before and after the cursor that tell the language."""

MOST_WRONG = 0.3
"""Largest share of bytes in errors in what is surely code."""

_MARKS = {
    "python": re.compile(
        r"\bself\b|\b(?:def|elif|except|async def|lambda|not in|is not) |\b(?:None|True|False)\b|:$|^[ \t]*@\w|"
        r"^[ \t]*(?:from [\w.]+ )?import [\w., ]+$|\"{3}|:param |^[ \t]*#[ !]",
        re.MULTILINE,
    ),
    "javascript": re.compile(
        r"\bfunction\b|=>|[!=]==|\b(?:const|let|var) |\brequire\(|\b(?:undefined|module|exports)\b|\bthis\."
    ),
    "typescript": re.compile(
        r"\w\??: (?:string|number|boolean|void|any|unknown|\w+\.?[A-Z]\w*)\b|^export |=>|[!=]==|"
        r"\b(?:interface|readonly|type|as) \w|\b(?:const|let) |\bundefined\b|\bthis\.",
        re.MULTILINE,
    ),
    "java": re.compile(
        r"\b(?:public|private|protected|static|final|throws|extends|void|boolean|int) |@[A-Z]\w|\bnew [A-Z]|\bString\b|"
        r"^import [\w.]+;|\{@|^ +\* |[\w>] \w+ = [^;]*;$|\.class\b",
        re.MULTILINE,
    ),
    "go": re.compile(
        r"\bfunc\b|:=|\b(?:nil|err)\b|^package \w+$|\bstruct \{|\b(?:range|string|defer|chan) |\bmap\[|\[\]\w|\bfmt\.|"
        r"&\w+\{|\*[A-Z]\w|^\t*// ",
        re.MULTILINE,
    ),
    "rust": re.compile(
        r"\b(?:fn|impl|pub|match|use|let) |\bmut\b|&(?:mut|self|str|\w)|\w::|\b(?:Some|Ok|Err|None)\b|->|#\[|\w!\(|"
        r"\.unwrap\(|///|\b(?:u8|u64|usize|i32)\b|\?;"
    ),
}
"""What is frequent in a language and rare in the others; of 1,200 windows of six projects the most marks were the
right language's in 93 %, with the bytes in errors of the first two in 95 %, where errors alone said 86 %."""

_MANY_MARKS, _MOST_MARKS, _WORTH = 3, 10, 0.03
"""Marks that are clear without another half as many; that count at most; share of bytes in errors that one is worth."""

_TRIPLE_QUOTES, _COMMENT_MARK = re.compile(r'"{3}|\'{3}'), re.compile(r"/\*|\*/")


def likeliest_grammar(grammars: Sequence[Grammar], before: str, after: str) -> tuple[Grammar, float]:
    """The grammar with most marks and fewest bytes in errors, and the share of these.

    Only what the marks leave open is parsed by two: a wrong grammar takes several times as long as the right one.
    """
    if len(grammars) == 1:
        return grammars[0], 0.0
    ending, following = before[-_TELLING:], after[:_TELLING]
    marks = {name: len(pattern.findall(ending + following)) for name, pattern in _MARKS.items()}
    first, *remaining = sorted(dict.fromkeys(grammar.language for grammar in grammars), key=lambda name: -marks[name])
    is_clear = not remaining or marks[first] >= max(_MANY_MARKS, 2 * marks[remaining[0]])
    languages = {first} if is_clear else {first, remaining[0]}
    scores = {}
    for number, grammar in enumerate(grammars):
        if grammar.language in languages:
            wrong = _share_in_errors(after_comment(ending, grammar) + following, grammar)
            scores[wrong - _WORTH * min(marks[grammar.language], _MOST_MARKS), number] = grammar, wrong
    return scores[min(scores)]


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


def nodes(root: Node, start: int = 0, *, errors: bool = False) -> Iterator[Node]:
    """Nodes in order that end after a byte; with ``errors`` only those that hold an error."""
    pending = [root]
    while pending:
        node = pending.pop()
        if node.end_byte >= start and (not errors or node.has_error):
            yield node
            pending += reversed(node.children)
