"""How tasks are labelled, split, embedded and routed: section ``routing`` of ``params.yaml``."""

from pydantic import Field

from cortex_pipelines.settings import Settings


class WeakRule(Settings):
    """Which commits stand for tasks of a master, where the logs are few."""

    master: str
    """Master that such a commit would have gone to."""

    paths: list[str]
    """Regular expressions; a changed path that one matches votes for the master. The first rule
    that matches a path has its vote."""

    subjects: list[str]
    """Regular expressions; a subject line that one matches decides, whatever the paths say."""


class RoutingSettings(Settings):
    """The task router: labels, split, encoder, head, decisions and their evaluation."""

    seed: int
    """Seed of the split, the search, the head's first weights and the bootstrap."""

    min_tasks: int = Field(ge=3)
    """Fewest tasks with a known outcome for a router to be trained."""

    validation_share: float = Field(gt=0, lt=0.5)
    """Share of the tasks, by hash of their text, for the search and the calibration."""

    test_share: float = Field(gt=0, lt=0.5)
    """Share of the tasks, by hash of their text, that are only ever used for the evaluation."""

    decision_weight: float = Field(gt=0, le=1)
    """Weight of a task that was routed but whose outcome is not known; 1 is a known outcome."""

    weak_weight: float = Field(gt=0, le=1)
    """Weight of a commit that stands for a task."""

    weak_per_master: int = Field(ge=0)
    """Most commits that stand for tasks of one master; 0 leaves commits out."""

    weak_rules: list[WeakRule]
    """Which commits stand for tasks of which master."""

    max_tokens: int = Field(ge=8)
    """Most tokens of a task that the encoder reads; the model card of all-MiniLM-L6-v2 says 256."""

    batch: int = Field(ge=1)
    """Texts that are encoded at once; part of the result, in its last digits."""

    threads: int = Field(ge=1)
    """Processor threads of encoder and head; part of the result, in its last digits."""

    trials: int = Field(ge=1)
    """Trials of the search for the head's settings."""

    epochs: int = Field(ge=1)
    """Passes over the training tasks, all in one batch."""

    hidden_sizes: list[int] = Field(min_length=1)
    """Widths of the head's hidden layer that the search tries; 0 is a linear head."""

    learning_rate: tuple[float, float]
    """Smallest and largest learning rate that the search tries."""

    weight_decay: tuple[float, float]
    """Smallest and largest weight decay that the search tries."""

    accept: float = Field(ge=0, le=1)
    """Probability from which the model decides; below it the rules do, and then a person."""

    supporting: float = Field(ge=0, le=1)
    """Probability from which another master is named as supporting; 0.3 in the rules file."""

    fallback_master: str | None
    """Master that the rules leave a task to when no keyword is found; none: a person's task."""

    resamples: int = Field(ge=100)
    """Resamples of the paired bootstrap in the evaluation."""

    confidence: float = Field(gt=0, lt=1)
    """Confidence of every interval, two-sided."""
