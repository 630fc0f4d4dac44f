"""How near to the true code an adapter writes, and how near to the project's style.

``python -m benchmarks.written FOLDER`` reads the folder of `cortex study adapters`. The base, each
project's adapter and another project's write the same held-out bodies of functions, and the first
statement of the same held-out gaps. Bits per byte of the true texts are measured too, also with
similar code in the prompt, as the reports measure them. The distance of style is the one of the
reports, from the style of the true answers. Beside it stand other true completions of the project,
which are nothing but a different sample of its style, and those of the other project.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.table import Table

from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import load_parameters
from cortex_pipelines.evaluation.adapter.measures.likelihood import GenerationRequest, ItemScore, ItemScorer
from cortex_pipelines.evaluation.metrics.grading import edit_similarity
from cortex_pipelines.evaluation.metrics.style import Style, learn_style, style_distance
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.orchestration.adapter_study.results import mean_over_projects
from cortex_pipelines.orchestration.adapter_study.study_project import assign_controls
from cortex_pipelines.prompts.examples import Example, StopRule, cut, extent_of, read_examples, shuffled
from cortex_pipelines.prompts.retrieved_examples import SimilarExamples
from cortex_pipelines.release.open_model import pinned_base
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.versioning.project import Project

WRITERS = ("base", "adapter", "other adapter")
TRUE_CODE = ("own code", "other code")
SHOWN = {"base": "similar code", "adapter": "both"}
"""Who is shown similar code too, to what that is called."""
MEASURED = {
    "similarity": WRITERS,
    "equal": WRITERS,
    "style": (*WRITERS, *TRUE_CODE),
    "bits": (*WRITERS, *SHOWN.values()),
}
"""What is measured, to what stands beside each other; bits are of each byte of the true text."""
KINDS = ("bodies", "gaps")
_BYTES_OF_TOKEN = 3  # of code, or a little more: what is asked for has to fit

Figures = Mapping[str, float]
"""Number of items, and figures by what is measured and who wrote."""


def measure_kind(
    project: Project, names: Sequence[str], kind: str, count: int, scorer: ItemScorer, settings: EvaluationSettings
) -> Figures:
    """Figures of what was written for one project.

    Args:
        project: The study.
        names: The project, and the one of its control.
        kind: One of ``KINDS``.
        count: Completions that are written, and as many that stand beside them.
        scorer: Writes.
        settings: How long answers are, and how much similar code is shown.
    """
    project_items, foreign = (_short(project, name, kind, settings.max_new_tokens) for name in names)
    scored, context_items = project_items[:count], project_items[count : 2 * count]
    if not scored:
        return {"items": 0}
    ends: list[StopRule] = ["statement" if kind == "gaps" else extent_of(example) for example in scored]
    requests = [GenerationRequest(item, end) for item, end in zip(scored, ends, strict=True)]
    adapters = [None, *(project.output("code_adapter", name) for name in names)]
    true = _true(scored, kind)
    similar = SimilarExamples(project.output("completion_dataset", names[0]), settings.retrieved_bytes).with_examples(
        scored
    )
    figures: dict[str, float] = {"items": len(scored)}
    foreign_items = foreign[:count]
    styles = {
        "own code": _style(context_items, _true(context_items, kind)),
        "other code": _style(foreign_items, _true(foreign_items, kind)),
    }
    for writer, adapter in zip(WRITERS, adapters, strict=True):
        figures[f"bits, {writer}"] = _bits_per_byte(scorer.scores(scored, adapter))
        if also := SHOWN.get(writer):
            scores = scorer.scores(similar, adapter, settings.retrieved_window)
            figures[f"bits, {also}"] = _bits_per_byte(scores)
        texts = scorer.outputs(requests, adapter)
        pairs = list(zip(texts, true, strict=True))
        figures[f"similarity, {writer}"] = float(np.mean([edit_similarity(*pair) for pair in pairs]))
        figures[f"equal, {writer}"] = sum(output_text.strip() == two.strip() for output_text, two in pairs)
        styles[writer] = _style(scored, texts)
    team = _style(scored, true)
    far = {writer: style_distance(style, team) for writer, style in styles.items()}
    return figures | {f"style, {feature}": value for feature, value in far.items() if value is not None}


def _short(project: Project, name: str, kind: str, tokens: int) -> list[Example]:
    """Held-out completions that fit, in an order drawn by a seed."""
    held_out = read_examples(project.output("completion_dataset", name), "completion", "test")
    gaps, most = kind == "gaps", _BYTES_OF_TOKEN * tokens
    fitting = (item for item in held_out if 0 < len(item.completion.encode()) <= most)
    return shuffled((item for item in fitting if (item.suffix is not None) == gaps), 20)


def _true(items: Sequence[Example], kind: str) -> list[str]:
    """What is to be written; of a gap, which ends anywhere, the first statement."""
    texts = [item.completion for item in items]
    return [cut(text, "statement") for text in texts] if kind == "gaps" else texts


def _bits_per_byte(scores: Sequence[ItemScore]) -> float:
    return sum(score.bits for score in scores) / sum(score.bytes for score in scores)


def _style(items: Sequence[Example], texts: Sequence[str]) -> Style:
    return learn_style((item.language, text) for item, text in zip(items, texts, strict=True))


def _settings(project: Project, tokens: int, threads: int) -> EvaluationSettings:
    changed = {"max_new_tokens": tokens, "threads": threads, "precision": "bf16"}
    return load_parameters(project.root).evaluation.model_copy(update=changed)


def _mean(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean = mean_over_projects(values)
    ends = "" if mean.low is None else f" ({mean.low:.3f} to {mean.high:.3f})"
    return f"{mean.estimate:.3f}{ends}"


def _print_results(kind: str, results: Mapping[str, Figures], console: Console) -> None:
    rows = list(results.values())
    for metric, conditions in MEASURED.items():
        columns = [f"{metric}, {condition}" for condition in conditions]
        table = Table("project", "items", *conditions, title=f"{kind}: {metric}")
        for name, row in results.items():
            figures = (f"{row[c]:.3f}" if c in row else "" for c in columns)
            table.add_row(name, str(row["items"]), *figures)
        table.add_row("mean", "", *(_mean([row[c] for row in rows if c in row]) for c in columns))
        console.print(table)
        both = [row for row in rows if f"{metric}, base" in row and f"{metric}, adapter" in row]
        differences = [row[f"{metric}, adapter"] - row[f"{metric}, base"] for row in both]
        console.print(f"{metric} of the adapter, over the base's: {_mean(differences)}")


def main() -> None:
    """Measure, print and write ``written.json`` into the folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.written", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--projects", nargs="*", help="some of the study's; all when absent")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS)
    parser.add_argument("--count", type=int, default=40, help="completions of each project")
    parser.add_argument("--tokens", type=int, default=64, help="most tokens of an answer")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    project = open_project(options.folder.resolve())
    settings = _settings(project, options.tokens, options.threads)
    output = options.folder / "written.json"
    results: dict[str, dict[str, Figures]] = {kind: {} for kind in KINDS}
    if output.exists():  # of a call for other projects
        results |= json.loads(output.read_text(encoding="utf-8"))
    with TemporaryDirectory() as cache_folder:
        scorer = ItemScorer(pinned_base(project), project.root, settings, RowCache(Path(cache_folder), "written"))
        for name, other in assign_controls(project).items():
            for kind in options.kinds if not options.projects or name in options.projects else ():
                names = (name, other)
                results[kind][name] = measure_kind(project, names, kind, options.count, scorer, settings)
                output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for kind, of_kind in results.items():
        if of_kind:
            _print_results(kind, of_kind, Console(width=200))


if __name__ == "__main__":
    main()
