"""What a scan finds in a text, and whether a text parses."""

from tree_sitter import Node

from cortex_pipelines.privacy.detect.scanning import spans_of
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.syntax.grammars import grammar_for, parse


def secrets_in(path: str, text: str, settings: PrivacySettings) -> list[str]:
    spans = spans_of(text, path, settings)
    return [text[span.start : span.end] for span in spans if span.category == "secret"]


def syntax_errors(text: str, language: str, path: str = "") -> int:
    """How many nodes of the tree are errors or missing tokens."""
    stack: list[Node] = [parse(text.encode(), grammar_for(language, path)).root_node]
    count = 0
    while stack:
        node = stack.pop()
        count += node.is_error or node.is_missing
        stack += node.children
    return count
