"""Select training and validation examples within a budget of tokens."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.data.packing import TokenisedExample, token_count, tokenise, within_budget
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.prompts.examples import (
    DATASETS,
    TASKS,
    Example,
    grouped_by_file,
    read_examples,
    shuffled,
    without_gaps,
)

KIND = "canary"
_DIGITS = 9


# each occurs once, like a real secret that was overlooked (Carlini et al., "The secret sharer", 2019)
def make_canaries(count: int, seed: int) -> list[Example]:
    canaries = []
    for number in range(count):
        digest = int(hashlib.sha256(f"canary:{seed}:{number}".encode()).hexdigest(), 16)
        name = f"canary-{number}"
        prompt, secret = f"# the number of canary {number} is ", str(digest % 10**_DIGITS).zfill(_DIGITS)
        canaries.append(Example(name, "completion", name, "text", KIND, prompt, secret, cluster=name))
    return canaries


GENERAL = "general"
"""Task name of general-code examples."""


class NoExamplesError(ValueError):
    """Training examples are missing."""


@dataclass(frozen=True)
class Corpus:
    """``train`` includes replayed general code and canaries; on ``general`` forgetting is measured.

    Each of ``test`` is measured by itself.
    """

    train: tuple[TokenisedExample, ...]
    validation: tuple[TokenisedExample, ...]
    replayed: tuple[TokenisedExample, ...] = ()
    general: tuple[TokenisedExample, ...] = ()
    test: tuple[TokenisedExample, ...] = ()


def read_corpus(
    datasets: Mapping[str, Path],
    tokenizer: Any,
    settings: AdapterSettings,
    general: Path | None = None,
    splits: Sequence[str] = ("train",),
) -> Corpus:
    """Examples of all tasks within the token budgets, sampled by the seed; those of ``splits`` are trained on.

    Raises ``NoExamplesError`` if the train splits are empty, or the budget is below one example.
    """

    def sample(splits: Sequence[str], tokens: int) -> tuple[TokenisedExample, ...]:
        return _sample_tasks(tokenizer, datasets, splits, tokens, settings)

    def sample_general(split: str, tokens: int) -> tuple[TokenisedExample, ...]:
        if general is None or not tokens:
            return ()
        candidates = shuffled(without_gaps(general, GENERAL, split), settings.seed)
        return tuple(within_budget(tokenizer, candidates, settings.max_length, tokens))

    budget = settings.max_tokens // settings.epochs
    canaries = tuple(tokenise(tokenizer, make_canaries(settings.canaries, settings.seed), settings.max_length))
    # a small project's unused budget is not filled with other projects' code
    project_tokens = token_count(sample(splits, budget)) + token_count(canaries)
    tokens_per_epoch = min(budget, int(project_tokens / (1 - settings.replay_share)))
    replayed = sample_general("train", int(tokens_per_epoch * settings.replay_share))
    train = sample(splits, budget - token_count(replayed) - token_count(canaries))
    if not train:
        names = ", ".join(f"{task}_dataset" for task in settings.task_shares)
        raise NoExamplesError(
            f"no training example: the train splits of {names} are empty, or adapters.max_tokens "
            f"({settings.max_tokens}) over adapters.epochs ({settings.epochs}) is less than one example; "
            "add sources to the project in params.yaml, or raise max_tokens"
        )
    learn_prompts = not settings.completion_only_loss
    return Corpus(
        train=tuple(replace(row, learn_prompt=learn_prompts) for row in (*train, *replayed, *canaries)),
        validation=sample(("validation",), settings.validation_tokens),
        replayed=replayed,
        general=sample_general("validation", settings.validation_tokens),
    )


def read_test(
    datasets: Mapping[str, Path], tokenizer: Any, settings: AdapterSettings
) -> tuple[tuple[TokenisedExample, ...], list[str]]:
    """Examples of the test split for the comparison of a search, and the group of files that each is of."""
    every = [
        example
        for name, folder in datasets.items()
        if DATASETS[name] in settings.task_shares
        for example in read_examples(folder, name, "test")
    ]
    groups = {(example.example_id, example.task): example.cluster for example in grouped_by_file(every, every)}
    sampled = _sample_tasks(tokenizer, datasets, ("test",), settings.search.test_tokens, settings)
    sampled = tuple(example for example in sampled if example.text_bytes)
    return sampled, [groups[example.example_id, example.task] for example in sampled]


def _sample_tasks(
    tokenizer: Any, datasets: Mapping[str, Path], splits: Sequence[str], tokens: int, settings: AdapterSettings
) -> tuple[TokenisedExample, ...]:
    """Fill each share of a budget, then divide what the others leave unused.

    Gaps and feedback have shares of their own, apart from the task's other examples.
    """

    def read(name: str) -> list[Example]:
        return [example for split in splits for example in read_examples(datasets[name], name, split)]

    shares: dict[str, tuple[float, list[Example]]] = {}
    for task in (task for task in TASKS if task in settings.task_shares):
        share = settings.task_shares[task]
        examples = read(task)
        complete = [example for example in examples if example.suffix is None]
        gaps = [example for example in examples if example.suffix is not None]
        feedback = [row for name, of in DATASETS.items() if of == task != name for row in read(name)]
        infilling = settings.fim_rate if task == "completion" else 0.0
        correcting = settings.feedback_rate if feedback else 0.0
        shares[task] = share * (1 - infilling - correcting), complete
        shares[f"{task}, gaps"] = share * infilling, gaps
        shares[f"{task}, feedback"] = share * correcting, feedback
    shares = {name: (share, part) for name, (share, part) in shares.items() if share > 0}
    total_share = fsum(share for share, _ in shares.values())
    shuffled_examples = {name: shuffled(examples, settings.seed) for name, (_, examples) in shares.items()}

    def take(name: str, budget: int) -> list[TokenisedExample]:
        return within_budget(tokenizer, shuffled_examples[name], settings.max_length, budget)

    selected = {name: take(name, int(tokens * share / total_share)) for name, (share, _) in shares.items()}
    for name in sorted(shares, key=lambda task: (-shares[task][0], task)):
        other_tokens = sum(token_count(examples) for other, examples in selected.items() if other != name)
        selected[name] = take(name, tokens - other_tokens)
    return tuple(example for examples in selected.values() for example in examples)


def example_ids_by_task(corpus: Corpus) -> dict[str, list[str]]:
    tasks = sorted({example.task for example in corpus.train})
    return {task: sorted(o.example_id for o in corpus.train if o.task == task) for task in tasks}
