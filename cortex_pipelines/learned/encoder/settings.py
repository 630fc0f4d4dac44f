"""Settings of the encoder of code."""

from typing import Literal

from pydantic import Field

from cortex_pipelines.settings import Batch, LearningRate, PositiveInt, Seed, Settings, Threads

PairKind = Literal["documentation", "commits", "tests", "calls", "variants"]


class EncoderSettings(Settings):
    """Section ``encoder_training`` of params.yaml: the encoder of code."""

    seed: Seed
    """Seed of the order of training."""
    threads: Threads
    """Processor threads of training; affects the last digits."""
    kinds: list[PairKind] = Field(min_length=1)
    """What texts are brought together: sentences that document a function, messages of commits, tests, callers and
    renamed variants, each with the function."""
    hard_negatives: bool
    """Whether a mutant of a function is what its documentation does not say."""
    pairs: PositiveInt
    """Most pairs of a kind and project to train on."""
    folds: PositiveInt
    """Most trainings for the comparison: the projects are left out of them in as many groups."""
    judged: PositiveInt
    """Most judged items of a task and project."""
    max_tokens: PositiveInt
    """Tokens of a text that are trained on."""
    widths: list[PositiveInt] = Field(min_length=1)
    """Numbers at the beginning of a vector that have to do as a vector (Matryoshka); wider ones than the model's own
    are left out."""
    batch: Batch
    """Pairs per step of training."""
    epochs: PositiveInt
    """Training epochs."""
    learning_rate: LearningRate
    """Highest learning rate; it rises for a tenth of the steps and falls to zero."""
    neighbours: PositiveInt
    """Hand-labelled neighbours that a unit's category is taken from."""
