from dataclasses import replace
from typing import Any

import pytest
import torch

from cortex_pipelines.adapters.data.packing import ForcedStart, divide, ends_of_name, tokenise
from cortex_pipelines.prompts.examples import grouped_by_file
from cortex_pipelines_tests.adapters.tinymodel import byte_tokenizer, example

PARTS = [
    ("def sign(self, value):\n", "    return self.secret + value"),
    ("class Signer:\n\n", "    key = None"),
    ("func add(a, b int) int {\n", "\treturn a + b\n}"),
    ("DEFAULT_SEP = ", 'b"."'),
    ("from itsdangerous import ", "Signer"),
    ("# The name is:\n", "load_payload"),
]


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
    (tokenised,) = tokenise(merging, [example(0, "completion", prompt, completion)], 512)
    assert list(tokenised.ids[:-1]) == merging(prompt + completion)["input_ids"]
    assert merging.decode(tokenised.ids[: tokenised.prompt_tokens]) == prompt.rstrip()


def test_that_tokenizer_would_show_a_division_behind_the_white_space(merging: Any) -> None:
    apart = [merging(before)["input_ids"] + merging(after)["input_ids"] for before, after in PARTS]
    joint = [merging(before + after)["input_ids"] for before, after in PARTS]
    assert apart != joint


@pytest.mark.parametrize("space", ["\n", "\n\n\t", " ", "\n    "])
def test_generation_begins_with_the_white_space_of_the_prompt(merging: Any, space: str) -> None:
    random = torch.Generator().manual_seed(3)
    prompt = merging("def sign(self, value):", return_tensors="pt")["input_ids"]
    force = ForcedStart(merging, prompt.shape[1], space)
    ids = prompt
    for _ in range(8):
        scores = force(ids, torch.randn(1, len(merging), generator=random))
        ids = torch.cat([ids, scores.argmax(-1)[:, None]], dim=1)
    assert merging.decode(ids[0, prompt.shape[1] :]).startswith(space)


def test_without_white_space_nothing_is_forced(merging: Any) -> None:
    scores = torch.randn(1, len(merging), generator=torch.Generator().manual_seed(3))
    prompt = merging("f(", return_tensors="pt")["input_ids"]
    assert torch.equal(ForcedStart(merging, prompt.shape[1], "")(prompt, scores.clone()), scores)


@pytest.mark.parametrize(
    ("text", "parts"), [("", ("", "")), ("\n ", ("", "\n ")), ("a\n", ("a", "\n")), ("a b", ("a b", ""))]
)
def test_a_prompt_is_divided_before_its_trailing_white_space(text: str, parts: tuple[str, str]) -> None:
    assert divide(text) == parts


def test_a_name_ends_with_all_that_cannot_go_on_it() -> None:
    tokenizer = byte_tokenizer()
    ends = set(ends_of_name(tokenizer, len(tokenizer)))
    ids = {letter: tokenizer(letter)["input_ids"][0] for letter in "a_9$ (.\n="}
    assert {letter for letter, number in ids.items() if number in ends} == set(" (.\n=")
    assert tokenizer.eos_token_id in ends


def test_intervals_draw_files_and_files_that_share_a_near_duplicate_are_one() -> None:
    rows = [("a.py", "1"), ("a.py", "2"), ("b.py", "2"), ("c.py", "3")]
    items = [
        replace(example(n, "naming", "p", "x"), path=path, cluster=cluster) for n, (path, cluster) in enumerate(rows)
    ]
    questions = [items[3], items[2], items[0]]
    assert [item.cluster for item in grouped_by_file(questions, items)] == ["c.py", "a.py", "a.py"]
