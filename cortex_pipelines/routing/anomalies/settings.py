"""How unusual behaviour of workers is found: section ``anomalies`` of ``params.yaml``."""

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
    """Windows of metrics, the detectors, and when a window is worth an alert."""

    seed: Seed
    """Seed of the forest, of the autoencoder's first weights and of what is put into windows."""

    window: PositiveInt
    """Records of a worker, one after the other, that are judged together."""

    train_share: OpenShare
    """Share of a log's records, the earliest, that detectors learn from."""

    threshold_share: OpenShare
    """Share of the records, those after, that choose the detector and set its threshold."""

    min_windows: int = Field(ge=4, le=MOST)
    """Fewest windows to learn from for a log to be judged at all."""

    alarm_share: HeldOutShare
    """Share of usual windows that may give a false alarm; it sets the threshold."""

    metrics_present: PositiveShare
    """Share of a log's records that a metric has to stand in to be looked at."""

    variance_kept: OpenShare
    """Share of the variance that the principal components hold."""

    trees: PositiveInt
    """Trees of the isolation forest; 100 in Liu, Ting and Zhou (2008)."""

    bottleneck: OpenShare
    """Width of the autoencoder's middle, as a share of its input."""

    epochs: PositiveInt
    """Passes of the autoencoder over all windows, in one batch each."""

    learning_rate: LearningRate
    """Learning rate of the autoencoder (Adam)."""

    disturbance: PositiveFloat
    """Size of what is put into held-out windows to compare detectors, in spreads of the metric."""
