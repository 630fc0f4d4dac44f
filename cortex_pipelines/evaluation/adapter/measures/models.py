"""The models that are compared."""

from dataclasses import dataclass
from pathlib import Path

ROLES = ("base", "challenger", "reference")


@dataclass(frozen=True)
class ComparedModels:
    """Folders of the adapters that are compared.

    Args:
        challenger: The adapter in question.
        reference: The adapter to beat; None if that is the base alone.
    """

    challenger: Path
    reference: Path | None

    def folder(self, role: str) -> Path | None:
        """Folder of a role's adapter; None for the base alone."""
        return {"base": None, "challenger": self.challenger, "reference": self.reference}[role]
