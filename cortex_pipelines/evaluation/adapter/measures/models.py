"""The compared models."""

from dataclasses import dataclass
from pathlib import Path

ROLES = ("base", "challenger", "reference")


@dataclass(frozen=True)
class ComparedModels:
    """Adapter folders of the compared models.

    Args:
        challenger: The adapter to evaluate.
        reference: The adapter to beat; None if that is the base alone.
    """

    challenger: Path
    reference: Path | None

    def folder(self, role: str) -> Path | None:
        """Adapter folder of a role; None for the base."""
        return {"base": None, "challenger": self.challenger, "reference": self.reference}[role]
