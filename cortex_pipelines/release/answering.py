"""``release.json``: all that decides how a project is answered, in one small file."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from cortex_pipelines.release.numbering import TASK_FORMAT
from cortex_pipelines.schemas.adapter_scores import TRAINED_CONDITIONS, UNTRAINED_CONDITIONS

FILE = "release.json"

Condition = Literal["base", "context", "adapter", "both", "rules"]
"""How a request is answered: by the base, with similar code before the prompt, by the adapter, by
both, or (the router alone) by the keyword rules."""

_CONDITION_METRICS: Mapping[Condition, str] = {
    "base": "completion_base_bits_per_byte",
    "context": "retrieval_bits_per_byte",
    "adapter": "completion_challenger_bits_per_byte",
    "both": "adapter_with_retrieval_bits_per_byte",
}


@dataclass(frozen=True)
class Release:
    """All that decides how a project is answered; its hash is the release's version.

    Args:
        way: How.
        base: Digest of the base.
        adapter: DVC's hash of the adapter; None where the base answers.
        index: DVC's hash of the examples that context is taken from; None without context.
        template: Number of the form of prompts.
        upstream: Name of an upstream server's model that writes instead; None where the weights
            are here.
    """

    way: Condition
    base: str
    adapter: str | None = None
    index: str | None = None
    template: int = TASK_FORMAT
    upstream: str | None = None

    @property
    def version(self) -> str:
        """SHA-256 of the content, the first 32 digits."""
        return _version_of(self)

    @property
    def shows_context(self) -> bool:
        """Whether similar code is put before prompts."""
        return shows_context(self.way)

    @property
    def text(self) -> str:
        """What ``release.json`` holds, and what the version is the hash of."""
        return json.dumps(self.as_dict(), sort_keys=True)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for ``release.json`` and the ledger."""
        content = asdict(self)
        if self.upstream is None:  # releases of before keep their versions
            del content["upstream"]
        return content


@lru_cache(1024)  # every answer names it twice
def _version_of(release: Release) -> str:
    return hashlib.sha256(release.text.encode()).hexdigest()[:32]


def shows_context(condition: Condition) -> bool:
    """Whether similar code is put before prompts."""
    return condition in ("context", "both")


def measured_conditions(metrics: Mapping[str, float | None]) -> dict[Condition, float]:
    """Bits per byte of the held-out completions, by way; of those that were measured."""
    values = {condition: metrics.get(name) for condition, name in _CONDITION_METRICS.items()}
    return {condition: float(value) for condition, value in values.items() if value is not None}


def best_condition(metrics: Mapping[str, float | None], among: Sequence[Condition]) -> Condition:
    """The way that needs the fewest bits; the first of those asked for if none was measured.

    Args:
        metrics: The evaluation's ``metrics.json``.
        among: The ways that can be served, the one to fall back on first.
    """
    measured = {
        condition: bits
        for condition, bits in measured_conditions(metrics).items()
        if condition in among
    }
    return min(
        measured,
        key=lambda condition: (measured[condition], among.index(condition)),
        default=among[0],
    )


def choose_release(
    metrics: Mapping[str, float | None], base: str, adapter: str | None, index: str
) -> Release:
    """The release by what was measured: with the adapter where there is one, else without.

    Args:
        metrics: The evaluation's ``metrics.json``.
        base: Digest of the base.
        adapter: DVC's hash of an adapter that passed its gate; None for none.
        index: DVC's hash of the examples that context can be taken from.
    """
    condition = best_condition(metrics, TRAINED_CONDITIONS if adapter else UNTRAINED_CONDITIONS)
    return Release(condition, base, adapter, index if shows_context(condition) else None)


def write_release(release: Release, out: Path) -> None:
    """Write ``release.json``, whose hash is ``release.version``."""
    (out / FILE).write_text(release.text, encoding="utf-8")


def read_release(folder: Path) -> Release | None:
    """The release in a folder; None if there is none."""
    path = folder / FILE
    if not path.exists():
        return None
    return Release(**json.loads(path.read_text(encoding="utf-8")))
