"""Decisions about training, and the file that keeps them: lines of JSON in ``.cortex``."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

Occasion = Literal["nightly", "weekly", "person"]
"""Who asks, which decides how long a training may take."""

_LOG = Path(".cortex") / "retraining.jsonl"


@dataclass(frozen=True)
class RetrainingDecision:
    retrain: bool
    reasons: tuple[str, ...]

    def in_words(self) -> str:
        return f"{'train' if self.retrain else 'rest'}: {'; '.join(self.reasons)}"


def log_decision(root: Path, model: str, decision: RetrainingDecision, occasion: Occasion) -> None:
    decided_at = datetime.now(UTC).isoformat(timespec="seconds")
    line = {"at": decided_at, "by": occasion, "model": model, **asdict(decision)}
    path = root / _LOG
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def last_decisions(root: Path) -> list[str]:
    """The latest decision about each model, one line each, by name."""
    path = root / _LOG
    latest: dict[str, dict[str, Any]] = {}
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
        except ValueError:
            continue  # a kill left half of it
        latest[line["model"]] = line
    return [
        f"{name}: {RetrainingDecision(line['retrain'], tuple(line['reasons'])).in_words()} ({line['by']}, {line['at']})"
        for name, line in sorted(latest.items())
    ]
