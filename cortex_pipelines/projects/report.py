"""One page for all: what is good, what is wrong, what to do; projects, data, models, releases, usage."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cortex_pipelines.feedback.project_feedback import gateway_log
from cortex_pipelines.pages import render
from cortex_pipelines.projects.status import project_data, router_baseline
from cortex_pipelines.prompts.examples import DATASETS
from cortex_pipelines.release.ledger import ReleasedModel, ledger, project_models
from cortex_pipelines.release.promotion import model_roles
from cortex_pipelines.serving.reviews import waiting_rows
from cortex_pipelines.serving.security import audit
from cortex_pipelines.tracking.latencies import COLUMNS, NOTE, recorded
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.project import Project

FILE = Path(".cortex", "report.html")
_TEMPLATE = Path(__file__).parent / "report.html"
_PAGES = {
    "annotated_units": "Code",
    "compliance": "Privacy and licences",
    **{f"{kind}_dataset": kind.capitalize() for kind in DATASETS},
}
"""Assets whose reports say what a project's data are."""
_MOVES, _REQUESTS = 12, 1000
_VERDICTS = {"promoted": "passed", "kept": "kept back", "refused": "refused", None: "not trained"}


def report_page(project: Project, folder: Path | None = None) -> str:
    """``folder``: where the page will lie, for its links to reports of single outputs; None for none."""
    models = [_model(project, model, folder) for model in project_models(project)]
    reports = [(name, read_json(project.output("compliance", name) / "compliance.json")) for name in project.partitions]
    problems = [f"{name}: {problem}." for name, report in reports for problem in report.get("problems", ())]
    good = [f"{model['name']}: {model['served']}." for model in models if model["champion"]]
    rows = [row[:4] for row in project_data(project)]
    good += [f"{name}: {train} training examples from {files} files." for name, files, _, train in rows if train != "0"]
    return render(
        _TEMPLATE,
        f"Report on {project.root.name}",
        good=good,
        wrong=[*(f"{model['name']}: {_VERDICTS[model['verdict']]}." for model in models if _is_held(model)), *problems],
        to_do=[step for model in models for step in _steps(model)] or ["Nothing is waiting for you."],
        data=[(*row, _links(project, row[0], folder)) for row in rows],
        models=models,
        latencies=[(model["name"], *row) for model in models for row in model["latencies"]],
        latency_columns=("model", *COLUMNS),
        latency_note=NOTE,
        moves=[_move(line) for line in reversed(ledger(project.root)[-_MOVES:])],
        usage=_usage(project),
        waiting=len(waiting_rows(project.root)),
        most=_REQUESTS,
    )


def _model(project: Project, model: ReleasedModel, folder: Path | None) -> dict[str, Any]:
    roles = model_roles(project.root, model)
    metrics = read_json(project.output(f"{model.asset}_evaluation", model.partition) / "metrics.json")
    champion = roles["champion"]
    if champion:
        number = roles["numbers"].get(champion, "")
        served = f"version {number} answers" + (f", {roles['despite_gate']}" if roles["despite_gate"] else "")
    else:
        served = "the keyword rules decide" if model.partition is None else "the base model answers"
    pages = (project.output(f"{model.asset}{kind}", model.partition) for kind in ("_release", "_evaluation"))
    page = next((page / "report.html" for page in pages if (page / "report.html").exists()), None)
    return {
        **{name: roles[name] for name in ("verdict", "reason", "champion", "challenger", "despite_gate")},
        "name": model.name,
        "project": model.partition,
        "served": served,
        "words": _VERDICTS[roles["verdict"]],
        "figure": _figure(metrics),
        "latencies": [latency.row() for latency in recorded(project.root, roles["challenger"])],
        "page": _address(page, folder) if page else None,
    }


def _figure(metrics: Mapping[str, Any]) -> str:
    """The figure of a model that everybody understands."""
    if metrics.get("line_adapter") is not None:
        return f"first lines exactly right: {metrics['line_adapter']:.0%}, by the base {metrics['line_base']:.0%}"
    if metrics.get("challenger") is not None and metrics.get("baseline") is not None:
        baseline = f"{router_baseline(metrics)}: {metrics['baseline']:.0%}"
        return f"tasks sent rightly: {metrics['challenger']:.0%} ({baseline})"
    return "–"


def _is_held(model: Mapping[str, Any]) -> bool:
    return model["verdict"] in ("kept", "refused") and model["champion"] != model["challenger"]


def _steps(model: Mapping[str, Any]) -> Iterator[str]:
    name, project = model["name"], model["project"]
    if model["verdict"] is None:
        target = f"code_adapter_release --project {project}" if project else "task_router_release"
        yield f"Train {name}: cortex run {target} --upstream"
    elif model["verdict"] == "promoted" and model["champion"] != model["challenger"]:
        yield f"Serve {name}, which passed: cortex promote {name}"
    elif _is_held(model):
        override = f'cortex promote {name} --despite-gate --why "…"'
        yield f"Read why {name} is {model['words']}; to serve it all the same: {override}"


def _links(project: Project, name: str, folder: Path | None) -> list[tuple[str, str | None]]:
    pages = ((title, project.output(asset, name) / "report.html") for asset, title in _PAGES.items())
    return [(title, _address(page, folder)) for title, page in pages if page.exists()]


def _address(page: Path, folder: Path | None) -> str | None:
    return Path(os.path.relpath(page, folder)).as_posix() if folder else None


def _move(line: Any) -> tuple[str, ...]:
    version = line.number or ("baseline" if line.version is None else line.version[:12])
    time = line.at[:16].replace("T", " ")
    return time, line.by, line.model, f"{line.action} {version}", line.despite_gate or line.why


def _usage(project: Project) -> list[tuple[str, str, str]]:
    """Requests of the audit log by model: how many, and the latest."""
    entries = audit.latest_entries(gateway_log(project.root).parent / audit.FILE, _REQUESTS)
    counts = Counter(str(each["model"]) for each in entries if each.get("model"))
    latest = {str(each["model"]): str(each.get("at", "")) for each in entries if each.get("model")}
    return [(name, f"{count:,}", latest[name][:16].replace("T", " ")) for name, count in counts.most_common()]
