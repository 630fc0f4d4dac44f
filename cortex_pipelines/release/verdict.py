"""``verdict.json``: a gate's decision, as its asset's output."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cortex_pipelines.release.gates import Verdict, decide
from cortex_pipelines.release.settings import GateSettings

FILE = "verdict.json"


def judge(metrics: Mapping[str, float | None], model_version: str, gate: GateSettings, out: Path) -> Verdict:
    """Apply the gate to an evaluation and write the verdict."""
    figures = {name: value for name, value in metrics.items() if value is not None}
    verdict = decide(figures, gate)
    content = {"model_version": model_version, **verdict.as_dict()}
    text = json.dumps(content, indent=1, sort_keys=True)
    (out / FILE).write_text(text + "\n", encoding="utf-8")
    return verdict


def read_metrics(evaluation: Path) -> dict[str, float | None]:
    loaded: dict[str, float | None] = json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"))
    return loaded


def read_verdict(folder: Path) -> dict[str, Any] | None:
    path = folder / FILE
    if not path.exists():
        return None
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded
