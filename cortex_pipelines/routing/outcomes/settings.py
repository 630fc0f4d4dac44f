"""How outcome predictors are trained: section ``predictors`` of ``params.yaml``."""

from pydantic import Field

from cortex_pipelines.settings import (
    MOST,
    Finite,
    Folds,
    NonNegativeInt,
    OpenShare,
    PositiveFloat,
    PositiveInt,
    Seed,
    Settings,
    Text,
)


class PredictorSettings(Settings):
    """Success, duration, tokens and complexity of a task, before it is sent."""

    seed: Seed
    """Seed of the folds."""

    test_share: float = Field(gt=0, lt=0.8)
    """Share of the tasks, the latest, that are only ever used for the evaluation."""

    folds: Folds
    """Folds of the earlier tasks, by hash of their text: what calibrates probabilities and
    intervals, and what chooses a model, comes from models that did not see it."""

    min_items: int = Field(ge=10, le=MOST)
    """Fewest tasks with a known value for a target to be predicted at all."""

    min_of_each: int = Field(ge=2, le=MOST)
    """Fewest tasks that succeeded, and that failed, for success to be predicted."""

    coverage: OpenShare
    """Share of tasks whose value an interval is to hold."""

    strengths: list[PositiveFloat] = Field(min_length=1)
    """Strengths of L2 regularisation of the linear model that are tried; larger is simpler."""

    shrinkage: PositiveFloat
    """Tasks that the whole log counts for in the figure of one master."""

    vocabulary: NonNegativeInt
    """Most words of the text that are features; 0 leaves the text out."""

    min_documents: PositiveInt
    """Fewest tasks that a word has to stand in to be a feature."""

    complexity_words: dict[Text, Finite]
    """Complexity as the logs put it in a word, in lower case, to a number."""
