import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.evaluation.metrics.grading import edit_distance, edit_similarity

words = st.text("abc ", max_size=12)


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("flaw", "lawn", 2), ("a", "a", 0)],
)
def test_known_distances(first: str, second: str, distance: int) -> None:
    assert edit_distance(first, second) == distance


@given(words, words, words)
def test_the_distance_is_a_metric(first: str, second: str, third: str) -> None:
    assert edit_distance(first, second) == edit_distance(second, first)
    assert (edit_distance(first, second) == 0) == (first == second)
    assert edit_distance(first, third) <= edit_distance(first, second) + edit_distance(second, third)


@given(words, words)
def test_similarity_is_one_for_the_same_text_but_for_its_ends(first: str, second: str) -> None:
    assert 0 <= edit_similarity(first, second) <= 1
    assert (edit_similarity(first, second) == 1) == (first.strip() == second.strip())
    assert edit_similarity(f"  {first}\n", first) == 1
