"""What the data sets hold and what the models reached, for people who see it for the first time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.projects.status import table_rows
from cortex_pipelines.prompts.examples import DATASETS
from cortex_pipelines.release.ledger import project_models
from cortex_pipelines.release.promotion import standing
from cortex_pipelines.versioning.dagster.dagster_assets import read_json
from cortex_pipelines.versioning.project import Project

_REPORT = "report.html"


@dataclass(frozen=True)
class ProjectData:
    """What was made of one project's sources.

    Args:
        name: Name of the project.
        files: Files read.
        units: Functions, classes and other units of code.
        examples: Training examples of all data sets.
        report: Page of its completion data set, relative to the root; None if it is not made.
        map: Page with the map of its units, likewise.
    """

    name: str
    files: int
    units: int
    examples: int
    report: str | None
    map: str | None


@dataclass(frozen=True)
class HeldOutScore:
    """A figure on held-out items beside that of the plainest alternative.

    Args:
        what: What was measured.
        model: The model's figure.
        reference: The alternative's.
        against: What the alternative is.
        difference: Improvement of the model over it with its interval of 95 %; positive is better.
        items: How many items.
    """

    what: str
    model: str
    reference: str
    against: str
    difference: str
    items: int


@dataclass(frozen=True)
class ModelScores:
    """What a model reached.

    Args:
        name: Name of the model.
        verdict: The gate's, None if there is none yet.
        reason: Why, in a sentence.
        scores: Its figures.
        report: Page of its evaluation, relative to the root; None if it was not evaluated.
    """

    name: str
    verdict: str | None
    reason: str | None
    scores: tuple[HeldOutScore, ...]
    report: str | None


def project_data(project: Project) -> Iterator[ProjectData]:
    """What was made of each project."""
    for name in project.partitions:
        examples = sum(
            int(
                read_json(project.output(f"{kind}_dataset", name) / "metrics.json").get(
                    "rows_train", 0
                )
            )
            for kind in DATASETS
        )
        yield ProjectData(
            name=name,
            files=table_rows(project.output("repository_files", name) / "files.parquet"),
            units=table_rows(project.output("code_units", name) / "units.parquet"),
            examples=examples,
            report=_report(project, "completion_dataset", name),
            map=_report(project, "clusters", name),
        )


def model_scores(project: Project) -> Iterator[ModelScores]:
    """What each model reached that was evaluated."""
    for model in project_models(project):
        evaluation = f"{model.asset}_evaluation"
        figures = read_json(project.output(evaluation, model.partition) / "metrics.json")
        if not figures:
            continue
        stands = standing(project.root, model)
        scores = _router_scores if model.partition is None else _adapter_scores
        yield ModelScores(
            name=model.name,
            verdict=stands["verdict"],
            reason=stands["reason"],
            scores=tuple(scores(figures)),
            report=_report(project, evaluation, model.partition),
        )


def _adapter_scores(figures: Mapping[str, Any]) -> Iterator[HeldOutScore]:
    if figures.get("team_items"):
        yield HeldOutScore(
            "questions answered correctly",
            _percent(figures["team_challenger_accuracy"]),
            _percent(figures["team_base_accuracy"]),
            "base model",
            _points(figures, "team_difference"),
            int(figures["team_items"]),
        )
    if figures.get("completion_items"):
        yield HeldOutScore(
            "bits per byte of completions (less is better)",
            f"{figures['completion_challenger_bits_per_byte']:.3f}",
            f"{figures['completion_base_bits_per_byte']:.3f}",
            "base model",
            _interval(figures, "completion_improvement_over_base", "{:+.3f}"),
            int(figures["completion_items"]),
        )
    if figures.get("general_items"):
        yield HeldOutScore(
            "perplexity on other code (less is better)",
            f"{figures['general_challenger_perplexity']:.2f}",
            f"{figures['general_base_perplexity']:.2f}",
            "base model",
            _forgetting(figures),
            int(figures["general_items"]),
        )


def _router_scores(figures: Mapping[str, Any]) -> Iterator[HeldOutScore]:
    for against, name, difference in (
        ("keyword rules", "baseline", "baseline_difference"),
        ("TF-IDF", "tfidf", "tfidf_difference"),
    ):
        if figures.get(name) is not None:
            yield HeldOutScore(
                "tasks sent to the right master",
                _percent(figures["challenger"]),
                _percent(figures[name]),
                against,
                _points(figures, difference),
                int(figures["items"]),
            )


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _points(figures: Mapping[str, Any], name: str) -> str:
    scaled = {
        key: 100 * value
        for key, value in figures.items()
        if key.startswith(name) and value is not None
    }
    return _interval(scaled, name, "{:+.0f}") + " points"


def _forgetting(figures: Mapping[str, Any]) -> str:
    # forgetting is a rise; an improvement is its opposite, and the ends of the interval change
    percent = {
        "": -100 * figures["forgetting"],
        "_low": -100 * figures["forgetting_high"],
        "_high": -100 * figures["forgetting_low"],
    }
    return _interval(percent, "", "{:+.1f}") + " %"


def _interval(figures: Mapping[str, Any], name: str, form: str) -> str:
    low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
    text = form.format(figures[name])
    return text if low is None or high is None else f"{text} ({form} to {form})".format(low, high)


def _report(project: Project, asset: str, partition: str | None) -> str | None:
    path = project.output(asset, partition) / _REPORT
    return path.relative_to(project.root).as_posix() if path.exists() else None
