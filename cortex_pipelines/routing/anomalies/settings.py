"""How unusual behaviour of workers is found: section ``anomalies`` of ``params.yaml``."""

from pydantic import Field

from cortex_pipelines.settings import Settings


class AnomalySettings(Settings):
    """Windows of metrics, the detectors, and when a window is worth an alert."""

    seed: int
    """Seed of the forest, of the autoencoder's first weights and of what is put into windows."""

    window: int = Field(ge=1)
    """Records of a worker, one after the other, that are judged together."""

    train_share: float = Field(gt=0, lt=1)
    """Share of a log's records, the earliest, that detectors learn from."""

    threshold_share: float = Field(gt=0, lt=1)
    """Share of the records, those after, that choose the detector and set its threshold."""

    min_windows: int = Field(ge=4)
    """Fewest windows to learn from for a log to be judged at all."""

    alarm_share: float = Field(gt=0, lt=0.5)
    """Share of usual windows that may give a false alarm; it sets the threshold."""

    metrics_present: float = Field(gt=0, le=1)
    """Share of a log's records that a metric has to stand in to be looked at."""

    variance_kept: float = Field(gt=0, lt=1)
    """Share of the variance that the principal components hold."""

    trees: int = Field(ge=1)
    """Trees of the isolation forest; 100 in Liu, Ting and Zhou (2008)."""

    bottleneck: float = Field(gt=0, lt=1)
    """Width of the autoencoder's middle, as a share of its input."""

    epochs: int = Field(ge=1)
    """Passes of the autoencoder over all windows, in one batch each."""

    learning_rate: float = Field(gt=0)
    """Learning rate of the autoencoder (Adam)."""

    disturbance: float = Field(gt=0)
    """Size of what is put into held-out windows to compare detectors, in spreads of the metric."""
