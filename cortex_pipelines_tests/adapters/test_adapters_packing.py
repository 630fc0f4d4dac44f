from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.adapters.data import packing
from cortex_pipelines.prompts.examples import grouped_by_file, sampled
from cortex_pipelines_tests.adapters.tinymodel import byte_tokenizer, example
from cortex_pipelines_tests.messages import refusal
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
lengths = st.lists(st.integers(2, 32), min_size=1, max_size=40)


def tokenised(prompt: str, completion: str, window: int = 512) -> list[packing.TokenisedExample]:
    return list(packing.tokenise(byte_tokenizer(), [example(0, "", prompt, completion)], window))


def of_lengths(sizes: Sequence[int]) -> list[packing.TokenisedExample]:
    """Examples of the given lengths, no token twice, half of each a prompt."""
    examples, token = [], 0
    for number, size in enumerate(sizes):
        ids = tuple(range(token, token + size))
        examples.append(packing.TokenisedExample(f"{number:03d}", "t", ids, (size + 1) // 2, size // 2, 0))
        token += size
    return examples


def segments(rows: Sequence[packing.PackedRow]) -> Counter[tuple[tuple[int, int], ...]]:
    """The examples in packed rows, separated by their positions."""
    intervals: list[list[tuple[int, int]]] = []
    for row in rows:
        for token, position, target in zip(row.ids, row.positions, row.targets, strict=True):
            if position == 0:
                intervals.append([])
            assert position == len(intervals[-1])
            intervals[-1].append((token, target))
    return Counter(tuple(segment) for segment in intervals)


@given(prompt=texts, completion=texts)
def test_targets_are_the_completion_and_its_end_and_nothing_else(prompt: str, completion: str) -> None:
    tokenizer = byte_tokenizer()
    (examples,) = tokenised(prompt, completion)
    context, space = packing.divide(prompt)
    text = space + completion if completion else ""
    targets = [token for token in examples.targets() if token != packing.IGNORED]
    assert (tokenizer.decode(targets[:-1]), targets[-1]) == (text, tokenizer.eos_token_id)
    assert tokenizer.decode(examples.ids[: examples.prompt_tokens]) == (context or "<bos>")
    assert examples.targets()[: examples.prompt_tokens - 1] == [packing.IGNORED] * (examples.prompt_tokens - 1)
    assert (examples.text_tokens, examples.text_bytes) == (len(targets) - 1, len(text.encode()))
    assert replace(examples, learn_prompt=True).targets() == [*examples.ids[1:], packing.IGNORED]


@given(lengths)
def test_packing_keeps_every_token_and_target_of_every_example(sizes: list[int]) -> None:
    examples = of_lengths(sizes)
    rows = packing.pack(examples, 32)
    expected = Counter(tuple(zip(example.ids, example.targets(), strict=True)) for example in examples)
    assert segments(rows) == expected
    assert all(len(row.ids) <= 32 for row in rows)


@given(lengths, st.randoms())
def test_rows_do_not_depend_on_the_order_of_the_examples(sizes: list[int], random: object) -> None:
    examples = of_lengths(sizes)
    mixed = list(examples)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert packing.pack(mixed, 32) == packing.pack(examples, 32)


def test_examples_of_a_row_stay_apart_and_fill_it() -> None:
    (row,) = packing.pack(of_lengths([4, 4]), 8)
    none = packing.IGNORED
    assert (row.positions, row.targets) == ((0, 1, 2, 3) * 2, (none, 2, 3, none, none, 6, 7, none))
    assert row.supervised == 4
    rows = packing.pack(of_lengths([20, 25, 7, 12]), 32)
    assert sorted(len(row.ids) for row in rows) == [32, 32]


def test_a_long_example_keeps_what_is_nearest_to_the_border() -> None:
    (examples,) = tokenised("a" * 50 + "bcd", "xyz", window=16)
    assert byte_tokenizer().decode(examples.ids) == "a" * 9 + "bcd" + "xyz" + "<eos>"
    assert (examples.prompt_tokens, examples.text_tokens, examples.text_bytes) == (12, 3, 3)
    (examples,) = tokenised("abcdefgh", "x" * 40, window=16)
    assert byte_tokenizer().decode(examples.ids) == "efgh" + "x" * 12
    assert (examples.text_tokens, examples.text_bytes) == (12, 12)
    before = "".join(f"b{number}\n" for number in range(100))
    after = "".join(f"\na{number}" for number in range(100))
    gap = replace(example(0, "", before, "    x = 1"), suffix=after)
    tokenizer = byte_tokenizer()
    (examples,) = packing.tokenise(tokenizer, [gap], 128)
    text = tokenizer.decode(examples.ids)
    assert len(examples.ids) <= 128
    assert "a0\na1\n" in text
    assert "a99" not in text
    assert "b98\nb99\n    x = 1" in text
    assert "b0\n" not in text
    assert text.count("b") > text.count("a")


@given(prompt=texts, completion=texts, window=st.integers(16, 40))
def test_nothing_is_longer_than_the_window(prompt: str, completion: str, window: int) -> None:
    (examples,) = tokenised(prompt, completion, window)
    assert len(examples.ids) <= window
    assert 1 <= examples.prompt_tokens <= len(examples.ids) - 1


def test_an_example_without_any_target_is_left_out() -> None:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    plain = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(byte_tokenizer().backend_tokenizer.to_str()), bos_token="<bos>"
    )
    assert list(packing.tokenise(plain, [example(0, "", "abc", "")], 16)) == []
    plain = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(byte_tokenizer().backend_tokenizer.to_str()))
    assert "models.base" in refusal(ValueError, list, packing.tokenise(plain, [example(0, "", "", "abc")], 16))


