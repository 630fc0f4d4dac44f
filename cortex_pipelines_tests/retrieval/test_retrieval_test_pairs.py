import pytest

from cortex_pipelines.retrieval.graph.build import code_graph
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.retrieval.test_retrieval_graph import ARCHITECTURE, EXTRACTION, edges, tables

CASES = load_cases(__file__)


@pytest.mark.parametrize("name", CASES)
def test_a_test_is_paired_with_what_it_calls(name: str) -> None:
    pairs = {(test, unit) for test, unit, _ in edges(CASES[name]["files"], "tests")}
    assert pairs == {tuple(pair) for pair in CASES[name]["pairs"]}


def test_the_order_of_files_does_not_matter() -> None:
    texts = {path: text for case in CASES.values() for path, text in case["files"].items()}
    forwards, backwards = (
        code_graph(tables(dict(order)), ARCHITECTURE, EXTRACTION) for order in (texts.items(), reversed(texts.items()))
    )
    assert forwards.equals(backwards)
