"""Compare generated code with the reference: by syntax trees, and names by their words."""

from collections import Counter
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import text
from cortex_pipelines.annotation.labels.vocabulary import words_of
from cortex_pipelines.syntax.grammars import PARSED, error_count, grammar_for, parse

_LEAVES = frozenset({"string", "string_literal", "interpreted_string_literal", "raw_string_literal"})


def same_code(output: str, expected: str, language: str) -> bool:
    """Whether two snippets are equal except for layout and comments.

    Tokens of the syntax trees are compared; where indentation has a meaning, so are the trees.
    """
    if language not in PARSED:
        return output.split() == expected.split()
    output_tree, expected_tree = (parse_dedented(output, language), parse_dedented(expected, language))
    if language == "python":
        return _shape(output_tree) == _shape(expected_tree)
    return [text(node) for node in leaves(output_tree)] == [text(node) for node in leaves(expected_tree)]


def syntax_errors(code: str, language: str, path: str = "") -> int:
    """Number of ERROR and MISSING nodes in the code."""
    return error_count(parse(code.encode(), grammar_for(language, path)).root_node)


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
            parts.append(f" {node.type} {text(node)}")
        else:
            parts.append(f"({node.type}")
            stack += [None, *reversed(node.children)]
    return "".join(parts)
