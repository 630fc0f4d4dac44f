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

_REPORT = "report.html"


@dataclass(frozen=True)
class ProjectData:
    """Outputs made from one project's sources."""

    name: str
    files: int
    units: int
    examples: int
    report: str | None


@dataclass(frozen=True)
class HeldOutScore:
    """A metric on held-out items, compared with a baseline; a positive difference is better, with its 95 % interval."""

    what: str
    model: str
    reference: str
    against: str
    difference: str
    items: int


@dataclass(frozen=True)
class ModelScores:
    name: str
    verdict: str | None
    reason: str | None
    scores: tuple[HeldOutScore, ...]
    report: str | None


def project_data(project: Project) -> Iterator[ProjectData]:
    for name in project.partitions:
        examples = sum(
            int(read_json(project.output(f"{kind}_dataset", name) / "metrics.json").get("rows_train", 0))
            for kind in DATASETS
        )
        yield ProjectData(
            name=name,
            files=table_rows(project.output("repository_files", name) / "files.parquet"),
            units=table_rows(project.output("code_units", name) / "units.parquet"),
            examples=examples,
            report=_report(project, "completion_dataset", name),
        )


def model_scores(project: Project) -> Iterator[ModelScores]:
    for model in project_models(project):
        evaluation = f"{model.asset}_evaluation"
        metrics = read_json(project.output(evaluation, model.partition) / "metrics.json")
        if not metrics:
            continue
        roles = model_roles(project.root, model)
        scores = _router_scores if model.partition is None else _adapter_scores
        yield ModelScores(
            name=model.name,
            verdict=roles["verdict"],
            reason=roles["reason"],
            scores=tuple(scores(metrics)),
            report=_report(project, evaluation, model.partition),
        )


def _adapter_scores(metrics: Mapping[str, Any]) -> Iterator[HeldOutScore]:
    if metrics.get("team_items"):
        yield HeldOutScore(
            "questions answered correctly",
            _percent(metrics["team_challenger_accuracy"]),
            _percent(metrics["team_base_accuracy"]),
            "base model",
            _points(metrics, "team_difference"),
            int(metrics["team_items"]),
        )
    if metrics.get("completion_items"):
        yield HeldOutScore(
            "bits per byte of completions (less is better)",
            f"{metrics['completion_challenger_bits_per_byte']:.3f}",
            f"{metrics['completion_base_bits_per_byte']:.3f}",
            "base model",
            _interval(metrics, "completion_improvement_over_base", "{:+.3f}"),
            int(metrics["completion_items"]),
        )
    if metrics.get("general_items"):
        yield HeldOutScore(
            "perplexity on other code (less is better)",
            f"{metrics['general_challenger_perplexity']:.2f}",
            f"{metrics['general_base_perplexity']:.2f}",
            "base model",
            _forgetting(metrics),
            int(metrics["general_items"]),
        )


def _router_scores(metrics: Mapping[str, Any]) -> Iterator[HeldOutScore]:
    for against, name, difference in (
        ("keyword rules", "baseline", "baseline_difference"),
        ("TF-IDF", "tfidf", "tfidf_difference"),
    ):
        if metrics.get(name) is not None:
            yield HeldOutScore(
                "tasks sent to the right master",
                _percent(metrics["challenger"]),
                _percent(metrics[name]),
                against,
                _points(metrics, difference),
                int(metrics["items"]),
            )


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _points(metrics: Mapping[str, Any], name: str) -> str:
    scaled = {key: 100 * value for key, value in metrics.items() if key.startswith(name) and value is not None}
    return _interval(scaled, name, "{:+.0f}") + " points"


def _forgetting(metrics: Mapping[str, Any]) -> str:
    # forgetting is a rise; improvement has the opposite sign, which swaps the interval's ends
    percent = {
        "": -100 * metrics["forgetting"],
        "_low": -100 * metrics["forgetting_high"],
        "_high": -100 * metrics["forgetting_low"],
    }
    return _interval(percent, "", "{:+.1f}") + " %"


def _interval(metrics: Mapping[str, Any], name: str, form: str) -> str:
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    text = form.format(metrics[name])
    return text if low is None or high is None else f"{text} ({form} to {form})".format(low, high)


def _report(project: Project, asset: str, partition: str | None) -> str | None:
    path = project.output(asset, partition) / _REPORT
    return path.relative_to(project.root).as_posix() if path.exists() else None
