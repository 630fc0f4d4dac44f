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

CARD = "model_card.md"

_LIMITS = (
    "It knows one project's code: of another project's it is expected to know no more than its base does.",
    "It writes what is likely, not what is right or safe: review and test what it writes.",
    "It can repeat what it was trained on, secrets that no rule recognised among it.",
    "Figures are of held-out code of the same project; the interval says how far chance goes, not "
    "how far the items stand for the work that people do.",
)


@dataclass(frozen=True)
class TrainingDataSet:
    name: str
    version: str
    folder: Path
    metric_prefix: str


def has_replay(adapter: Path) -> bool:
    metrics = _json(adapter / "metrics.json")
    return any(name.rpartition("/")[2] == "replay_tokens" and value for name, value in metrics.items())


def write_card(
    model: str, version: str, adapter: Path, evaluation: Path, data: Sequence[TrainingDataSet], out: Path
) -> None:
    """Write an adapter's model card next to its verdict."""
    training, metrics = _json(adapter / TRAINING), _json(evaluation / "metrics.json")
    comparison, verdict = _json(evaluation / "comparison.json"), read_verdict(out) or {}
    settings = [f"{name}: {json.dumps(value)}" for name, value in sorted((training.get("settings") or {}).items())]
    parts = [
        ("", _summary(model, version, training, verdict)),
        ("What it was trained on", _data_set_table(data)),
        ("How it was trained", ["```yaml", "\n".join(settings), "```"]),
        ("Which weights are served", _served(version, read_difference(out))),
        ("What was measured", _metrics_table(metrics, comparison)),
        ("What it was not shown to do", _not_shown(metrics, verdict, data)),
        ("Limits", [f"- {line}" for line in _LIMITS]),
        ("How to load it", _loading(model)),
    ]
    lines = [f"# {model}", ""]
    for title, body in parts:
        lines += [*([f"## {title}", ""] if title else []), *body, ""]
    (out / CARD).write_text("\n".join(lines), encoding="utf-8")


def _summary(model: str, version: str, training: Mapping[str, Any], verdict: Mapping[str, Any]) -> list[str]:
    base, parent = training.get("base") or {}, training.get("parent")
    return [
        "A LoRA adapter that makes a language model write code the way one project does. Made by "
        "`cortex run`; the hash names its bytes and everything that it was made from.",
        "",
        "| | |",
        "| --- | --- |",
        f"| version | `{version}` |",
        f"| base | {base.get('name', 'not known')} |",
        f"| digest of the base | `{base.get('digest', 'not known')}` |",
        f"| parent | {f'`{parent}`' if parent else 'none: the training started afresh'} |",
        f"| verdict | {verdict.get('verdict', 'none')}: {verdict.get('reason', '')} |",
    ]


def _data_set_table(data: Sequence[TrainingDataSet]) -> list[str]:
    lines = ["| data set | version | examples | licences of the files |", "| --- | --- | --- | --- |"]
    for source in data:
        rows = _train_entries(source)
        counts = rows.group_by(pl.col("licence").fill_null("not known")).len()
        counts = counts.sort(["len", "licence"], descending=[True, False])
        licences = ", ".join(f"{name} ({count})" for name, count in counts.iter_rows()) or "none"
        simulated = rows.filter(pl.col("origin") == SIMULATION).height
        count = f"{rows.height}" + (f", {simulated} of them simulated" if simulated else "")
        lines.append(f"| {source.name} | `{source.version}` | {count} | {licences} |")
    note = "Examples are those of the train split; a token budget may have taken a sample of them."
    return [*lines, "", note]


def _train_entries(source: TrainingDataSet) -> pl.DataFrame:
    manifest = pl.read_parquet(source.folder / f"{MANIFEST.name}.parquet")
    return manifest.filter(pl.col("split") == "train")


def _served(version: str, refit: Mapping[str, Any] | None) -> list[str]:
    if refit is None:
        return [f"Those that were judged, of version `{version}`."]
    lines = [
        f"Judged were the weights of version `{version}`, trained on the train split. Served are those in `{REFIT}` of "
        "the release, trained by the same recipe on the rows of all splits: the figures below are of the judged ones."
    ]
    if refit["items"]:
        lines += [
            "",
            f"On {refit['items']} rows of validation ({refit['tokens']} tokens), which only the served weights were "
            f"trained on, the log probability of a token differs by {refit['mean_difference']:.4g} nats in the mean, "
            f"at most {refit['bound']:.4g} (upper end of its interval), and rises by {refit['mean_gain']:.4g}.",
        ]
    return lines


def _metrics_table(metrics: Mapping[str, Any], comparison: Mapping[str, Any]) -> list[str]:
    reference = comparison.get("reference") or {}
    against = f"the champion `{reference['version']}`" if reference.get("version") else "the base alone"
    note = f" {reference['note']}" if reference.get("note") else ""
    lines = [f"On held-out code of the project; the reference is {against}.{note}", ""]
    lines += ["| figure | value | interval |", "| --- | --- | --- |"]
    for name in sorted(metrics):
        if metrics[name] is not None and not name.endswith(("_low", "_high")):
            interval = _interval(metrics, name)
            interval_text = f"{interval[0]:.4g} to {interval[1]:.4g}" if interval else ""
            lines.append(f"| {name} | {metrics[name]:.4g} | {interval_text} |")
    return lines


def _not_shown(metrics: Mapping[str, Any], verdict: Mapping[str, Any], data: Sequence[TrainingDataSet]) -> list[str]:
    lines = []
    if verdict.get("verdict") != "promoted":
        lines.append(f"- To be worth promoting: {verdict.get('reason', 'no verdict')}.")
    for name in sorted(metrics):
        interval = _interval(metrics, name)
        if "improvement" in name and interval and interval[0] <= 0 <= interval[1]:
            lines.append(f"- {name}: the interval {interval[0]:.4g} to {interval[1]:.4g} has zero in it.")
    lines += [f"- {name}: not measured." for name in sorted(metrics) if metrics[name] is None]
    for source in data:
        has_metrics = any(name.startswith(f"{source.metric_prefix}_") for name in metrics)
        if not has_metrics and _train_entries(source).height:
            lines.append(f"- {source.metric_prefix}: trained on, no figure of its own.")
    lines.append("- Anything on other projects, other languages or longer code than was measured.")
    return lines


def _loading(model: str) -> list[str]:
    return [
        "In the project, with manifest and signature checked, and the base alone with a notice "
        "where this is not the base it was trained on:",
        "",
        "```python",
        "from cortex_pipelines.release.open_model import open_adapter",
        "",
        f'opened = open_adapter(root, "{model}@champion")',
        "```",
        "",
        f"Elsewhere: `cortex export {model} --out FOLDER` writes what peft, transformers, "
        "llama.cpp or Ollama load. The prompt is code as it stands, without turns of a chat.",
    ]


def _interval(metrics: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    return (float(low), float(high)) if low is not None and high is not None else None


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content
