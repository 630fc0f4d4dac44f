"""Assets of releases: gate verdicts on challengers, and registry entries."""

from collections.abc import Callable
from pathlib import Path

from cortex_pipelines.adapters.build import TrainingInputs, parent_adapter, refit_adapter
from cortex_pipelines.adapters.model.lora import recorded_base, trained_tasks
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.datasets.settings import GeneralSettings
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScorer
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.ingestion.pretrained_models import PinnedModel
from cortex_pipelines.prompts.examples import datasets_to_measure
from cortex_pipelines.release.answering import choose_release, write_release
from cortex_pipelines.release.card import TrainingDataSet, write_card
from cortex_pipelines.release.gates import judge, read_metrics
from cortex_pipelines.release.refit import REFIT, record_difference
from cortex_pipelines.release.report import write_adapter_report, write_report
from cortex_pipelines.release.settings import ReleaseSettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.versioning import versioned_asset
from cortex_pipelines.versioning.asset import LoadVersion
from cortex_pipelines.versioning.champions import model_name


@versioned_asset(determinism="machine", registers="code_adapter")
def code_adapter_release(
    code_adapter: Path,
    code_adapter_evaluation: Path,
    completion_dataset: Path,
    refactoring_dataset: Path,
    naming_dataset: Path,
    architecture_dataset: Path,
    documentation_dataset: Path,
    tests_dataset: Path,
    feedback_dataset: Path,
    general_code: Path,
    base_model: PinnedModel,
    adapters: AdapterSettings,
    evaluation: EvaluationSettings,
    general: GeneralSettings,
    release: ReleaseSettings,
    versions: dict[str, str],
    load_version: LoadVersion,
    project: str,
    out: Path,
    root: Path,
    cache: RowCache,
    observe: Callable[[str, float], None],
) -> None:
    """Gate verdict on a project's adapter, how the project is best answered, and the weights that are served."""
    version = versions["code_adapter"]
    metrics = read_metrics(code_adapter_evaluation)
    verdict = judge(metrics, version, release.code_adapter, out)
    answering = choose_release(
        metrics,
        recorded_base(code_adapter)["digest"],
        version if verdict.verdict == "promoted" else None,
        versions["completion_dataset"],
    )
    write_release(answering, out)
    folders = {
        "completion": completion_dataset,
        "refactoring": refactoring_dataset,
        "naming": naming_dataset,
        "architecture": architecture_dataset,
        "documentation": documentation_dataset,
        "tests": tests_dataset,
        "feedback": feedback_dataset,
    }
    measured = datasets_to_measure(folders, trained_tasks(code_adapter))
    if adapters.refit and verdict.verdict == "promoted":
        foreign = None if general.project in (None, project) else general_code
        parent = parent_adapter(adapters, project, load_version)
        inputs = TrainingInputs(project, folders, foreign, base_model, parent)
        refit_adapter(code_adapter, inputs, out / REFIT, root, observe)
        scorer = ItemScorer(base_model, root, evaluation, cache)
        record_difference(code_adapter, out / REFIT, version, measured, scorer, evaluation)
    data = [
        TrainingDataSet(f"{name}_dataset", versions[f"{name}_dataset"], folder, name)
        for name, folder in measured.items()
    ]
    training_metrics = read_metrics(code_adapter)
    if any(name.rpartition("/")[2] == "replay_tokens" and value for name, value in training_metrics.items()):
        data.append(TrainingDataSet("general_code", versions["general_code"], general_code, "general"))
    rows = sum(source.examples.height for source in data if source.metric_prefix != "general")
    write_adapter_report(project, verdict, answering, metrics, training_metrics, rows, code_adapter_evaluation, out)
    name = model_name("code_adapter", project)
    write_card(name, version, code_adapter, code_adapter_evaluation, data, out)


@versioned_asset(partitioned=False, determinism="machine", registers="task_router")
def task_router_release(
    task_router: Path,
    task_router_evaluation: Path,
    routing_audit: Path,
    release: ReleaseSettings,
    versions: dict[str, str],
    out: Path,
) -> None:
    """Gate verdict on the task router by its evaluation and its audit; a rejection is a result, too."""
    audit = {f"audit_{name}": value for name, value in read_metrics(routing_audit).items()}
    metrics = read_metrics(task_router_evaluation) | audit
    verdict = judge(metrics, versions["task_router"], release.task_router, out)
    passed = verdict.verdict == "promoted"
    words = "It is better by more than chance explains" if passed else "It is not shown to be better"
    consequence = (
        "`cortex promote task_router` serves it." if passed else "the router, or the keyword rules, in use stay."
    )
    write_report(verdict, f"{words}; {consequence}", task_router_evaluation, out)
