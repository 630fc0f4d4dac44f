"""Settings of the task router, its audit and its outcome predictors."""

from typing import Annotated, Literal

from pydantic import Field

from cortex_pipelines.evaluation.settings import Bootstrap
from cortex_pipelines.settings import (
    MOST,
    Batch,
    Finite,
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
    """Rule that labels commits as tasks of a master."""

    master: Text
    """Label that the rule gives."""
    paths: list[Regex]
    """Regular expressions; a changed path that one matches votes for the master. The first rule
    that matches a path has its vote."""
    subjects: list[Regex]
    """Regular expressions of subject lines, which take precedence over the paths."""


class RoutingSettings(Settings):
    """Section ``routing`` of params.yaml: labels, split, encoder, models and decisions."""

    seed: Seed
    """Seed of the split, the search, initial weights and the bootstrap."""
    min_tasks: int = Field(ge=3, le=MOST)
    """Fewest tasks with a known outcome to train a router."""
    validation_share: HeldOutShare
    """Share of the tasks, by hash of their text, that stands beside the training tasks; a router
    that is compared and calibrated out of fold trains on both."""
    test_share: HeldOutShare
    """Share of the tasks, by hash of their text, used for evaluation only."""
    decision_weight: PositiveShare
    """Weight of a task without a known outcome, relative to one with."""
    weak_weight: PositiveShare
    """Weight of a weakly labelled commit."""
    weak_per_master: NonNegativeInt
    """Most weakly labelled commits per master; 0 for none."""
    weak_rules: list[WeakRule]
    """Rules that label commits as tasks of a master."""
    max_tokens: int = Field(ge=8, le=MOST)
    """Most tokens of a task; the model card of all-MiniLM-L6-v2 says 256."""
    batch: Batch
    """Texts per batch of the encoder; affects the last digits."""
    threads: Threads
    """Processor threads of encoder and training; affects the last digits."""
    precision: Literal["auto", "fp32", "bf16"]
    """Type of the encoder's numbers; auto takes bf16 where the processor has instructions for it,
    which takes a third to a half off the time of a decision and leaves embeddings at a cosine of 0.9999."""
    dimensions: PositiveInt
    """Most dimensions of the projected embedding."""
    folds: Folds
    """Folds on which the candidates are compared, weighted and calibrated."""
    adopt_p: PositiveShare
    """Largest p-value, corrected for all candidates and both paired tests, at which a candidate
    takes the place of the one below."""
    first_tier_risk: Share
    """Largest expected share of tasks that TF-IDF alone decides otherwise than all models would; it needs 1 / share
    judged tasks, and 0 lets all models decide everything."""
    solver_threads: Threads
    """Threads of the TF-IDF solver; does not affect the result."""
    lexical_penalty: PositiveFloat
    """Inverse regularisation (C) of logistic regression on TF-IDF."""
    semantic_penalty: PositiveFloat
    """Inverse regularisation (C) of logistic regression on the embedding."""
    neighbours: PositiveInt
    """Neighbours that vote."""
    evidence: NonNegativeInt
    """Past tasks shown with a decision."""
    kernel_features: PositiveInt
    """Most random Fourier features of the kernel regression."""
    kernel_width: PositiveFloat
    """Gamma of its Gaussian kernel, exp(-gamma d^2)."""
    kernel_ridge: PositiveFloat
    """Ridge penalty of the kernel regression."""
    trials: PositiveInt
    """Trials of the hyperparameter search."""
    search_tasks: int = Field(ge=2, le=MOST)
    """Most tasks in a trial of the search, for training and evaluation together."""
    epochs: PositiveInt
    """Training epochs of the neural candidate."""
    learning_rate: Range[LearningRate]
    """Range of the learning rate in the search."""
    weight_decay: Range[NonNegativeFloat]
    """Range of the weight decay in the search."""
    dropout: Range[PartShare]
    """Range of the dropout rate in the search."""
    accept: Share
    """Least probability for a decision by the model; below it the rules decide, then a person."""
    supporting: Share
    """Least probability for a supporting master; 0.3 in the rules file."""
    in_scope_kept: OpenShare
    """Share of the known tasks that are to count as in scope; it sets the limit of the score below
    which a person is asked."""
    alternatives: NonNegativeInt
    """Further masters listed with their probability."""
    fallback_master: Text | None
    """Master for tasks without a matching keyword; null sends them to a person."""
    resamples: int = Field(ge=100, le=MOST)
    """Resamples of the paired bootstrap."""
    confidence: OpenShare
    """Confidence level of all intervals, two-sided."""

    @property
    def bootstrap(self) -> Bootstrap:
        return {"resamples": self.resamples, "confidence": self.confidence, "seed": self.seed}


class AuditSettings(Settings):
    """Minimum evidence for an off-policy estimate or a fairness warning."""

    min_items: PositiveInt
    """Minimum number of logged decisions with a known outcome for an estimate."""
    min_effective: PositiveFloat
    """Minimum effective sample size of an estimate."""
    min_group: PositiveInt
    """Minimum number of held-out tasks of a group to compare it with the rest."""


Leaves = Annotated[int, Field(ge=2, le=4096)]


class PredictorSettings(Settings):
    """Section ``predictors`` of params.yaml: training of outcome predictors."""

    seed: Seed
    """Seed of the folds."""
    test_share: float = Field(gt=0, lt=0.8)
    """Share of the tasks, the latest, used for evaluation only."""
    folds: Folds
    """Folds of the earlier tasks, by hash of their text: what calibrates probabilities and
    intervals, and what chooses a model, comes from models that did not see it."""
    min_items: int = Field(ge=10, le=MOST)
    """Fewest tasks with a known value for a target to be predicted."""
    min_of_each: int = Field(ge=2, le=MOST)
    """Fewest successful and failed tasks for success to be predicted."""
    coverage: OpenShare
    """Nominal coverage of prediction intervals."""
    strengths: list[PositiveFloat] = Field(min_length=1)
    """L2 regularisation strengths of the linear model to try."""
    leaves: list[Leaves] = Field(min_length=1)
    """Most leaves of a boosted tree to try."""
    boosting_rounds: PositiveInt
    """Boosted trees."""
    boosting_rate: LearningRate
    """Their learning rate."""
    leaf_tasks: PositiveInt
    """Fewest tasks in a leaf."""
    shrinkage: PositiveFloat
    """Weight of the overall mean in the mean of one master, in tasks."""
    vocabulary: NonNegativeInt
    """Most words of the text used as features; 0 ignores the text."""
    min_documents: PositiveInt
    """Fewest tasks that contain a word for it to be a feature."""
    complexity_words: dict[Text, Finite]
    """Number for each complexity word of the logs, in lower case."""
