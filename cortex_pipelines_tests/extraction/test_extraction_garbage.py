"""What no grammar should have to read is told by samples; code is not taken for it."""

import random
from pathlib import Path

import pytest

from cortex_pipelines.extraction.garbage import why_unparsed
from cortex_pipelines.extraction.grammars import grammar_for

TOKENS = [
    "def",
    "class",
    "if",
    "for",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "<",
    ">",
    "=",
    "=>",
    "+",
    ",",
    ";",
    ":",
    ".",
    "@",
    "a",
    "b",
    "x1",
    "2.5",
    '"s"',
    "\n",
    "interface",
    "fn",
    "new",
]
STDLIB = Path(random.__file__).parent


def tokens(length: int) -> bytes:
    drawn = random.Random(20)
    return " ".join(drawn.choice(TOKENS) for _ in range(length)).encode()


@pytest.mark.parametrize("language", ["javascript", "typescript"])
def test_random_tokens_are_garbage(language: str, settings) -> None:
    why = why_unparsed(tokens(60_000), grammar_for(language), settings)
    assert why is not None
    assert why.reason == "garbage"


def test_open_type_arguments_are_too_deep(settings) -> None:
    why = why_unparsed(b"class A {}\n" + b"a<" * 40_000, grammar_for("java"), settings)
    assert why is not None
    assert why.reason == "too_deep"


def test_a_limit_of_bytes(settings) -> None:
    why = why_unparsed(b"\n" * (settings.max_file_bytes + 1), grammar_for("go"), settings)
    assert why is not None
    assert why.reason == "too_large"


def test_real_code_is_not(settings) -> None:
    # among them long docstrings, which a sample cuts
    for path in sorted(STDLIB.glob("[s-z]*.py")):
        assert why_unparsed(path.read_bytes(), grammar_for("python"), settings) is None, path


@pytest.mark.parametrize(
    "text",
    [
        b"package a\n\nvar table = []int{\n" + b"\t0x1f, 0x2f, 0x3f,\n" * 20_000 + b"}\n",
        b"package a\n" + b"// prose, and more prose; (without) end.\n" * 5_000 + b"func f() {}\n",
    ],
)
def test_data_and_prose_inside_of_code_are_not(text: bytes, settings) -> None:
    assert why_unparsed(text, grammar_for("go"), settings) is None
