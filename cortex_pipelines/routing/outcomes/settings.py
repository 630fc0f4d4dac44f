"""Settings of outcome predictors."""

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

    shrinkage: PositiveFloat
    """Weight of the overall mean in the mean of one master, in tasks."""

    vocabulary: NonNegativeInt
    """Most words of the text used as features; 0 ignores the text."""

    min_documents: PositiveInt
    """Fewest tasks that contain a word for it to be a feature."""

    complexity_words: dict[Text, Finite]
    """Number for each complexity word of the logs, in lower case."""
