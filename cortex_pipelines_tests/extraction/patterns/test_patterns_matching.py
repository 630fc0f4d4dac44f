"""Patterns as people write them, and what is found by them."""

from typing import Any

import pytest

from cortex_pipelines.extraction.patterns.pattern import Pattern, PatternError, fill_metavariables, parse_pattern
from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks
from cortex_pipelines.syntax.grammars import grammar_for, parse


def pattern(language: str, counter_example: str | None, example: str, **more: Any) -> Pattern:
    fields = {"name": "own", "when": "Always.", "languages": language, **more}
    return parse_pattern({**fields, "example": example, "counter_example": counter_example})


def lines(language: str, counter_example: str, example: str, text: str) -> list[int]:
    checks = PatternChecks([pattern(language, counter_example, example)])
    return [match.line for match in checks.find_matches(text, language)]


@pytest.mark.parametrize(
    ("language", "counter_example", "example", "text", "expected_lines"),
    [
        # an expression, wherever it stands; not where the example holds
        ("python", "get($$$A)", "get($$$A, timeout=$T)", "x = get(1)\nget(1, timeout=3)", [1]),
        ("python", "$A == None", "$A is None", "if x is None or y == None:\n    pass", [1]),
        # several statements in a row, with anything between them, of one name
        (
            "python",
            "$F = open($P)\n$$$BODY\n$F.close()",
            "with open($P) as $F:\n    $$$BODY",
            "f = open(a)\nuse(f)\nf.close()\ng = open(b)\nother.close()\n",
            [1],
        ),
        # a call with one argument is a conversion in Go where it stands alone
        ("go", "fmt.Println($A)", "log.Println($A)", "func f() {\n\tfmt.Println(a)\n}", [2]),
        ("go", "$X := $A\nreturn $X", "return $A", "func f() int {\n\ty := 1\n\treturn y\n}", [2]),
        ("java", "out.println($A)", "log.info($A)", "class A { void f() { out.println(1); } }", [1]),
        (
            "java",
            "public void $F() { $$$BODY }",
            "public final void $F() { $$$BODY }",
            "class A {\n  public void f() { g(); h(); }\n}",
            [2],
        ),
        # a fragment that does not parse as a call is still an expression
        (
            "java",
            "new Date()",
            "Instant.now()",
            "class A { Object d = new Date();\n void f() {\n  g(new Date());\n } }",
            [1, 3],
        ),
        ("java", "$A.equals(null)", "$A == null", "class A { void f() {\n  if (a.equals(null)) { g(); }\n } }", [2]),
        (
            "java",
            "$F = open($P);\n$$$BODY;\n$F.close();",
            "try (In $F = open($P)) { $$$BODY }",
            "class A { void f() {\n  x = open(1);\n  g();\n  h();\n  x.close();\n } }",
            [2],
        ),
        ("java", "return null", "return x", "class A { B f() {\n  return null;\n } }", [2]),
        # a field is not a variable of a method
        (
            "java",
            "@Autowired private $T $NAME;",
            "private final $T $NAME;",
            "class A {\n  @Autowired private B c;\n}",
            [2],
        ),
        ("java", "static int $N = $A;", "int $N() {}", "class A {\n  static int b = 1;\n}", [2]),
        ("rust", "$A.unwrap()", "$A?", "fn f() { let x = y.unwrap(); }", [1]),
        ("rust", "fn $F($$$A) { $$$B }", "pub fn $F($$$A) { $$$B }", "fn f() { x(); y(); }", [1]),
        ("javascript", "$A == $B", "$A === $B", "if (a == b) {}\nif (a === b) {}", [1]),
        ("typescript", "let $A: any = $B;", "let $A: unknown = $B;", "let x: any = 1;", [1]),
    ],
)
def test_a_counter_example_is_found_where_it_stands(
    language: str, counter_example: str, example: str, text: str, expected_lines: list[int]
) -> None:
    assert lines(language, counter_example, example, text) == expected_lines


@pytest.mark.parametrize(
    ("language", "counter_example", "example", "words"),
    [
        ("python", "$A", "f($A)", "any code matches it"),
        ("python", "$A($$$B)", "f($A)", "any code matches it"),
        ("python", "$$$A\n$$$B", "f($A)", "any code matches it"),
        ("python", "$A.get(", "f($A)", "counter_example: cannot be read as python"),
        ("python", "f($A)", "g($A", "example: cannot be read as python"),
        ("python", "f($name)", "g($A)", "cannot be read as python"),
        ("python", "open($A)", "with open($A) as f:\n    pass", "matches the example, too"),
        ("rust", "except: pass", "f()", "cannot be read as rust"),
    ],
)
def test_what_cannot_be_looked_for_is_refused(language: str, counter_example: str, example: str, words: str) -> None:
    with pytest.raises(PatternError, match=words):
        PatternChecks([pattern(language, counter_example, example)])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "two words"}, "name: takes an identifier"),
        ({"when": " "}, "when: is empty"),
        ({"example": ""}, "example: is empty"),
        ({"languages": ["python", "cobol"]}, "languages: takes python, javascript"),
        ({"languages": []}, "languages: "),
        ({"examples": "f()"}, "examples: is not a key of a pattern"),
        ({"example": 3}, "example: input should be a valid string"),
    ],
)
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
    both = [pattern("python", "f($A)", "g($A)", name=name) for name in ("zeta", "alpha")]
    checks = PatternChecks(both)
    assert checks.violated_patterns("f(1)\nf(2)", "python") == ["alpha", "zeta"]
    assert checks.violated_patterns("f(1)", "javascript") == []
    assert [match.line for match in checks.find_matches("f(1)\n\nf(2)", "python")] == [1, 1, 3, 3]


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "for $X in $$$ITEMS:\n    $$$BODY"),
        ("python", "$CLASS = $_VALUE($$$)"),
        ("javascript", "for (const $X of $Y) { $$$BODY }"),
        ("java", "class C { void $F() { $$$BODY } }"),
        ("go", "package p\nfunc $F() {\n\t$$$BODY\n}"),
        ("rust", "fn $F() { $$$BODY }"),
    ],
)
def test_a_pattern_filled_in_is_code(language: str, code: str) -> None:
    text = fill_metavariables(code, language)
    assert "$" not in text
    assert not parse(text.encode(), grammar_for(language)).root_node.has_error
