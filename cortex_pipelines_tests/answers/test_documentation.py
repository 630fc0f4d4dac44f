"""Documentation of a unit: what its syntax says in the team's style, and what is refused."""

import pytest

from cortex_pipelines.answers.documentation_style import DocumentedUnit, TeamDocumentation, default_style, learn_style
from cortex_pipelines.answers.documented_unit import (
    documentation_from_facts,
    generated_documentation,
    parses_with,
    says_nothing,
    unknown_names,
    with_documentation,
)
from cortex_pipelines.answers.unit_facts import UnitFacts, unit_facts

CODE = {
    "python": (
        "def area(width, height):\n    if width < 0:\n        raise ValueError('no')\n    return width * height\n",
        "Raise `ValueError` if `width < 0`. Return `width * height`.",
    ),
    "javascript": (
        "area(width, height) {\n  if (width < 0) throw new RangeError('no');\n  return width * height;\n}",
        "Raise `RangeError` if `width < 0`. Return `width * height`.",
    ),
    "typescript": (
        "export function isWide(width: number): boolean {\n  return width > 10;\n}",
        "Return whether `width` is wide. Return whether `width > 10`.",
    ),
    "java": (
        "int area(int width) {\n  if (width < 0) {\n    throw new RangeException();\n  }\n  return width * 2;\n}",
        "Raises `RangeException` if `width < 0`. Returns `width * 2`.",
    ),
    "go": (
        'func (b *Box) Label(short bool) string {\n\tif short {\n\t\treturn "b"\n\t}\n\treturn b.label\n}',
        'Label returns `"b"` if `short`, else `b.label`.',
    ),
    "rust": ("fn area(&self, width: u32) -> u32 {\n    self.height * width\n}", "Returns `self.height * width`."),
}


def facts_of(code: str, language: str = "python") -> UnitFacts:
    facts = unit_facts(code, language)
    assert facts is not None
    return facts


@pytest.mark.parametrize("language", CODE)
def test_syntax_documents_a_unit_in_the_style_of_its_language_and_the_code_parses_with_it(language: str) -> None:
    code, expected = CODE[language]
    facts = facts_of(code, language)
    text = documentation_from_facts(facts, default_style(language))
    assert text == expected
    assert says_nothing(text, facts) is None
    assert parses_with(text, facts)
    assert unknown_names(text, facts, lambda _: False) == []
    documented = with_documentation(text, facts)
    assert documented is not None
    assert facts_of(documented, language).unit.docstring == text


@pytest.mark.parametrize(
    "code",
    [
        "def get_user(self):\n    user = self.find()\n    return user\n",
        "def f(xs):\n    for x in xs:\n        if x.big:\n            return None\n    return 1\n",
        "def top(quiet):\n    with lock:\n        if not quiet:\n            raise KeyError\n",
        "def g(a):\n    if find(a):\n        return a + 1\n    if a > 2:\n        return None\n    return h(a)\n",
    ],
    ids=["a local variable", "a condition in a loop", "a condition within another", "after what is not said"],
)
def test_what_the_syntax_does_not_tell_is_not_said(code: str) -> None:
    assert documentation_from_facts(facts_of(code), default_style("python")) is None


def test_the_team_is_followed_in_mood_stops_literals_and_its_words_for_parameters() -> None:
    documented = [
        DocumentedUnit(
            f"f{i}", "python", "function", f"Returns ``{i}``\n\n:param url: Where it is.\n:param x: A number", ""
        )
        for i in range(6)
    ]
    style = learn_style(documented, "python")
    assert (style.mood, style.full_stop, style.sections, style.literal) == ("third person", False, "sphinx", "``")
    facts = facts_of("def double(x):\n    return x * 2\n")
    text = documentation_from_facts(facts, style)
    assert text == "Returns ``x * 2``\n\n:param x: A number"
    assert style.broken_convention(text, "double") == ""
    assert style.broken_convention("Return it", "double") == "its verb is not in the third person"
    assert documentation_from_facts(facts_of("def double(y):\n    return y * 2\n"), style) == "Returns ``y * 2``"


def test_a_models_text_loses_what_names_nothing_and_what_was_cut_off() -> None:
    facts = facts_of("def total(prices, rate):\n    return sum(prices) * rate\n")
    output = (
        "Sum all `prices` times `rate`. The `tax_code` parameter is used.\nReturns a float. It also\n\ndef other():"
    )
    style = default_style("python")
    assert (
        generated_documentation(output, facts, style, lambda _: False)
        == "Sum all `prices` times `rate`. Returns a float."
    )
    assert generated_documentation("import os\n", facts, style, lambda _: False) is None
    for text, unknown in [
        (":param rates: x", ["rates"]),
        ("@param price - x", ["price"]),
        ("Uses other_name and helper().", ["other_name", "helper"]),
        ("Adds GitHub prices to JSON, see `os.path`.", ["os", "path"]),
    ]:
        assert unknown_names(text, facts, lambda _: False) == unknown


def test_an_override_takes_the_text_of_the_same_method_elsewhere() -> None:
    code = "def get_help(self, ctx):\n        made = ctx.make_formatter()\n        return self.format_help(ctx, made)"
    other = DocumentedUnit("get_help", "python", "method", "Formats the help into a string.", code)
    unlike = DocumentedUnit("get_help", "python", "method", "Something else.", "def get_help(a):\n    return b.c.d")
    facts = facts_of(f"class Group(Command):\n    {code}")
    nearest = TeamDocumentation([unlike, other]).nearest(facts)
    assert facts.owner == "Group"
    assert nearest is not None
    assert nearest[0] == other
    assert nearest[1] > 0.9
    assert TeamDocumentation([unlike]).nearest(facts) is None


@pytest.mark.parametrize(("text", "language"), [('It says """stop.', "python"), ("It ends */ here.", "java")])
def test_a_text_that_ends_its_comment_early_does_not_parse(text: str, language: str) -> None:
    assert not parses_with(text, facts_of(CODE[language][0], language))
