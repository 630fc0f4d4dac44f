"""Tokens, bytes and offsets of an answer: exactly its text, whatever the tokens divide."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from cortex_pipelines.serving.engines.engine import GeneratedToken, Sampling, ScoredToken, TextDelta
from cortex_pipelines.serving.token_stream import (
    StreamedAnswer,
    alternative,
    alternative_bytes,
    spelled,
    token_bytes,
    unspelled,
)
from cortex_pipelines_tests.adapters import tinymodel

EMOJI = "\N{GRINNING FACE}"
TEXTS = ("", "abc", "x = 1, 2, 3", f"a{EMOJI}b", f"{EMOJI}{EMOJI}", "日本語 é", "\ufffd?", " a  b ")


@cache
def bytes_each() -> Any:
    return tinymodel.byte_tokenizer()


@cache
def bytes_merged() -> Any:
    """Tokens that end, begin, or go on in the middle of a character."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    ((letters, _),) = level.pre_tokenize_str(f"b{EMOJI}b")
    b, first, second, third, fourth, _ = letters
    merges = [(b, first), (third, fourth), (third + fourth, b), (b + first, second)]
    vocabulary = [*alphabet, *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={text: n for n, text in enumerate(vocabulary)}, merges=merges))
    tokenizer.pre_tokenizer, tokenizer.decoder = level, decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@cache
def byte_fallback() -> Any:
    """As Llama 2's and Gemma's: letters, and bytes for what is not among them."""
    vocabulary = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", *"abcx=123,"]
    model = models.BPE(
        vocab={text: n for n, text in enumerate(vocabulary)}, merges=[], unk_token="<unk>", byte_fallback=True
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


TOKENIZERS = (bytes_each, bytes_merged, byte_fallback)


def answer(
    tokenizer: Any, ids: Sequence[int], sampling: Sampling, start: str = ""
) -> tuple[str, list[GeneratedToken], list[TextDelta]]:
    growing = StreamedAnswer(tokenizer, start, sampling)
    deltas: list[TextDelta] = []
    for number in ids:
        deltas += growing.add(0, ScoredToken(number, -1.0, ((number, -1.0), (5, -2.0))))
        if growing.stopped:
            break
    else:
        deltas.append(growing.end(0, "length"))
    return "".join(delta.text for delta in deltas), [token for delta in deltas for token in delta.tokens], deltas


def require_exact(text: str, tokens: Sequence[GeneratedToken], deltas: Sequence[TextDelta]) -> None:
    assert ("".join(token.text for token in tokens), b"".join(token.raw for token in tokens)) == (text, text.encode())
    before = 0
    for token in tokens:
        assert token.offset == before <= len(text)
        before += len(token.text)
    for delta in deltas:
        assert "".join(token.text for token in delta.tokens) == delta.text


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("stop", [(), (EMOJI,), ("b",), (", 3",), ("本", "c")])
def test_tokens_end_where_the_text_ends(tokenizer: Callable[[], Any], text: str, stop: tuple[str, ...]) -> None:
    ids = tokenizer()(text, add_special_tokens=False)["input_ids"]
    for most in range(len(ids) + 1):
        output, tokens, deltas = answer(tokenizer(), ids[:most], Sampling(100, stop=stop))
        require_exact(output, tokens, deltas)
        assert text.startswith(output)
        assert sum(delta.generated for delta in deltas) <= most, "no token counts twice"
    assert output == text[: min([position for mark in stop if (position := text.find(mark)) >= 0], default=len(text))]


@example(f"b{EMOJI}b", ["ba"], bytes_merged)
@given(
    st.text(f"ab{EMOJI}é本 ,", max_size=12),
    st.lists(st.text(f"ab{EMOJI}é本 ,", min_size=1, max_size=3), max_size=2),
    st.sampled_from(TOKENIZERS),
)
def test_they_do_with_any_text_and_stop_strings(text: str, stop: list[str], tokenizer: Callable[[], Any]) -> None:
    ids = tokenizer()(text, add_special_tokens=False)["input_ids"]
    require_exact(*answer(tokenizer(), ids, Sampling(100, stop=tuple(stop))))


@given(st.lists(st.integers(min_value=2, max_value=250), max_size=12))
def test_bytes_that_are_no_text_are_those_of_the_tokens(ids: list[int]) -> None:
    text, tokens, _ = answer(bytes_each(), ids, Sampling(100))
    raw = b"".join(token.raw for token in tokens)
    assert raw.decode(errors="replace") == text
    assert b"".join(token_bytes(bytes_each(), number) or b"" for number in ids).startswith(raw)


def test_a_forced_start_and_a_stop_string_are_not_shown() -> None:
    ids = bytes_each()("  x", add_special_tokens=False)["input_ids"]
    text, tokens, deltas = answer(bytes_each(), ids, Sampling(100), start="  ")
    assert text == "x"
    require_exact(text, tokens, deltas)
    ids = bytes_each()("1, 2, 3", add_special_tokens=False)["input_ids"]
    text, tokens, deltas = answer(bytes_each(), ids, Sampling(100, stop=(", 2",)))
    assert (text, len(tokens), sum(delta.generated for delta in deltas)) == ("1", 1, len("1, 2"))


def test_alternatives_begin_after_a_forced_start_as_the_token_does() -> None:
    tokenizer = bytes_merged()
    ids = tokenizer(f"b{EMOJI}", add_special_tokens=False)["input_ids"]
    _, tokens, _ = answer(tokenizer, ids, Sampling(100), start="b")
    own, other = tokens[0].top
    assert (own.text, own.raw) == (tokens[0].text, tokens[0].raw) == ("", b"\xf0\x9f")
    assert other.raw == token_bytes(tokenizer, 5)


def test_a_token_that_was_cut_keeps_its_probability_and_is_its_own_alternative() -> None:
    tokenizer = bytes_merged()
    ids = tokenizer(f"{EMOJI}b", add_special_tokens=False)["input_ids"]
    _, tokens, deltas = answer(tokenizer, ids, Sampling(100, stop=("b",)))
    assert [token.raw for token in tokens] == [b"\xf0", b"\x9f", b"\x98\x80"]
    assert ([token.text for token in tokens], tokens[-1].logprob) == (["", "", EMOJI], -1.0)
    assert (tokens[-1].top[0].text, tokens[-1].top[0].raw) == (EMOJI, b"\x98\x80")
    assert [delta.finish for delta in deltas] == ["stop"]


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([("a", ["a"]), ("b", ["b"])], ["a", "b"]),
        ([("", ["bytes:\\xf0\\x9f"]), (EMOJI, ["bytes:\\x98\\x80"])], ["", EMOJI]),
        ([("", ["\ufffd"]), (EMOJI, ["\ufffd"])], ["", EMOJI]),
        ([(f"{EMOJI}x", ["\ufffd", "\ufffd", "x"])], ["", "", f"{EMOJI}x"]),
    ],
)
def test_an_upstream_server_s_tokens_are_those_of_its_text(chunks: list[tuple[str, list[str]]], expected) -> None:
    growing = StreamedAnswer(bytes_each(), "", Sampling(100))
    deltas: list[TextDelta] = []
    full_text = ""
    for text, tokens in chunks:
        full_text += text
        deltas += growing.grow(0, full_text, [GeneratedToken(token, -1.0, raw=unspelled(token)) for token in tokens])
    deltas.append(growing.end(0, "stop"))
    tokens_shown = [token for delta in deltas for token in delta.tokens]
    require_exact(full_text, tokens_shown, deltas)
    assert [token.text for token in tokens_shown] == expected


