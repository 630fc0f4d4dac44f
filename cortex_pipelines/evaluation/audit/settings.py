"""Settings of the router's audit: section ``audit`` of ``params.yaml``."""

from cortex_pipelines.settings import PositiveFloat, PositiveInt, Settings


class AuditSettings(Settings):
    """Minimum evidence for an off-policy estimate or a fairness warning."""

    min_items: PositiveInt
    """Fewest logged decisions with a known outcome for an estimate from them."""

    min_effective: PositiveFloat
    """Smallest effective sample size: how many decisions of the new router the log is worth."""

    min_group: PositiveInt
    """Fewest held-out tasks of a group for it to be compared with the rest."""
