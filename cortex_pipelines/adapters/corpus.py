"""Which examples a run trains on and which it is validated on, within a budget of tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.examples import Example, read_examples, shuffled
from cortex_pipelines.adapters.packing import TokenisedExample, within_budget
from cortex_pipelines.adapters.settings import AdapterSettings


class NoExamplesError(ValueError):
    """There is nothing to train on."""


@dataclass(frozen=True)
class Corpus:
    """Tokenised examples of one run."""

    train: tuple[TokenisedExample, ...]
    validation: tuple[TokenisedExample, ...]


def read_corpus(
    completion_dataset: Path, naming_dataset: Path, tokenizer: Any, settings: AdapterSettings
) -> Corpus:
    """Examples of both tasks within the token budgets, sampled by the seed.

    Raises:
        NoExamplesError: the train splits hold nothing, or the budget is under one example.
    """

    def sample(split: str, tokens: int) -> tuple[TokenisedExample, ...]:
        naming = read_examples(naming_dataset, "naming", split)
        completion = read_examples(completion_dataset, "completion", split)
        return _mixed(tokenizer, completion, naming, tokens, settings)

    train = sample("train", settings.max_tokens // settings.epochs)
    if not train:
        raise NoExamplesError(
            "no training example: the train splits of completion_dataset and naming_dataset are "
            f"empty, or adapters.max_tokens ({settings.max_tokens}) over adapters.epochs "
            f"({settings.epochs}) is less than one example; add sources to the project in "
            "params.yaml, or raise max_tokens"
        )
    return Corpus(train, sample("validation", settings.validation_tokens))


def _mixed(
    tokenizer: Any,
    completion: Sequence[Example],
    naming: Sequence[Example],
    tokens: int,
    settings: AdapterSettings,
) -> tuple[TokenisedExample, ...]:
    """Naming up to its share, completion up to the rest, and naming again if that leaves room."""

    def some(examples: Sequence[Example], budget: int) -> list[TokenisedExample]:
        return within_budget(
            tokenizer, shuffled(examples, settings.seed), settings.max_length, budget
        )

    named = some(naming, int(tokens * settings.naming_share))
    completed = some(completion, tokens - token_count(named))
    named = some(naming, tokens - token_count(completed))
    return (*completed, *named)


def token_count(examples: Sequence[TokenisedExample]) -> int:
    """Tokens of all examples together."""
    return sum(len(example.ids) for example in examples)
