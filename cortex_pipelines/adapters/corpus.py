"""Which examples a run trains on and which it is validated on, within a budget of tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.examples import TASKS, Example, read_examples, shuffled
from cortex_pipelines.adapters.packing import TokenisedExample, within_budget
from cortex_pipelines.adapters.settings import AdapterSettings


class NoExamplesError(ValueError):
    """There is nothing to train on."""


@dataclass(frozen=True)
class Corpus:
    """Tokenised examples of one run."""

    train: tuple[TokenisedExample, ...]
    validation: tuple[TokenisedExample, ...]


def read_corpus(datasets: Mapping[str, Path], tokenizer: Any, settings: AdapterSettings) -> Corpus:
    """Examples of all tasks within the token budgets, sampled by the seed.

    Args:
        datasets: Task to the folder of its data set.
        tokenizer: The base's.
        settings: Budgets, shares and seed.

    Raises:
        NoExamplesError: the train splits hold nothing, or the budget is under one example.
    """

    def sample(split: str, tokens: int) -> tuple[TokenisedExample, ...]:
        examples: dict[str, list[Example]] = {
            task: read_examples(datasets[task], task, split) for task in settings.task_shares
        }
        return _mixed(tokenizer, examples, tokens, settings)

    train = sample("train", settings.max_tokens // settings.epochs)
    if not train:
        raise NoExamplesError(
            f"no training example: the train splits of {_names(settings)} are "
            f"empty, or adapters.max_tokens ({settings.max_tokens}) over adapters.epochs "
            f"({settings.epochs}) is less than one example; add sources to the project in "
            "params.yaml, or raise max_tokens"
        )
    return Corpus(train, sample("validation", settings.validation_tokens))


def _names(settings: AdapterSettings) -> str:
    return ", ".join(f"{task}_dataset" for task in settings.task_shares)


def _mixed(
    tokenizer: Any,
    examples: Mapping[str, Sequence[Example]],
    tokens: int,
    settings: AdapterSettings,
) -> tuple[TokenisedExample, ...]:
    """Of each task up to its share, and then up to what the others leave, largest share first."""
    whole = sum(settings.task_shares.values())
    ordered = {task: shuffled(some, settings.seed) for task, some in examples.items()}

    def some(task: str, budget: int) -> list[TokenisedExample]:
        return within_budget(tokenizer, ordered[task], settings.max_length, budget)

    taken: dict[str, list[TokenisedExample]] = {
        task: some(task, int(tokens * share / whole))
        for task, share in settings.task_shares.items()
    }
    for task in sorted(settings.task_shares, key=lambda one: (-settings.task_shares[one], one)):
        others = sum(token_count(found) for other, found in taken.items() if other != task)
        taken[task] = some(task, tokens - others)
    return tuple(example for task in TASKS for example in taken.get(task, ()))


def token_count(examples: Sequence[TokenisedExample]) -> int:
    """Tokens of all examples together."""
    return sum(len(example.ids) for example in examples)
