import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.adapters.data.packing import tokenise
from cortex_pipelines.prompts.examples import Example
from cortex_pipelines.tokenization.text_encoder import (
    GAP_TOKENS,
    Segment,
    TextEncoder,
    continuation_ids,
    encoder_of,
    text_for_servers,
    token_ids,
)
from cortex_pipelines_tests.tokenization.families import FAMILIES, bert

ROOT = Path(__file__).parents[2]
NOT_CALLED_SPECIAL = {
    "qwen": {"<|fim_prefix|>", "<tool_call>", "</tool_call>", "<think>"},
    "neox": {"<|padding|>", "<mask>"},
    "gemma": {"<unused0>"},
}
WORDS = {"phi": {"    "}, "neox": {"  "}, "gemma": {"\n\n", "<table>"}}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tokenizer(family: str) -> Any:
    return FAMILIES[family]()


def spellings(tokenizer: Any) -> Iterator[str]:
    """Each added token alone, in code, in a row, behind white space, and inside another."""
    for token in tokenizer.added_tokens_decoder.values():
        mark = token.content
        yield from (mark, f"x = '{mark}'\n", f"a{mark * 2}b", f"a {mark}  b", f"x{mark[:2]}{mark}")


def decoded(tokenizer: Any, ids: list[int]) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


def test_text_that_spells_any_added_token_comes_back_from_its_tokens(tokenizer: Any) -> None:
    texts = [*spellings(tokenizer), "x <0x0A> <0x41>"]
    assert [decoded(tokenizer, ids) for ids in token_ids(tokenizer, texts)] == texts


def test_no_text_gives_a_control_token(tokenizer: Any) -> None:
    controls = set(encoder_of(tokenizer).controls.values())
    for ids in token_ids(tokenizer, list(spellings(tokenizer))):
        assert not controls & set(ids)


def test_marks_are_control_tokens_and_words_are_not(family: str, tokenizer: Any) -> None:
    controls = encoder_of(tokenizer).controls
    assert controls.keys() >= {*tokenizer.all_special_tokens, *NOT_CALLED_SPECIAL.get(family, ())}
    assert not controls.keys() & WORDS.get(family, set())


def test_other_text_has_the_tokens_that_it_had(tokenizer: Any) -> None:
    encoder = encoder_of(tokenizer)
    files = [path.read_text("utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))]
    files += [path.read_text("utf-8") for path in sorted((ROOT / "benchmarks").glob("*.py"))]
    paragraphs = [part for text in files for part in text.split("\n\n")]
    texts = [text for text in paragraphs if not any(each.control for each in encoder.split(text))]
    assert len(texts) > 500
    assert token_ids(tokenizer, texts) == tokenizer(texts, add_special_tokens=False)["input_ids"]


def test_segments_have_the_tokens_of_the_text_that_spells_them_out(tokenizer: Any) -> None:
    for mark, number in encoder_of(tokenizer).controls.items():
        segments = (Segment("def f("), Segment("): "), Segment(mark, True), Segment(" return\nx"))
        (ids,) = token_ids(tokenizer, [segments])
        (expected,) = tokenizer([f"def f(): {mark} return\nx"], add_special_tokens=False)["input_ids"]
        assert ids == expected
        assert ids.count(number) == 1


def test_a_segment_that_is_not_a_control_token_is_refused(tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="'def' is not a control token of this tokenizer"):
        token_ids(tokenizer, [(Segment("def", True),)])


def test_an_example_ends_once(tokenizer: Any) -> None:
    end = tokenizer.eos_token
    example = Example("1", "completion", "a", "", "", f"end = '{end}'\n", f"    {end}\n", "1")
    (row,) = tokenise(tokenizer, [example], 400)
    assert [index for index, token in enumerate(row.ids) if token == tokenizer.eos_token_id] == [len(row.ids) - 1]


@pytest.mark.parametrize("name", ["starcoder", "qwen"])
def test_code_around_a_gap_cannot_end_it(name: str) -> None:
    tokenizer = FAMILIES[name]()
    controls = encoder_of(tokenizer).controls
    marks = next(marks for marks in GAP_TOKENS if marks[0] in controls)
    code = "".join(marks)
    example = Example("1", "completion", "a", "", "", code, f"{code}x", "1", suffix=code)
    (row,) = tokenise(tokenizer, [example], 1000)
    numbers = [controls[mark] for mark in marks]
    assert [token for token in row.ids if token in numbers] == numbers


def test_what_goes_on_has_no_space_of_its_own(tokenizer: Any) -> None:
    (ids,) = continuation_ids(tokenizer, ["return x"])
    (full_ids,) = token_ids(tokenizer, ["\nreturn x"])
    assert full_ids[-len(ids) :] == ids
    assert "\u2581return" not in tokenizer.convert_ids_to_tokens(ids)


def test_a_server_that_reads_text_sees_only_the_template_s_control_tokens(tokenizer: Any) -> None:
    mark = tokenizer.eos_token
    (ids,) = token_ids(tokenizer, [(Segment(f"a{mark}b"), Segment(mark, True))])
    assert text_for_servers(tokenizer, ids) == f"a{mark[0]} {mark[1:]}b{mark}"


def test_a_sentence_encoder_reads_marks_as_text() -> None:
    encoder = TextEncoder(bert().backend_tokenizer)
    (ids,) = encoder.ids(["a [SEP] [CLS] b"])
    assert not set(ids) & set(encoder.controls.values())
    assert encoder.ids(["sep cls"]) == bert()(["sep cls"], add_special_tokens=False)["input_ids"]


def test_only_this_room_calls_a_tokenizer() -> None:
    """A call elsewhere would read the spelling of a control token as the token."""
    call = re.compile(r"tokenizer\(|apply_chat_template|encode_batch|tokenizer\.(tokenize|encode)\b|\.encode_plus")
    package = ROOT / "cortex_pipelines"
    callers = {
        f"{path.relative_to(package)}: {line.strip()}"
        for path in package.rglob("*.py")
        if path.parent.name != "tokenization"
        for line in path.read_text("utf-8").splitlines()
        if call.search(line) and "def " not in line and "load_tokenizer(" not in line
    }
    assert callers == set()
