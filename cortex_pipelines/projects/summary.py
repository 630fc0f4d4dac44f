"""Sizes of the data sets and scores of the models, for people who are new to a project."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.projects.status import table_rows
from cortex_pipelines.prompts.examples import DATASETS
from cortex_pipelines.release.ledger import project_models
from cortex_pipelines.release.promotion import model_roles
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.project import Project


@dataclass(frozen=True)
class ModelScores:
    name: str
    verdict: str | None
    reason: str | None
    scores: tuple[tuple[str, ...], ...]  # what, model, compared with, improvement (95 % interval), items
    report: str | None


def project_data(project: Project) -> Iterator[tuple[str, ...]]:
    """Of each project: name, files, units of code, training examples, report."""
    for name in project.partitions:
        examples = sum(
            int(read_json(project.output(f"{kind}_dataset", name) / "metrics.json").get("rows_train", 0))
            for kind in DATASETS
        )
        files = table_rows(project.output("repository_files", name) / "files.parquet")
        units = table_rows(project.output("code_units", name) / "units.parquet")
        report = _report(project, "completion_dataset", name) or "not made yet"
        yield name, f"{files:,}", f"{units:,}", f"{examples:,}", report


def model_scores(project: Project) -> Iterator[ModelScores]:
    for model in project_models(project):
        evaluation = f"{model.asset}_evaluation"
        metrics = read_json(project.output(evaluation, model.partition) / "metrics.json")
        if metrics:
            roles = model_roles(project.root, model)
            scores = (_router_scores if model.partition is None else _adapter_scores)(metrics)
            report = _report(project, evaluation, model.partition)
            yield ModelScores(model.name, roles["verdict"], roles["reason"], tuple(scores), report)


_COMPLETION_GAIN = "completion_improvement_over_base"
_FORMS = {
    "accuracy": ("{:.0%}", 100, "{:+.0f}", " points"),
    "bits_per_byte": ("{:.3f}", 1, "{:+.3f}", ""),
    "perplexity": ("{:.2f}", 1, "{:+.1f}", " %"),
}
"""Of each measure the form of a value; factor, form and unit of a difference."""


def _adapter_scores(metrics: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    # forgetting is a rise; improvement has the opposite sign, which swaps the interval's ends
    ends = {"": "forgetting", "_low": "forgetting_high", "_high": "forgetting_low"}
    measured = {end: metrics[name] for end, name in ends.items() if metrics.get(name) is not None}
    metrics = {**metrics, **{f"other_code{end}": -100 * value for end, value in measured.items()}}
    for what, items, measure, difference in (
        ("questions answered correctly", "team", "accuracy", "team_difference"),
        ("bits per byte of completions (less is better)", "completion", "bits_per_byte", _COMPLETION_GAIN),
        ("perplexity on other code (less is better)", "general", "perplexity", "other_code"),
    ):
        if count := metrics.get(f"{items}_items"):
            values = (metrics[f"{items}_{model}_{measure}"] for model in ("challenger", "base"))
            ours, base = map(_FORMS[measure][0].format, values)
            yield what, ours, f"base model {base}", _interval(metrics, difference, measure), f"{int(count):,}"


def _router_scores(metrics: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for against, name in (("keyword rules", "baseline"), ("TF-IDF", "tfidf")):
        if metrics.get(name) is not None:
            shares = (f"{metrics['challenger']:.0%}", f"{against} {metrics[name]:.0%}")
            difference = _interval(metrics, f"{name}_difference", "accuracy")
            yield "tasks sent to the right master", *shares, difference, f"{int(metrics['items']):,}"


def _interval(metrics: Mapping[str, Any], name: str, measure: str) -> str:
    _, factor, form, unit = _FORMS[measure]
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    text = form.format(factor * metrics[name])
    if low is not None and high is not None:
        text += f" ({form} to {form})".format(factor * low, factor * high)
    return text + unit


def _report(project: Project, asset: str, partition: str | None) -> str | None:
    path = project.output(asset, partition) / "report.html"
    return path.relative_to(project.root).as_posix() if path.exists() else None