@given(st.lists(texts, max_size=12), st.integers(0, 200))
def test_a_budget_is_filled_from_the_front_and_never_passed(bodies: list[str], budget: int) -> None:
    examples = [example(number, "", "p", body) for number, body in enumerate(bodies)]
    everything = list(packing.tokenise(byte_tokenizer(), examples, 64))
    selected = packing.within_budget(byte_tokenizer(), examples, 64, budget)
    used = sum(len(entry.ids) for entry in selected)
    assert selected == everything[: len(selected)]
    assert used <= budget
    assert len(selected) == len(everything) or used + len(everything[len(selected)].ids) > budget


PARTS = CASES["PARTS"]


@pytest.fixture(scope="module")
def merging() -> Any:
    """A tokenizer of GPT-2's kind that has learnt to join white space with what follows it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([before + after for before, after in PARTS] * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")


@pytest.mark.parametrize(("prompt", "completion"), PARTS)
def test_prompt_and_completion_give_the_tokens_that_a_file_has(merging: Any, prompt: str, completion: str) -> None:
    (tokenised,) = packing.tokenise(merging, [example(0, "completion", prompt, completion)], 512)
    assert list(tokenised.ids[:-1]) == merging(prompt + completion)["input_ids"]
    assert merging.decode(tokenised.ids[: tokenised.prompt_tokens]) == prompt.rstrip()


def test_without_white_space_nothing_is_forced_and_its_division_would_show(merging: Any) -> None:
    apart = [merging(before)["input_ids"] + merging(after)["input_ids"] for before, after in PARTS]
    joint = [merging(before + after)["input_ids"] for before, after in PARTS]
    assert apart != joint
    scores = torch.randn(1, len(merging), generator=torch.Generator().manual_seed(3))
    prompt = merging("f(", return_tensors="pt")["input_ids"]
    assert torch.equal(packing.ForcedStart(merging, prompt.shape[1], "")(prompt, scores.clone()), scores)


@pytest.mark.parametrize("space", ["\n", "\n\n\t", " ", "\n    "])
def test_generation_begins_with_the_white_space_of_the_prompt(merging: Any, space: str) -> None:
    random = torch.Generator().manual_seed(3)
    prompt = merging("def sign(self, value):", return_tensors="pt")["input_ids"]
    force = packing.ForcedStart(merging, prompt.shape[1], space)
    ids = prompt
    for _ in range(8):
        scores = force(ids, torch.randn(1, len(merging), generator=random))
        ids = torch.cat([ids, scores.argmax(-1)[:, None]], dim=1)
    assert merging.decode(ids[0, prompt.shape[1] :]).startswith(space)


@pytest.mark.parametrize(
    ("text", "parts"), [("", ("", "")), ("\n ", ("", "\n ")), ("a\n", ("a", "\n")), ("a b", ("a b", ""))]
)
def test_a_prompt_is_divided_before_its_trailing_white_space(text: str, parts: tuple[str, str]) -> None:
    assert packing.divide(text) == parts


def test_a_name_ends_with_all_that_cannot_go_on_it_and_files_are_drawn_together() -> None:
    tokenizer = byte_tokenizer()
    ends = set(packing.ends_of_name(tokenizer, len(tokenizer)))
    ids = {letter: tokenizer(letter)["input_ids"][0] for letter in "a_9$ (.\n="}
    assert {letter for letter, number in ids.items() if number in ends} == set(" (.\n=")
    assert tokenizer.eos_token_id in ends
    rows = [("a.py", "1"), ("a.py", "2"), ("b.py", "2"), ("c.py", "3")]
    items = [
        replace(example(n, "naming", "p", "x"), path=path, cluster=cluster) for n, (path, cluster) in enumerate(rows)
    ]
    questions = [items[3], items[2], items[0]]
    assert [item.cluster for item in grouped_by_file(questions, items)] == ["c.py", "a.py", "a.py"]


@pytest.mark.parametrize(("bodies", "gaps", "sizes"), [(30, 300, (12, 12)), (3, 300, (3, 21)), (30, 0, (24, 0))])
def test_half_of_a_sample_are_gaps_however_many_there_are(bodies: int, gaps: int, sizes: tuple[int, int]) -> None:
    whole = [example(number, "completion", "p", "x") for number in range(bodies)]
    around = [replace(example(bodies + number, "completion", "p", "x"), suffix="s") for number in range(gaps)]
    sample = sampled([*around, *whole], 24, 1)
    drawn_gaps = sum(item.suffix is not None for item in sample)
    assert (len(sample) - drawn_gaps, drawn_gaps) == sizes
    assert sample == sampled([*whole, *around], 24, 1)


def test_windows_that_slide_over_a_file_begin_alike() -> None:
    """Else an editor that sends what is around its cursor has everything read again for each line."""
    lines = [f"x_{number} = {number**3}\n" for number in range(400)]
    ends = set()
    for until in range(300, 400):
        starts = set()
        for window in (lines[:until], lines[until - 250 : until]):
            first = packing.first_line(window, [5] * len(window), 500, 100)
            assert 400 < 5 * (len(window) - first) <= 500
            starts.add(until - len(window) + first)
        assert len(starts) == 1
        ends |= starts
    assert len(ends) <= 20
    assert packing.first_line(lines[:100], [5] * 100, 500, 100) == 0
    assert packing.first_line(["a", "b"], [600, 600], 500, 100) == 2
