"""Select training and validation examples within a budget of tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.data.canaries import planted
from cortex_pipelines.adapters.data.packing import TokenisedExample, tokenise, within_budget
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.prompts.examples import (
    DATASETS,
    TASKS,
    Example,
    read_examples,
    shuffled,
    without_gaps,
)

GENERAL = "general"
"""Task name of general-code examples."""


class NoExamplesError(ValueError):
    """There are no training examples."""


@dataclass(frozen=True)
class Corpus:
    """Tokenised training and validation examples of one run.

    Args:
        train: What is trained on, with what is replayed and the canaries.
        validation: What chooses the best weights.
        replayed: The part of ``train`` that is general code.
        general: General code to measure forgetting on.
    """

    train: tuple[TokenisedExample, ...]
    validation: tuple[TokenisedExample, ...]
    replayed: tuple[TokenisedExample, ...] = ()
    general: tuple[TokenisedExample, ...] = ()


def read_corpus(
    datasets: Mapping[str, Path],
    tokenizer: Any,
    settings: AdapterSettings,
    general: Path | None = None,
) -> Corpus:
    """Examples of all tasks within the token budgets, sampled by the seed.

    Args:
        datasets: Each of ``DATASETS`` with its folder.
        tokenizer: The base's.
        settings: Budgets, shares and seed.
        general: Folder with general code; None for none.

    Raises:
        NoExamplesError: the train splits hold nothing, or the budget is under one example.
    """

    def sample(split: str, tokens: int) -> tuple[TokenisedExample, ...]:
        return _mixed(tokenizer, _parts(datasets, split, settings), tokens, settings)

    def other(split: str, tokens: int) -> tuple[TokenisedExample, ...]:
        if general is None or not tokens:
            return ()
        ordered = shuffled(without_gaps(general, GENERAL, split), settings.seed)
        return tuple(within_budget(tokenizer, ordered, settings.max_length, tokens))

    budget = settings.max_tokens // settings.epochs
    canaries = tuple(
        tokenise(tokenizer, planted(settings.canaries, settings.seed), settings.max_length)
    )
    # a small project's unused budget is not filled with other projects' code
    own = token_count(sample("train", budget)) + token_count(canaries)
    seen_once = min(budget, int(own / (1 - settings.replay_share)))
    replayed = other("train", int(seen_once * settings.replay_share))
    train = sample("train", budget - token_count(replayed) - token_count(canaries))
    if not train:
        raise NoExamplesError(
            f"no training example: the train splits of {_names(settings)} are "
            f"empty, or adapters.max_tokens ({settings.max_tokens}) over adapters.epochs "
            f"({settings.epochs}) is less than one example; add sources to the project in "
            "params.yaml, or raise max_tokens"
        )
    return Corpus(
        train=(*train, *replayed, *canaries),
        validation=sample("validation", settings.validation_tokens),
        replayed=replayed,
        general=other("validation", settings.validation_tokens),
    )


def _names(settings: AdapterSettings) -> str:
    return ", ".join(f"{task}_dataset" for task in settings.task_shares)


@dataclass(frozen=True)
class _Part:
    """Examples that share one part of the budget."""

    share: float
    examples: Sequence[Example]


def _parts(datasets: Mapping[str, Path], split: str, settings: AdapterSettings) -> dict[str, _Part]:
    """Tasks in order; gaps and feedback are separate from the other examples of their task."""
    parts: dict[str, _Part] = {}
    for task in (task for task in TASKS if task in settings.task_shares):
        share = settings.task_shares[task]
        examples = read_examples(datasets[task], task, split)
        whole = [example for example in examples if example.suffix is None]
        gaps = [example for example in examples if example.suffix is not None]
        more = [name for name, of in DATASETS.items() if of == task != name]
        feedback = [one for name in more for one in read_examples(datasets[name], name, split)]
        infilling = settings.fim_rate if task == "completion" else 0.0
        correcting = settings.feedback_rate if feedback else 0.0
        parts[task] = _Part(share * (1 - infilling - correcting), whole)
        parts[f"{task}, gaps"] = _Part(share * infilling, gaps)
        parts[f"{task}, feedback"] = _Part(share * correcting, feedback)
    return {name: part for name, part in parts.items() if part.share > 0}


def _mixed(
    tokenizer: Any, parts: Mapping[str, _Part], tokens: int, settings: AdapterSettings
) -> tuple[TokenisedExample, ...]:
    """Fill each part up to its share, then redistribute what others leave unused."""
    whole = sum(part.share for part in parts.values())
    ordered = {name: shuffled(part.examples, settings.seed) for name, part in parts.items()}

    def some(name: str, budget: int) -> list[TokenisedExample]:
        return within_budget(tokenizer, ordered[name], settings.max_length, budget)

    taken = {name: some(name, int(tokens * part.share / whole)) for name, part in parts.items()}
    for name in sorted(parts, key=lambda task: (-parts[task].share, task)):
        others = sum(
            token_count(sampled_examples)
            for other, sampled_examples in taken.items()
            if other != name
        )
        taken[name] = some(name, tokens - others)
    return tuple(example for sampled_examples in taken.values() for example in sampled_examples)


def seen(corpus: Corpus) -> dict[str, list[str]]:
    """Identities of all training examples by task, including replayed code and canaries."""
    tasks = sorted({example.task for example in corpus.train})
    return {task: sorted(o.example_id for o in corpus.train if o.task == task) for task in tasks}


def token_count(examples: Sequence[TokenisedExample]) -> int:
    """Total number of tokens of the examples."""
    return sum(len(example.ids) for example in examples)
