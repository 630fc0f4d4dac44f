"""Similarity of generated code to the reference.

CodeBLEU (arXiv 2009.10297) is the mean of four parts. The package of that name cannot be installed with the grammars
used here (codebleu 0.7.0 needs tree-sitter below 0.23), so three parts are computed here: n-grams, n-grams weighted by
keyword, and subtrees. The fourth, data flow, is omitted, hence the name: CodeBLEU without data flow.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import exp, fsum, log

from tree_sitter import Node

from cortex_pipelines.annotation.labels.vocabulary import words_of
from cortex_pipelines.syntax.grammars import PARSED, grammar_for, parse

_LONGEST = 4  # tokens of an n-gram, as in BLEU
_KEYWORD_WEIGHT = 5.0  # of 1 for other tokens: CodeBLEU's ratio
_LEAVES = frozenset({"string", "string_literal", "interpreted_string_literal", "raw_string_literal"})


def codebleu_without_dataflow(output: str, expected: str, language: str) -> float:
    """CodeBLEU without data flow, 0 to 1: the mean of three matches."""
    output_tree, expected_tree = (parse_dedented(output, language), parse_dedented(expected, language))
    output_leaves, expected_leaves = list(leaves(output_tree)), list(leaves(expected_tree))
    tokens = [_text(node) for node in output_leaves], [_text(node) for node in expected_leaves]
    if tokens[0] == tokens[1]:
        return 1.0
    # keywords are anonymous leaves of the grammar: their type is their text
    keywords = {_text(node) for node in expected_leaves if not node.is_named and node.type.isalpha()}
    subtrees = _subtrees(output_tree), _subtrees(expected_tree)
    matches = (
        _bleu(*tokens, {}),
        _bleu(*tokens, dict.fromkeys(keywords, _KEYWORD_WEIGHT)),
        sum((subtrees[0] & subtrees[1]).values()) / total if (total := sum(subtrees[1].values())) else 0.0,
    )
    return fsum(matches) / len(matches)


def same_code(output: str, expected: str, language: str) -> bool:
    """Whether two snippets are equal except for layout and comments.

    Tokens of the syntax trees are compared; where indentation has a meaning, so are the trees.
    """
    if language not in PARSED:
        return output.split() == expected.split()
    output_tree, expected_tree = (parse_dedented(output, language), parse_dedented(expected, language))
    if language == "python":
        return _shape(output_tree) == _shape(expected_tree)
    return [_text(node) for node in leaves(output_tree)] == [_text(node) for node in leaves(expected_tree)]


def syntax_errors(code: str, language: str, path: str = "") -> int:
    """Number of ERROR and MISSING nodes in the code."""
    root = parse(code.encode(), grammar_for(language, path)).root_node
    return sum(node.is_error or node.is_missing for node in _nodes(root)) if root.has_error else 0


def subtoken_f1(output: str, expected: str) -> float:
    """F1 of the subtokens of two names: ``get_user`` in ``getUserName`` is 0.8 (code2vec, arXiv 1803.09473)."""
    output_words, expected_words = (Counter(words_of(name).split()) for name in (output, expected))
    shared = sum((output_words & expected_words).values())
    if not shared:
        return 0.0
    precision, recall = shared / sum(output_words.values()), shared / sum(expected_words.values())
    return 2 * precision * recall / (precision + recall)


def leaves(root: Node) -> Iterator[Node]:
    """Tokens of a tree without comments; a string is one token."""
    stack = [root]
    while stack:
        node = stack.pop()
        if "comment" in node.type:
            continue
        if node.child_count == 0 or node.type in _LEAVES:
            if node.text:
                yield node
        else:
            stack += reversed(node.children)


def parse_dedented(code: str, language: str) -> Node:
    """Parse code dedented by its first line, so that a bare body parses."""
    lines = code.strip("\n").rstrip().expandtabs(4).split("\n")
    indent = len(lines[0]) - len(lines[0].lstrip())
    dedented = "\n".join(line[min(indent, len(line) - len(line.lstrip())) :] for line in lines)
    return parse(dedented.encode(), grammar_for(language)).root_node


def _nodes(root: Node) -> Iterator[Node]:
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack += node.children


def _shape(root: Node) -> str:
    parts = []
    stack: list[Node | None] = [root]
    while stack:
        node = stack.pop()
        if node is None:
            parts.append(")")
        elif "comment" in node.type:
            continue
        elif node.child_count == 0 or node.type in _LEAVES:
            parts.append(f" {node.type} {_text(node)}")
        else:
            parts.append(f"({node.type}")
            stack += [None, *reversed(node.children)]
    return "".join(parts)


def _text(node: Node) -> str:
    return (node.text or b"").decode(errors="replace")


def _bleu(output: Sequence[str], expected: Sequence[str], weights: dict[str, float]) -> float:
    """BLEU against one reference, add-one smoothed from bigrams on (Lin and Och 2004); weights are of unigrams."""
    if not output or not expected:
        return 0.0
    logs = 0.0
    for size in range(1, _LONGEST + 1):
        output_grams, expected_grams = (_grams(words, size) for words in (output, expected))
        shared = output_grams & expected_grams
        if size == 1:
            matched = fsum(weights.get(gram[0], 1.0) * count for gram, count in shared.items())
            total = fsum(weights.get(gram[0], 1.0) * count for gram, count in output_grams.items())
            if not matched:
                return 0.0
        else:
            matched, total = sum(shared.values()) + 1.0, sum(output_grams.values()) + 1.0
        logs += log(matched / total) / _LONGEST
    brevity = min(0.0, 1 - len(expected) / len(output))
    return exp(logs + brevity)


def _grams(words: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[start : start + size]) for start in range(len(words) - size + 1))


def _subtrees(root: Node) -> Counter[str]:
    counts: Counter[str] = Counter()
    subtree_texts: dict[int, str] = {}
    for node in reversed(list(_nodes(root))):  # children before their parents
        children_text = "".join(subtree_texts.pop(child.id) for child in node.named_children)
        text = f"({node.type}{children_text})" if node.is_named else ""
        subtree_texts[node.id] = text
        if children_text and text:
            counts[text] += 1
    return counts
