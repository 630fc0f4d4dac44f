"""``release.json``: condition and versions that answer a project's requests."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from cortex_pipelines.release.numbering import TASK_FORMAT
from cortex_pipelines.schemas.evaluation import TRAINED_CONDITIONS, UNTRAINED_CONDITIONS

FILE = "release.json"

Condition = Literal["base", "context", "adapter", "both", "rules"]
"""How a request is answered: by the base model, with similar code in the prompt, by the adapter, by
both, or (router only) by the keyword rules."""

_CONDITION_METRICS: Mapping[Condition, str] = {
    "base": "completion_base_bits_per_byte",
    "context": "retrieval_bits_per_byte",
    "adapter": "completion_challenger_bits_per_byte",
    "both": "adapter_with_retrieval_bits_per_byte",
}


@dataclass(frozen=True)
class Release:
    """What answers a project; its hash is the release's version. ``way``: the condition; ``index``: DVC hash of the
    examples that context is retrieved from; ``upstream``: model of a server that answers instead of local weights.
    """

    way: Condition
    base: str
    adapter: str | None = None
    index: str | None = None
    template: int = TASK_FORMAT
    upstream: str | None = None

    @cached_property  # every answer names it twice
    def version(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]

    @property
    def shows_context(self) -> bool:
        return shows_context(self.way)

    @property
    def text(self) -> str:
        return json.dumps(self.as_dict(), sort_keys=True)

    def as_dict(self) -> dict[str, Any]:
        content = asdict(self)
        if self.upstream is None:  # existing releases keep their versions
            del content["upstream"]
        return content


def shows_context(condition: Condition) -> bool:
    return condition in ("context", "both")


def measured_conditions(metrics: Mapping[str, float | None]) -> dict[Condition, float]:
    values = {condition: metrics.get(name) for condition, name in _CONDITION_METRICS.items()}
    return {condition: float(value) for condition, value in values.items() if value is not None}


def best_condition(metrics: Mapping[str, float | None], among: Sequence[Condition]) -> Condition:
    """The condition with the fewest bits; the first of ``among`` if none was measured."""
    measured = {condition: bits for condition, bits in measured_conditions(metrics).items() if condition in among}
    return min(measured, key=lambda condition: (measured[condition], among.index(condition)), default=among[0])


def choose_release(metrics: Mapping[str, float | None], base: str, adapter: str | None, index: str) -> Release:
    """Choose the release by the evaluation's metrics, with the adapter if one passed its gate."""
    condition = best_condition(metrics, TRAINED_CONDITIONS if adapter else UNTRAINED_CONDITIONS)
    return Release(condition, base, adapter, index if shows_context(condition) else None)


def write_release(release: Release, out: Path) -> None:
    (out / FILE).write_text(release.text, encoding="utf-8")


def read_release(folder: Path) -> Release | None:
    path = folder / FILE
    return Release(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