@pytest.mark.parametrize(("most", "text"), [(1, "a"), (2, "ab"), (9, "abc")])
def test_no_more_tokens_are_taken_from_an_upstream_server_than_asked_for(most: int, text: str) -> None:
    growing = StreamedAnswer(bytes_each(), " ", Sampling(most))
    tokens = [GeneratedToken(letter, -1.0, raw=letter.encode()) for letter in " abc"]
    deltas = [*growing.grow(0, " abc", tokens), growing.end(0, "length")]
    assert ("".join(delta.text for delta in deltas), growing.is_full) == (text, most < 9)


def test_a_forced_start_that_is_not_whole_is_no_part_of_the_answer() -> None:
    text, _, deltas = answer(bytes_each(), bytes_each()(" ", add_special_tokens=False)["input_ids"], Sampling(1), "  ")
    assert (text, sum(delta.generated for delta in deltas)) == ("", 0)


@pytest.mark.parametrize("raw", [b"abc", b"\xf0\x9f", EMOJI.encode(), b""])
def test_bytes_are_spelled_as_openai_does(raw: bytes) -> None:
    assert unspelled(spelled(raw)) == raw
    assert "\ufffd" not in alternative(raw, -1.0).text


@pytest.mark.parametrize(
    ("tokenizer", "spelling", "raw"),
    [
        (bytes_each, "<eos>", b"<eos>"),
        (byte_fallback, "<0xF0>", b"\xf0"),
        (byte_fallback, "\u2581", b" "),
        (byte_fallback, "a", b"a"),
    ],
)
def test_alternatives_have_the_bytes_of_their_tokens(tokenizer: Callable[[], Any], spelling: str, raw: bytes) -> None:
    number = tokenizer().convert_tokens_to_ids(spelling)
    assert alternative_bytes(tokenizer(), number) == raw
