"""Model card of an adapter, from the outputs of its run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.adapters.model.lora import TRAINING
from cortex_pipelines.release.gates import read_verdict
from cortex_pipelines.release.refit import REFIT, read_difference
from cortex_pipelines.schemas.datasets import MANIFEST, SIMULATION
from cortex_pipelines.versioning.dvc.yaml_files import read_json

CARD = "model_card.md"
_TEMPLATE = Path(__file__).parent / "model_card.md.jinja"


@dataclass(frozen=True)
class TrainingDataSet:
    name: str
    version: str
    folder: Path
    metric_prefix: str

    @property
    def examples(self) -> pl.DataFrame:
        return MANIFEST.read(self.folder).filter(pl.col("split") == "train")


def write_card(
    model: str, version: str, adapter: Path, evaluation: Path, data: Sequence[TrainingDataSet], out: Path
) -> None:
    """Write an adapter's model card next to its verdict."""
    from jinja2 import Environment

    training, metrics = read_json(adapter / TRAINING), read_json(evaluation / "metrics.json")
    verdict = read_verdict(out) or {}
    measured = []
    for name, value in sorted(metrics.items()):
        if value is not None and not name.endswith(("_low", "_high")):
            interval = _interval(metrics, name)
            measured.append((name, f"{value:.4g}", f"{interval[0]:.4g} to {interval[1]:.4g}" if interval else ""))
    # plain text without HTML: there is nothing to escape
    environment = Environment(trim_blocks=True, keep_trailing_newline=True)  # nosec B701
    text = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        model=model,
        version=version,
        base=training.get("base") or {},
        parent=training.get("parent"),
        verdict=verdict,
        data=[_data_set_row(source) for source in data],
        settings=[(name, json.dumps(value)) for name, value in sorted((training.get("settings") or {}).items())],
        reference=read_json(evaluation / "comparison.json").get("reference") or {},
        refit=read_difference(out),
        weights=REFIT,
        measured=measured,
        not_shown=_not_shown(metrics, verdict, data),
    )
    (out / CARD).write_text(text, encoding="utf-8")


def _data_set_row(source: TrainingDataSet) -> dict[str, str]:
    rows = source.examples
    counts = rows.group_by(pl.col("licence").fill_null("not known")).len()
    counts = counts.sort(["len", "licence"], descending=[True, False])
    simulated = rows.filter(pl.col("origin") == SIMULATION).height
    return {
        "name": source.name,
        "version": source.version,
        "examples": f"{rows.height}" + (f", {simulated} of them simulated" if simulated else ""),
        "licences": ", ".join(f"{name} ({count})" for name, count in counts.iter_rows()) or "none",
    }


def _not_shown(metrics: Mapping[str, Any], verdict: Mapping[str, Any], data: Sequence[TrainingDataSet]) -> list[str]:
    lines = []
    if verdict.get("verdict") != "promoted":
        lines.append(f"To be worth promoting: {verdict.get('reason', 'no verdict')}.")
    for name in sorted(metrics):
        interval = _interval(metrics, name)
        if "improvement" in name and interval and interval[0] <= 0 <= interval[1]:
            lines.append(f"{name}: the interval {interval[0]:.4g} to {interval[1]:.4g} has zero in it.")
    lines += [f"{name}: not measured." for name in sorted(metrics) if metrics[name] is None]
    for source in data:
        has_metrics = any(name.startswith(f"{source.metric_prefix}_") for name in metrics)
        if not has_metrics and source.examples.height:
            lines.append(f"{source.metric_prefix}: trained on, not measured separately.")
    return lines


def _interval(metrics: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    return (float(low), float(high)) if low is not None and high is not None else None
