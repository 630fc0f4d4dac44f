"""How tasks are labelled, split, embedded and routed: section ``routing`` of ``params.yaml``."""

from typing import Literal

from pydantic import Field

from cortex_pipelines.settings import (
    MOST,
    Batch,
    Folds,
    HeldOutShare,
    LearningRate,
    NonNegativeFloat,
    NonNegativeInt,
    OpenShare,
    PartShare,
    PositiveFloat,
    PositiveInt,
    PositiveShare,
    Range,
    Regex,
    Seed,
    Settings,
    Share,
    Text,
    Threads,
)


class WeakRule(Settings):
    """Which commits stand for tasks of a master, where the logs are few."""

    master: Text
    """Master that such a commit would have gone to."""

    paths: list[Regex]
    """Regular expressions; a changed path that one matches votes for the master. The first rule
    that matches a path has its vote."""

    subjects: list[Regex]
    """Regular expressions; a subject line that one matches decides, whatever the paths say."""


class RoutingSettings(Settings):
    """The task router: labels, split, encoder, head, decisions and their evaluation."""

    seed: Seed
    """Seed of the split, the search, the head's first weights and the bootstrap."""

    min_tasks: int = Field(ge=3, le=MOST)
    """Fewest tasks with a known outcome for a router to be trained."""

    validation_share: HeldOutShare
    """Share of the tasks, by hash of their text, that stands beside the training tasks; a router
    that is compared and calibrated out of fold trains on both."""

    test_share: HeldOutShare
    """Share of the tasks, by hash of their text, that are only ever used for the evaluation."""

    decision_weight: PositiveShare
    """Weight of a task that was routed but whose outcome is not known; 1 is a known outcome."""

    weak_weight: PositiveShare
    """Weight of a commit that stands for a task."""

    weak_per_master: NonNegativeInt
    """Most commits that stand for tasks of one master; 0 leaves commits out."""

    weak_rules: list[WeakRule]
    """Which commits stand for tasks of which master."""

    max_tokens: int = Field(ge=8, le=MOST)
    """Most tokens of a task that the encoder reads; the model card of all-MiniLM-L6-v2 says 256."""

    batch: Batch
    """Texts that are encoded at once; part of the result, in its last digits."""

    threads: Threads
    """Processor threads of encoder and training; part of the result, in its last digits."""

    precision: Literal["auto", "fp32", "bf16"]
    """Type of the encoder's numbers; auto takes bf16 where the processor has tiles for it, which
    halves the time of a decision and leaves embeddings at a cosine of 0.9999."""

    dimensions: PositiveInt
    """Most dimensions of the projected embedding that candidates work on."""

    folds: Folds
    """Folds on which the candidates are compared, weighted and calibrated."""

    adopt_p: PositiveShare
    """Largest p-value, corrected for all candidates and both paired tests, at which a candidate
    takes the place of the one below."""

    solver_threads: Threads
    """Threads of the solver for words and letters; no part of the result."""

    lexical_penalty: PositiveFloat
    """Inverse regularisation (C) of logistic regression on TF-IDF."""

    semantic_penalty: PositiveFloat
    """Inverse regularisation (C) of logistic regression on the embedding."""

    neighbours: PositiveInt
    """Past tasks that vote."""

    evidence: NonNegativeInt
    """Past tasks that a decision shows."""

    kernel_features: PositiveInt
    """Random Fourier features of the kernel regression, at most."""

    kernel_width: PositiveFloat
    """Gamma of its Gaussian kernel, exp(-gamma d^2)."""

    kernel_ridge: PositiveFloat
    """Ridge of its regression."""

    trials: PositiveInt
    """Trials of the search for the neural candidate's settings."""

    search_tasks: int = Field(ge=2, le=MOST)
    """Most tasks that a trial of the search trains and judges on, together."""

    epochs: PositiveInt
    """Passes of the neural candidate over the training tasks."""

    learning_rate: Range[LearningRate]
    """Smallest and largest learning rate that the search tries."""

    weight_decay: Range[NonNegativeFloat]
    """Smallest and largest weight decay that the search tries."""

    dropout: Range[PartShare]
    """Smallest and largest share of inputs left out in training that the search tries."""

    accept: Share
    """Probability from which the model decides; below it the rules do, and then a person."""

    supporting: Share
    """Probability from which another master is named as supporting; 0.3 in the rules file."""

    in_scope_kept: OpenShare
    """Share of the known tasks that are to count as in scope; it sets the limit of the score below
    which a person is asked."""

    alternatives: NonNegativeInt
    """Further masters that a decision names with their probability."""

    fallback_master: Text | None
    """Master that the rules leave a task to when no keyword is found; none: a person's task."""

    resamples: int = Field(ge=100, le=MOST)
    """Resamples of the paired bootstrap in the evaluation."""

    confidence: OpenShare
    """Confidence of every interval, two-sided."""
