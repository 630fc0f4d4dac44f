"""Settings of the router's audit: section ``audit`` of ``params.yaml``."""

from cortex_pipelines.settings import PositiveFloat, PositiveInt, Settings


class AuditSettings(Settings):
    """Minimum evidence for an off-policy estimate or a fairness warning."""

    min_items: PositiveInt
    """Minimum number of logged decisions with a known outcome for an estimate."""

    min_effective: PositiveFloat
    """Minimum effective sample size of an estimate."""

    min_group: PositiveInt
    """Minimum number of held-out tasks of a group to compare it with the rest."""
