"""What the detection of refactorings can be told in ``params.yaml``."""

from cortex_pipelines.settings import Bytes, NonNegativeInt, Settings, Share


class RefactoringSettings(Settings):
    """Thresholds of the detection of refactorings between two versions.

    A likeness is the share of the names and values of two bodies in statements that were mapped.
    """

    max_file_bytes: Bytes
    """Larger files are left out, in bytes: generated and vendored code is mostly larger."""

    least_rename: Share
    """Likeness of bodies from which a function of another name in the same place is the same."""

    least_move: Share
    """Likeness from which a function or type of the same name in another place is the same."""

    least_move_and_rename: Share
    """Likeness from which a function or type of another name in another place is the same."""

    small_body: NonNegativeInt
    """Names and values up to which a body is too small to prove anything by itself."""

    least_extract: Share
    """Share of an extracted function that has to come from its origin."""
