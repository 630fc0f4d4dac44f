from typing import Any

import pytest

from cortex_pipelines.extraction.patterns.pattern import Pattern, PatternError, fill_metavariables, parse_pattern
from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks
from cortex_pipelines.syntax.grammars import grammar_for, parse
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)


def pattern(language: str, counter_example: str | None, example: str, **more: Any) -> Pattern:
    fields = {"name": "own", "when": "Always.", "languages": language, **more}
    return parse_pattern({**fields, "example": example, "counter_example": counter_example})


@pytest.mark.parametrize(
    ("language", "counter_example", "example", "text", "expected_lines"),
    CASES["a_counter_example_is_found_where_it_stands"],
)
def test_a_counter_example_is_found_where_it_stands(language, counter_example, example, text, expected_lines) -> None:
    checks = PatternChecks([pattern(language, counter_example, example)])
    assert [match.line for match in checks.find_matches(text, language)] == expected_lines


@pytest.mark.parametrize(
    ("language", "counter_example", "example", "words"), CASES["what_cannot_be_looked_for_is_refused"]
)
def test_what_cannot_be_looked_for_is_refused(language: str, counter_example: str, example: str, words: str) -> None:
    with pytest.raises(PatternError, match=words):
        PatternChecks([pattern(language, counter_example, example)])


@pytest.mark.parametrize(("changes", "words"), CASES["a_wrong_key_is_named"])
def test_a_wrong_key_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PatternError, match=words):
        pattern("python", "f()", **{"example": "g()", **changes})
    with pytest.raises(PatternError, match="is not a mapping"):
        parse_pattern(["name"])


def test_keys_may_have_a_hyphen_and_languages_be_one_or_several() -> None:
    fields = {"name": "a", "when": "In\n tests.", "example": "f()\n", "counter-example": "g()"}
    pattern = parse_pattern({**fields, "languages": ["python", "go"]})
    assert (pattern.when, pattern.example, pattern.counter_example) == ("In tests.", "f()", "g()")
    assert PatternChecks([pattern]).languages == {"python", "go"}
    assert not PatternChecks([pattern.model_copy(update={"counter_example": None})]).languages


def test_names_of_broken_patterns_come_once_and_only_in_their_language() -> None:
    checks = PatternChecks([pattern("python", "f($A)", "g($A)", name=name) for name in ("zeta", "alpha")])
    assert checks.violated_patterns("f(1)\nf(2)", "python") == ["alpha", "zeta"]
    assert checks.violated_patterns("f(1)", "javascript") == []
    assert [match.line for match in checks.find_matches("f(1)\n\nf(2)", "python")] == [1, 1, 3, 3]


@pytest.mark.parametrize(("language", "code"), CASES["a_pattern_filled_in_is_code"])
def test_a_pattern_filled_in_is_code(language: str, code: str) -> None:
    text = fill_metavariables(code, language)
    assert "$" not in text
    assert not parse(text.encode(), grammar_for(language)).root_node.has_error
