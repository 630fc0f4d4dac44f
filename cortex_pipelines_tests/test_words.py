import pytest

from cortex_pipelines import words
from cortex_pipelines.retrieval.queries import query_terms, terms
from cortex_pipelines.routing.dataset.labels import normalised
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)


@pytest.mark.parametrize(("text", "parts"), CASES["a_text_is_split_into_folded_parts"])
def test_a_text_is_split_into_folded_parts(text: str, parts: str) -> None:
    assert [part for word in words.split_words(text) for part in words.parts_of_word(word)] == parts.split()


@pytest.mark.parametrize(("text", "expected"), CASES["whole_words_are_folded_and_not_split_at_their_humps"])
def test_whole_words_are_folded_and_not_split_at_their_humps(text: str, expected: str) -> None:
    assert words.folded_words(text) == expected.split()


@pytest.mark.parametrize(("query", "text"), CASES["what_a_query_looks_for_is_in_the_terms_of_a_text"])
def test_what_a_query_looks_for_is_in_the_terms_of_a_text(query: str, text: str) -> None:
    assert set(query_terms(query)) <= set(terms(text))


@pytest.mark.parametrize(
    ("query", "text"), [("置配", "读取用户的配置文件"), ("C", "C++ and C#"), ("net", "ASP.NET"), ("1.2.3", "3.2.1")]
)
def test_what_is_another_word_is_not(query: str, text: str) -> None:
    assert not set(query_terms(query)) <= set(terms(text))


@pytest.mark.parametrize(("first", "second", "equal"), CASES["equal_words_are_the_same_task"])
def test_equal_words_are_the_same_task(first: str, second: str, equal: bool) -> None:
    assert (normalised(first) == normalised(second)) is equal


@pytest.mark.parametrize(("word", "text", "occurs"), CASES["a_keyword_is_found_as_a_whole_word"])
def test_a_keyword_is_found_as_a_whole_word(word: str, text: str, occurs: bool) -> None:
    assert (words.whole_word(word, "s|es|d|ed|ing").search(words.fold(text)) is not None) is occurs


@pytest.mark.parametrize(
    ("text", "count", "more"),
    [("a b-c", 3, 0), ("读取用户的配置文件", 5, 4), ("Python3の設定", 3, 1), ("größe é", 2, 0)],
)
def test_two_characters_count_as_a_word_where_no_spaces_are(text: str, count: int, more: int) -> None:
    assert (words.word_count(text), words.unseparated_words(text)) == (count, more)


@pytest.mark.parametrize(("text", "is_one"), CASES["names_are_told_from_other_queries"])
def test_names_are_told_from_other_queries(text: str, is_one: bool) -> None:
    assert words.is_name(text) is is_one


@pytest.mark.parametrize(
    ("name", "parts"),
    [("getHTTPUrl", "get HTTP Url"), ("größeBerechnen", "größe Berechnen"), ("获取User", "获取 User")],
)
def test_a_name_is_split_as_it_is_written(name: str, parts: str) -> None:
    assert words.split_name(name) == parts.split()
