"""How tasks are labelled, split, embedded and routed: section ``routing`` of ``params.yaml``."""

from typing import Literal

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
    """Share of the tasks, by hash of their text, that stands beside the training tasks; a router
    that is compared and calibrated out of fold trains on both."""

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
    """Processor threads of encoder and training; part of the result, in its last digits."""

    precision: Literal["auto", "fp32", "bf16"]
    """Type of the encoder's numbers; auto takes bf16 where the processor has tiles for it, which
    halves the time of a decision and leaves embeddings at a cosine of 0.9999."""

    dimensions: int = Field(ge=1)
    """Most dimensions of the projected embedding that rungs work on."""

    folds: int = Field(ge=2)
    """Folds on which the rungs of the ladder are compared, weighted and calibrated."""

    adopt_p: float = Field(gt=0, le=1)
    """Largest p-value of the two paired tests (each at half of it) at which a rung takes the place
    of the one below."""

    solver_threads: int = Field(ge=1)
    """Threads of the solver for words and letters; no part of the result."""

    lexical_penalty: float = Field(gt=0)
    """Inverse regularisation (C) of logistic regression on TF-IDF."""

    semantic_penalty: float = Field(gt=0)
    """Inverse regularisation (C) of logistic regression on the embedding."""

    neighbours: int = Field(ge=1)
    """Past tasks that vote."""

    evidence: int = Field(ge=0)
    """Past tasks that a decision shows."""

    kernel_features: int = Field(ge=1)
    """Random Fourier features of the kernel regression, at most."""

    kernel_width: float = Field(gt=0)
    """Gamma of its Gaussian kernel, exp(-gamma d^2)."""

    kernel_ridge: float = Field(gt=0)
    """Ridge of its regression."""

    trials: int = Field(ge=1)
    """Trials of the search for the neural rung's settings."""

    search_tasks: int = Field(ge=2)
    """Most tasks that a trial of the search trains and judges on, together."""

    epochs: int = Field(ge=1)
    """Passes of the neural rung over the training tasks."""

    learning_rate: tuple[float, float]
    """Smallest and largest learning rate that the search tries."""

    weight_decay: tuple[float, float]
    """Smallest and largest weight decay that the search tries."""

    dropout: tuple[float, float]
    """Smallest and largest share of inputs left out in training that the search tries."""

    accept: float = Field(ge=0, le=1)
    """Probability from which the model decides; below it the rules do, and then a person."""

    supporting: float = Field(ge=0, le=1)
    """Probability from which another master is named as supporting; 0.3 in the rules file."""

    in_scope: float = Field(ge=0, le=1)
    """Score from which a task counts as like those seen; below it a person is asked."""

    alternatives: int = Field(ge=0)
    """Further masters that a decision names with their probability."""

    fallback_master: str | None
    """Master that the rules leave a task to when no keyword is found; none: a person's task."""

    resamples: int = Field(ge=100)
    """Resamples of the paired bootstrap in the evaluation."""

    confidence: float = Field(gt=0, lt=1)
    """Confidence of every interval, two-sided."""
