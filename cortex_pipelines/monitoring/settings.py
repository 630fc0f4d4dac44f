"""Settings of monitoring: when a model is trained again, and how anomalies are detected."""

from pydantic import Field

from cortex_pipelines.settings import (
    MOST,
    HeldOutShare,
    LearningRate,
    NonNegativeInt,
    OpenShare,
    PositiveFloat,
    PositiveInt,
    PositiveShare,
    Seed,
    Settings,
    Share,
)


class RetrainingRule(Settings):
    """What calls for a new training of one kind of model."""

    new_share: PositiveShare
    """Share of what is new: of today's examples; of a router, later tasks by those known then."""
    new_items: PositiveInt
    """Fewest such examples or tasks; a share of next to nothing calls for nothing."""
    corrections: PositiveInt | None
    """Corrections by people that the champion was not trained on; null for never."""
    drift: bool
    """Whether a feature that drifts calls for a training by itself."""
    error_budget: Share
    """Share of decisions that may be wrong, or of shown characters that need not be retained; spent
    once the interval of 95 % lies above it."""
    rest_days: NonNegativeInt
    """Days after a training without another one."""
    most_days: PositiveInt
    """Age of the last training at which anything new at all is learnt."""


class RetrainingSettings(Settings):
    """Section ``retraining`` of params.yaml; no output depends on it."""

    code_adapter: RetrainingRule
    """Of each project's adapter."""
    task_router: RetrainingRule
    """Of the task router."""
    nightly_minutes: PositiveInt
    """Longest expected training, with its evaluation, that a nightly run begins; others wait for
    the weekly one."""
    weekly_minutes: PositiveInt
    """The same of a weekly run; others wait for a person."""


class AnomalySettings(Settings):
    """Section ``anomalies`` of params.yaml: windows, detectors and alerts."""

    seed: Seed
    """Seed of the forest, the autoencoder's initial weights and the synthetic disturbances."""
    window: PositiveInt
    """Consecutive records of a worker in one window."""
    train_share: OpenShare
    """Share of a log's records, the earliest, that detectors are trained on."""
    threshold_share: OpenShare
    """Share of the records after those, for detector choice and threshold."""
    min_windows: int = Field(ge=4, le=MOST)
    """Fewest training windows for a log to be scored at all."""
    alarm_share: HeldOutShare
    """False alarm rate on normal windows, which sets the threshold."""
    metrics_present: PositiveShare
    """Share of a log's records that must contain a metric for it to be used."""
    variance_kept: OpenShare
    """Share of the variance that the principal components explain."""
    trees: PositiveInt
    """Trees of the isolation forest; 100 in Liu, Ting and Zhou (2008)."""
    bottleneck: OpenShare
    """Width of the autoencoder's bottleneck, as a share of its input."""
    epochs: PositiveInt
    """Epochs of the autoencoder, each over all windows in one batch."""
    learning_rate: LearningRate
    """Learning rate of the autoencoder (Adam)."""
    disturbance: PositiveFloat
    """Size of the synthetic disturbances, in spreads of the metric."""
