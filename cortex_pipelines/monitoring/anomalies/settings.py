"""Settings of anomaly detection."""

from pydantic import Field

from cortex_pipelines.settings import (
    MOST,
    HeldOutShare,
    LearningRate,
    OpenShare,
    PositiveFloat,
    PositiveInt,
    PositiveShare,
    Seed,
    Settings,
)


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
