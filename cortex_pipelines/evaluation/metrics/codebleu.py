"""Similarity of generated code to the reference.

CodeBLEU (arXiv 2009.10297) is the mean of four parts. The package of that name cannot be installed
with the grammars used here (codebleu 0.7.0 needs tree-sitter below 0.23), so three parts are
computed here: n-grams, n-grams weighted by keyword, and subtrees. The fourth, data flow, is
omitted, hence the name: CodeBLEU without data flow.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import exp, log

from tree_sitter import Node

from cortex_pipelines.annotation.labels.words import words_of
from cortex_pipelines.syntax.grammars import PARSED, grammar_for, parse

_LONGEST = 4  # tokens of an n-gram, as in BLEU
_KEYWORD_WEIGHT = 5.0  # of 1 for other tokens: CodeBLEU's ratio
_LEAVES = frozenset(
    {"string", "string_literal", "interpreted_string_literal", "raw_string_literal"}
)


def codebleu_without_dataflow(written: str, expected: str, language: str) -> float:
    """CodeBLEU without data flow, 0 to 1: the mean of three matches.

    Args:
        written: Output of the model.
        expected: What stands in the repository.
        language: One of the languages with a grammar.
    """
    ours, theirs = parsed(written, language), parsed(expected, language)
    mine, reference = list(leaves(ours)), list(leaves(theirs))
    words = [_text(node) for node in mine], [_text(node) for node in reference]
    if words[0] == words[1]:
        return 1.0
    # a keyword is a leaf of the grammar's own words: its type is its text
    keywords = {_text(node) for node in reference if _is_keyword(node)}
    parts = (
        _bleu(*words, {}),
        _bleu(*words, dict.fromkeys(keywords, _KEYWORD_WEIGHT)),
        _matching_subtrees(ours, theirs),
    )
    return sum(parts) / len(parts)


def same_code(written: str, expected: str, language: str) -> bool:
    """Whether two pieces of code are equal except for layout and comments.

    Tokens of the syntax trees are compared; where indentation has a meaning, so are the trees.
    """
    if language not in PARSED:
        return written.split() == expected.split()
    ours, theirs = parsed(written, language), parsed(expected, language)
    if language == "python":
        return _shape(ours) == _shape(theirs)
    return [_text(node) for node in leaves(ours)] == [_text(node) for node in leaves(theirs)]


def syntax_errors(code: str, language: str, path: str = "") -> int:
    """Number of ERROR and MISSING nodes in the code."""
    root = parse(code.encode(), grammar_for(language, path)).root_node
    return sum(node.is_error or node.is_missing for node in _nodes(root)) if root.has_error else 0


def subtoken_f1(written: str, expected: str) -> float:
    """F1 of the subtokens of two names, 0 to 1: ``get_user`` in ``getUserName`` is 0.8.

    The usual measure of name suggestion (code2vec, arXiv 1803.09473).
    """
    mine, theirs = (Counter(words_of(name).split()) for name in (written, expected))
    shared = sum((mine & theirs).values())
    if not shared:
        return 0.0
    precision, recall = shared / sum(mine.values()), shared / sum(theirs.values())
    return 2 * precision * recall / (precision + recall)


def leaves(root: Node) -> Iterator[Node]:
    """Tokens of a tree without comments; a string is one token."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if "comment" in node.type:
            continue
        if node.child_count == 0 or node.type in _LEAVES:
            if node.text:
                yield node
        else:
            waiting += reversed(node.children)


def parsed(code: str, language: str) -> Node:
    """Syntax tree of dedented code."""
    return parse(_dedented(code).encode(), grammar_for(language)).root_node


def _dedented(code: str) -> str:
    """Code dedented by its first line, so that a bare body parses."""
    lines = code.strip("\n").rstrip().expandtabs(4).split("\n")
    indent = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(line[min(indent, len(line) - len(line.lstrip())) :] for line in lines)


def _nodes(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.children


def _shape(root: Node) -> str:
    """Node types and tokens of a tree as text."""
    parts = []
    waiting: list[Node | None] = [root]
    while waiting:
        node = waiting.pop()
        if node is None:
            parts.append(")")
        elif "comment" in node.type:
            continue
        elif node.child_count == 0 or node.type in _LEAVES:
            parts.append(f" {node.type} {_text(node)}")
        else:
            parts.append(f"({node.type}")
            waiting += [None, *reversed(node.children)]
    return "".join(parts)


def _text(node: Node) -> str:
    return (node.text or b"").decode(errors="replace")


def _is_keyword(node: Node) -> bool:
    return not node.is_named and node.type.isalpha()


def _bleu(written: Sequence[str], expected: Sequence[str], weights: dict[str, float]) -> float:
    """BLEU against one reference, add-one smoothed from bigrams on (Lin and Och 2004).

    Weights apply to unigrams; longer n-grams count the same.
    """
    if not written or not expected:
        return 0.0
    logs = 0.0
    for size in range(1, _LONGEST + 1):
        mine, theirs = (_grams(words, size) for words in (written, expected))
        shared = mine & theirs
        if size == 1:
            matched = sum(weights.get(gram[0], 1.0) * count for gram, count in shared.items())
            total = sum(weights.get(gram[0], 1.0) * count for gram, count in mine.items())
            if not matched:
                return 0.0
        else:
            matched, total = sum(shared.values()) + 1.0, sum(mine.values()) + 1.0
        logs += log(matched / total) / _LONGEST
    brevity = min(0.0, 1 - len(expected) / len(written))
    return exp(logs + brevity)


def _grams(words: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[at : at + size]) for at in range(len(words) - size + 1))


def _matching_subtrees(written: Node, expected: Node) -> float:
    """Share of the reference's subtrees, by node types, that occur in the output."""
    mine, theirs = _subtrees(written), _subtrees(expected)
    total = sum(theirs.values())
    return sum((mine & theirs).values()) / total if total else 0.0


def _subtrees(root: Node) -> Counter[str]:
    """Counts of subtrees with more than one node, by node types; not recursive."""
    counts: Counter[str] = Counter()
    spelled: dict[int, str] = {}
    for node in reversed(list(_nodes(root))):  # children before their parents
        inside = "".join(spelled.pop(child.id) for child in node.named_children)
        text = f"({node.type}{inside})" if node.is_named else ""
        spelled[node.id] = text
        if inside and text:
            counts[text] += 1
    return counts
