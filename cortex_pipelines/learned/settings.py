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
