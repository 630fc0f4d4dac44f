import pytest
from tree_sitter import Node

from cortex_pipelines.privacy.detect.scanning import spans_of
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.syntax.grammars import grammar_for, parse
from cortex_pipelines_tests.parameters import sections


@pytest.fixture(scope="session")
def settings() -> PrivacySettings:
    return PrivacySettings.model_validate(sections()["privacy"])


def secrets_in(path: str, text: str, settings: PrivacySettings) -> list[str]:
    return [text[span.start : span.end] for span in spans_of(text, path, settings) if span.category == "secret"]


def syntax_errors(text: str, language: str, path: str = "") -> int:
    stack: list[Node] = [parse(text.encode(), grammar_for(language, path)).root_node]
    count = 0
    while stack:
        node = stack.pop()
        count += node.is_error or node.is_missing
        stack += node.children
    return count
