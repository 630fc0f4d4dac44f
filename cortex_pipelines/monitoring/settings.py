"""When a model is trained again: the ``retraining`` section of ``params.yaml``."""

from cortex_pipelines.settings import NonNegativeInt, PositiveInt, PositiveShare, Settings, Share


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
