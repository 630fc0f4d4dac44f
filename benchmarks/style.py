"""How far what an adapter writes is from the project's style, beside what says what that means.

``python -m benchmarks.style FOLDER`` reads the folder of `cortex study adapters`. The base, each
project's adapter and another project's write the same held-out completions; the distance is the one
of the reports, from the style of the true answers. Beside them stand other true completions of the
project, which are nothing but a different sample of its style, and those of the other project.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from cortex_pipelines.adapters.data.examples import Example, shuffled, without_gaps
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import load_parameters
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScorer
from cortex_pipelines.evaluation.generation.sampling import Request
from cortex_pipelines.evaluation.generation.stopping import extent_of
from cortex_pipelines.evaluation.metrics.style import Style, learnt_style, style_distance
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.operations.inference.serving import pinned_base
from cortex_pipelines.operations.study import partners
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.versioning.project import Project

COLUMNS = ("base", "adapter", "other adapter", "own code", "other code")
_BYTES_OF_TOKEN = 3  # of code, or a little more: what is asked for has to fit


def distances(
    project: Project, name: str, other: str, count: int, scorer: ItemScorer, tokens: int
) -> dict[str, float]:
    """Distance from the style of a project's true answers, by what was written.

    Args:
        project: The study.
        name: The project.
        other: The project of its control.
        count: Completions that are written, and as many that stand beside them.
        scorer: Writes.
        tokens: Most tokens of an answer.
    """
    own, foreign = (_short(project, one, tokens) for one in (name, other))
    asked, beside = own[:count], own[count : 2 * count]
    team = _style(asked, [item.completion for item in asked])
    requests = [Request(item, extent_of(item)) for item in asked]
    adapters = {
        "base": None,
        "adapter": project.output("code_adapter", name),
        "other adapter": project.output("code_adapter", other),
    }
    styles = {way: _style(asked, scorer.outputs(requests, at)) for way, at in adapters.items()}
    styles["own code"] = _style(beside, [item.completion for item in beside])
    styles["other code"] = _style(foreign[:count], [one.completion for one in foreign[:count]])
    found = {way: style_distance(style, team) for way, style in styles.items()}
    return {"items": len(asked)} | {way: far for way, far in found.items() if far is not None}


def _short(project: Project, name: str, tokens: int) -> list[Example]:
    """Held-out completions that fit, in an order drawn by a seed."""
    held_out = without_gaps(project.output("completion_dataset", name), "completion", "test")
    most = _BYTES_OF_TOKEN * tokens
    return shuffled((one for one in held_out if 0 < len(one.completion.encode()) <= most), 20)


def _style(items: Sequence[Example], texts: Sequence[str]) -> Style:
    return learnt_style((item.language, text) for item, text in zip(items, texts, strict=True))


def _settings(project: Project, tokens: int, threads: int) -> EvaluationSettings:
    changed = {"max_new_tokens": tokens, "threads": threads, "precision": "bf16"}
    return load_parameters(project.root).evaluation.model_copy(update=changed)


def _mean(values: Sequence[float]) -> str:
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.2f}"
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return f"{mean:.2f} ({mean - half:.2f} to {mean + half:.2f})"


def main() -> None:
    """Measure, print and write ``style.json`` into the folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.style", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--projects", nargs="*", help="some of the study's; all when absent")
    parser.add_argument("--count", type=int, default=40, help="completions of each project")
    parser.add_argument("--tokens", type=int, default=64, help="most tokens of an answer")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    project = open_project(chosen.folder.resolve())
    settings = _settings(project, chosen.tokens, chosen.threads)
    cache = RowCache(project.root / ".cortex" / "cache" / "rows" / "style", "1")
    scorer = ItemScorer(pinned_base(project), project.root, settings, cache)
    table, results = Table("project", "items", *COLUMNS), {}
    for name, other in partners(project).items():
        if chosen.projects and name not in chosen.projects:
            continue
        results[name] = distances(project, name, other, chosen.count, scorer, chosen.tokens)
        row = results[name]
        shown = (f"{row[one]:.2f}" if one in row else "" for one in COLUMNS)
        table.add_row(name, str(row["items"]), *shown)
        (chosen.folder / "style.json").write_text(json.dumps(results, indent=1) + "\n")
    means = [_mean([row[one] for row in results.values() if one in row]) for one in COLUMNS]
    table.add_row("mean", "", *means)
    closer = [row["base"] - row["adapter"] for row in results.values()]
    shares = [1 - row["adapter"] / row["base"] for row in results.values()]
    console = Console(width=140)
    console.print(table)
    console.print(
        f"nearer than the base: {_mean(closer)}; as a share of its distance: {_mean(shares)}"
    )


if __name__ == "__main__":
    main()
