"""When a router is compared by logs and between groups: section ``audit`` of ``params.yaml``."""

from pydantic import Field

from cortex_pipelines.settings import Settings


class AuditSettings(Settings):
    """What an estimate or a warning has to rest on."""

    min_items: int = Field(ge=1)
    """Fewest logged decisions with a known outcome for an estimate from them."""

    min_effective: float = Field(gt=0)
    """Smallest effective sample size: how many decisions of the new router the log is worth."""

    min_group: int = Field(ge=1)
    """Fewest held-out tasks of a group for it to be compared with the rest."""
