"""Completions end with what they began, in six languages; prose is left alone."""

import pytest
from magika import Magika

from cortex_pipelines.serving.code_end import code_end
from cortex_pipelines.serving.code_language import _WORDS
from cortex_pipelines.serving.growing_code import GrowingCode
from cortex_pipelines.syntax.grammars import PARSED
from cortex_pipelines_tests.parameters import load_cases

OTHERS = [*load_cases(__file__)["others"].values()]
CASES = {name: case for name, case in load_cases(__file__).items() if name != "others"}


@pytest.mark.parametrize("name", CASES)
def test_answer_ends_with_what_it_began(name: str) -> None:
    case = CASES[name]
    end = code_end(case["before"], case.get("after", ""))
    assert end is not None
    assert end.grammar.language == name.split()[0]
    growing, released = GrowingCode(end), 0
    for size in range(len(case["writes"]) + 1):
        complete = growing.settle(case["writes"][:size])
        assert released <= growing.settled, "what was sent is taken back"
        released = growing.settled
        if complete:
            break
    else:
        released = growing.cut(case["writes"], complete=False)
    assert case["writes"][:released] == case["stands"]


def test_a_docstring_after_code_begins_there() -> None:
    text = '#!/usr/bin/env python\n"""\nSome prose: of tools.\n"""\nimport sys\n\nTOOLS = 1\n"""\nHow many.\n"""\n\n'
    assert code_end(text).before == text


def test_code_far_below_the_head_of_its_class_is_read_within_it() -> None:
    methods = "".join(f"  m{number}(a) {{\n    return a + {number};\n  }}\n\n" for number in range(200))
    head = "class A extends B {\n  constructor(\n    a,\n  ) {\n    super(a);\n  }\n\n"
    end = code_end(f"{head}{methods}  last(a) {{\n    ", "\n  }\n}\n", "javascript")
    assert end.before.startswith("class A extends B {\n  m")
    assert end.errors == 0


def test_each_language_with_a_grammar_can_be_told() -> None:
    assert set(_WORDS) == set(PARSED) <= {str(each) for each in Magika().get_output_content_types()}


@pytest.mark.parametrize("text", OTHERS)
def test_code_without_a_grammar_is_left_alone(text: str) -> None:
    assert code_end(text) is None


def test_a_line_that_is_whole_is_sent_when_it_ends() -> None:
    growing = GrowingCode(code_end("def f(x):\n"))
    sent = {text: growing.settle(text) or growing.settled for text in ("    y = (x", "    y = (x\n", "    y = (x\n)\n")}
    assert list(sent.values()) == [0, 0, len("    y = (x\n)")]


@pytest.mark.parametrize(
    "prompt",
    [
        "Dear all,\nthe quick brown fox\n",
        "Write a function that adds.\n\ndef add(a, b):\n",
        "hello",
        "# a.md\n",
        "Once upon a time there was",
        "Fix the bug in",
        "The final report on the public",
        "I write to you about",
    ],
)
def test_prose_is_no_code(prompt: str) -> None:
    assert code_end(prompt) is None


@pytest.mark.parametrize("repeated", ["(", "a = [", "/*", "*/", '"""\n', "a<b>(c)<", "&", "if x:\n", "!", "\n"])
def test_text_that_repeats_is_judged_without_recursion(repeated: str) -> None:
    end = code_end(f"x = 1\n{repeated * 2000}")
    assert end is None or end.grammar.language in PARSED


def test_block_begins_where_it_stands() -> None:
    leads = [code_end(before).lead for before in ("class A:\n  def f():\n", "def f():\n  ", "def f():\n    x = 1\n")]
    assert leads == ["    ", "", ""]
    assert ")" in code_end("def f(x):\n    y = x\n").barred
    assert ")" not in code_end("print(1, ").barred
    assert "#" in code_end("package a\n\nfunc F() int {\n").barred
    assert "#" not in code_end("pub struct A {\n    x: u32,\n}\n\n").barred


def test_white_space_before_the_cursor_is_enough_or_not() -> None:
    befores = (
        "class A {\n  void f() {\n    ",
        "class A {\n  void f() {\n  ",
        "def f():\n",
        "def f():\n    if x:\n        y()\n    ",
    )
    assert [code_end(before).is_indented for before in befores] == [True, False, True, False]
