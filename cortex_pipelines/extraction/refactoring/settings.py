"""What the detection of refactorings can be told in ``params.yaml``."""

from pydantic import Field

from cortex_pipelines.settings import Settings


class RefactoringSettings(Settings):
    """Thresholds of the detection of refactorings between two versions.

    A likeness is the share of the names and values of two bodies in statements that were mapped.
    """

    max_file_bytes: int = Field(ge=1)
    """Larger files are left out, in bytes: generated and vendored code is mostly larger."""

    least_rename: float = Field(ge=0, le=1)
    """Likeness of bodies from which a function of another name in the same place is the same."""

    least_move: float = Field(ge=0, le=1)
    """Likeness from which a function or type of the same name in another place is the same."""

    least_move_and_rename: float = Field(ge=0, le=1)
    """Likeness from which a function or type of another name in another place is the same."""

    small_body: int = Field(ge=0)
    """Names and values up to which a body is too small to prove anything by itself."""

    least_extract: float = Field(ge=0, le=1)
    """Share of an extracted function that has to come from its origin."""
