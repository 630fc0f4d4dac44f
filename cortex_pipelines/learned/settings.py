"""Settings of learned models that are not the router's."""

from typing import Literal

from pydantic import Field

from cortex_pipelines.settings import MOST, Batch, LearningRate, PositiveInt, Range, Seed, Settings, Threads

Collection = Literal["statsmodels", "river", "matplotlib", "coordination", "commits", "gateway"]


class ForecastSettings(Settings):
    """Section ``forecasts`` of params.yaml: the analyser of performance."""

    seed: Seed
    """Seed of the search, the initial weights and the order of training."""
    threads: Threads
    """Processor threads of training; affects the last digits."""
    collections: list[Collection] = Field(min_length=1)
    """Series to learn from and compare on."""
    horizon: PositiveInt
    """Most steps ahead that are learned and compared; a season if that is shorter."""
    judged_origins: PositiveInt
    """Origins, the latest of each series, whose forecasts are compared; those before them give the bands."""
    context: PositiveInt
    """Latest values that the network reads."""
    hidden: int = Field(ge=4, le=4096)
    """Width of the LSTM."""
    windows: PositiveInt
    """Most windows of a series to train on, evenly spread."""
    batch: Batch
    """Windows per step of training."""
    epochs: PositiveInt
    """Training epochs."""
    trials: int = Field(ge=1, le=MOST)
    """Trials of the hyperparameter search, on the latest fifth of the windows before the compared forecasts."""
    learning_rate: Range[LearningRate]
    """Range of the learning rate in the search."""


class DefectSettings(Settings):
    """Section ``defects`` of params.yaml: the recogniser of defects."""

    seed: Seed
    """Seed of what is drawn, the initial weights and the order of training."""
    threads: Threads
    """Processor threads of the language model and of training; affects the last digits."""
    functions: PositiveInt
    """Most functions with an injected error to train on, of each project; each is read without it, too."""
    judged: PositiveInt
    """Most functions with a defect to compare candidates on, of all projects together."""
    min_statements: int = Field(ge=4, le=MOST)
    """Fewest statements of a judged function: among fewer, three of them say nothing."""
    max_statements: int = Field(ge=4, le=MOST)
    """Most statements of a judged function."""
    edits: PositiveInt
    """Most edits of a function whose gain the language model measures; the most promising by its first reading."""
    width: int = Field(ge=8, le=1024, multiple_of=8)
    """Width of the network."""
    layers: int = Field(ge=1, le=16)
    """Layers of its transformer."""
    batch: Batch
    """Functions per step of training."""
    epochs: PositiveInt
    """Training epochs."""
    learning_rate: LearningRate
    """Highest learning rate."""


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
