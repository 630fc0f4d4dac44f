"""The compared models."""

from dataclasses import dataclass
from pathlib import Path

ROLES = ("base", "challenger", "reference")


@dataclass(frozen=True)
class ComparedModels:
    """Adapter folders; the reference is None if that is the base alone."""

    challenger: Path
    reference: Path | None

    def folder(self, role: str) -> Path | None:
        return {"base": None, "challenger": self.challenger, "reference": self.reference}[role]
