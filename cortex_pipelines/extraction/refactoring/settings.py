"""Settings of refactoring detection in ``params.yaml``."""

from cortex_pipelines.settings import Bytes, NonNegativeInt, Settings, Share


class RefactoringSettings(Settings):
    """Thresholds of the detection of refactorings between two versions.

    A likeness is the share of the names and values of two bodies in statements that were mapped.
    """

    max_file_bytes: Bytes
    """Larger files are left out, in bytes: generated and vendored code is mostly larger."""

    least_rename: Share
    """Similarity of bodies from which a function renamed in place counts as the same."""

    least_move: Share
    """Similarity from which a function or type moved under its name counts as the same."""

    least_move_and_rename: Share
    """Similarity from which a moved and renamed function or type counts as the same."""

    small_body: NonNegativeInt
    """Names and values up to which a body is too small to prove a match by itself."""

    least_extract: Share
    """Share of an extracted function that has to come from its origin."""
