import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.extraction.units import read_code
from cortex_pipelines.syntax.grammars import count_reads, grammar_for, parseable_text
from cortex_pipelines.syntax.unparsable import bracket_cost, is_unreadable, skip_reason
from cortex_pipelines_tests.parameters import EXTRACTION

TOKENS = [
    *("def", "class", "if", "for", "(", ")", "{", "}", "[", "]", "<", ">", "=", "=>", "+", ",", ";", ":", "."),
    *("@", "a", "b", "x1", "2.5", '"s"', "\n", "interface", "fn", "new"),
]
STDLIB = Path(random.__file__).parent


def tokens(length: int) -> bytes:
    generator = random.Random(20)
    return " ".join(generator.choice(TOKENS) for _ in range(length)).encode()


@pytest.mark.parametrize(
    ("language", "data", "reason"),
    [
        *((language, tokens(60_000), "garbage") for language in ("javascript", "typescript")),
        ("java", b"class A {}\n" + b"a<" * 40_000, "too_deep"),
        ("go", b"\n" * (EXTRACTION.max_file_bytes + 1), "too_large"),
    ],
    ids=["javascript", "typescript", "type arguments", "bytes"],
)
def test_what_is_not_read_has_a_reason(language: str, data: bytes, reason: str) -> None:
    assert skip_reason(data, grammar_for(language), EXTRACTION.max_file_bytes).reason == reason


def test_real_code_is_not(settings) -> None:
    # among them long docstrings, which a sample cuts
    for path in sorted(STDLIB.glob("[s-z]*.py")):
        assert skip_reason(path.read_bytes(), grammar_for("python"), settings.max_file_bytes) is None, path


@pytest.mark.parametrize(
    "text",
    [
        b"package a\n\nvar table = []int{\n" + b"\t0x1f, 0x2f, 0x3f,\n" * 20_000 + b"}\n",
        b"package a\n" + b"// prose, and more prose; (without) end.\n" * 5_000 + b"func f() {}\n",
    ],
)
def test_data_and_prose_inside_of_code_are_not(text: bytes, settings) -> None:
    assert skip_reason(text, grammar_for("go"), settings.max_file_bytes) is None


@pytest.mark.parametrize(
    "text",
    [
        # the grammar looks ahead over all comments again for each of them, which squares the work
        "f(a b\n" + "    # it's a comment\n" * 10_000 + "def g():\n    return 1\n",
        "f(\n" + "# c\nx = 1\n" * 16_000,
        "x = {\n" + "# c\nx : 'it\\'s'\n" * 16_000 + "}\n",
        "f(\n" + ("# c\n" + "x = [1, 2]\n" * 40) * 2_000,
    ],
)
def test_a_parser_that_goes_back_and_forth_is_stopped(text: str, settings) -> None:
    units, reason = read_code(text, "python", "a.py", settings)
    assert not units
    assert reason.reason == "unreadable"


@pytest.mark.parametrize(
    "text",
    [
        "x = [\n" + "    1,  # one\n" * 20_000 + "]\n",
        "x = (\n" + "    'a'  # one\n" * 20_000 + ")\n",
        "x = (\n    1\n" + "    + 1  # one\n" * 6_000 + ")\n",
        "def f():\n" + "    # one\n    x = g('(')\n" * 20_000,
        '"""(\n' + 'it\'s \\""" one # two\n' * 20_000 + '"""\nx = 1\n',
    ],
)
def test_tables_with_comments_are_read(text: str) -> None:
    assert bracket_cost(text.encode()) == 0
    assert not is_unreadable(text.encode(), grammar_for("python"))


@pytest.mark.parametrize("head", ["f(a, b)\n", "f(a b\n", "f(a,\n", "def f():\n    x = 1\n", ""])
def test_thousands_of_comments_are_not_read_thousands_of_times(head: str, settings) -> None:
    text = head + "    # a comment\n" * 20_000 + "# what g does\ndef g():\n    return 1\n"
    units, reason = read_code(text, "python", "a.py", settings)
    assert reason is None
    if not head.startswith("f(a ") and not head.endswith(",\n"):
        assert units[-1].name == "g"
        assert text.encode()[units[-1].start_byte :] == b"def g():\n    return 1\n"


@given(st.lists(st.sampled_from(["# a", "    # b\x0c", "x = 1", '# "c', "", "s = '''", "'''"])))
def test_text_shown_to_a_grammar_keeps_bytes_and_lines(lines: list[str]) -> None:
    data = "\n".join([line for line in lines for _ in range(300)]).encode()
    parseable = parseable_text(data, "python")
    assert len(parseable) == len(data)
    assert list(map(len, parseable.split(b"\n"))) == list(map(len, data.split(b"\n")))


def test_real_code_is_read_a_few_times() -> None:
    for path in sorted(STDLIB.glob("[ad-f]*.py")):
        data = path.read_bytes()
        assert count_reads(data, grammar_for("python"), 1000) < 50 + len(data) / 16_384, path
