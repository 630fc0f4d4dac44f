"""Base of every section of ``params.yaml``."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A section of ``params.yaml``: typed, immutable, without defaults.

    ``params.yaml`` is the one place for anything that changes an output, so a value that is not
    written there must not exist in code either: every field is required, unknown keys are errors.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)
