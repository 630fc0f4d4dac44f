"""``dvc.yaml``, generated from the asset graph."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from cortex_pipelines.atomic import package_state, unless_passed, write_whole
from cortex_pipelines.versioning import parameters
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.dvc.yaml_files import yaml_text
from cortex_pipelines.versioning.graph import AssetMetrics
from cortex_pipelines.versioning.project import Project, ProjectError, Stage
from cortex_pipelines.versioning.snapshot import stage_deps, stage_params

HEADER = "# Generated from the asset graph by `cortex dvc-yaml`; do not edit.\n"
WIDTH = 1000
"""Characters of a line of ``dvc.yaml``."""
_KEY = "${key}"
_OUTDATED = "dvc.yaml is out of date: run `cortex dvc-yaml` and commit the result"


def stages(project: Project) -> dict[str, Any]:
    stages_by_name = {asset.name: _stage(project, asset) for asset in project.graph.order}
    return {"stages": {parameters.STAGE: parameters_stage(project), **stages_by_name}}


def parameters_stage(project: Project) -> dict[str, Any]:
    layout = project.effective.layout
    profile_folders = [layout.profiles] if (project.root / layout.profiles).is_dir() else []
    return {
        "cmd": parameters.COMMAND,
        "desc": "What params.yaml and its profile come to, for all and for each project.",
        "deps": sorted([*profile_folders, parameters.FILE]),
        # in git, where a change is seen; and never deleted, so that nobody finds it missing
        "outs": [{parameters.FOLDER: {"cache": False, "persist": True}}],
    }


def _stage(project: Project, asset: VersionedAsset) -> dict[str, Any]:
    body = stage_body(Stage(project, asset, _KEY if asset.partitioned else None))
    return {"foreach": "${projects}", "do": body} if asset.partitioned else body


def stage_body(stage: Stage) -> dict[str, Any]:
    """A stage as DVC reads it, after the loop over projects."""
    asset, partition = stage.asset, stage.partition
    # Any difference in cmd, even a trailing space, marks a stage as changed: keep it constant.
    body = {
        "cmd": f"cortex run {asset.name}" + (f" --project {partition}" if partition else ""),
        "desc": asset.description.splitlines()[0] if asset.description else asset.name,
        "deps": stage_deps(stage),
        "params": [{file: keys} for file, keys in stage_params(stage).items()],
        "outs": [stage.output.relative_to(stage.project.root).as_posix()],
    }
    return {name: value for name, value in body.items() if value}


def figures(project: Project) -> dict[str, Any]:
    """The keys ``metrics`` and ``plots`` of ``dvc.yaml``, with each project's files: DVC has no loops there."""
    metrics: list[str] = []
    plots: list[dict[str, Any]] = []
    for asset in project.graph.order:
        declared = project.figures.get(asset.name, AssetMetrics(metrics=()))
        for partition in project.partitions_of(asset):
            address = project.address(asset, partition)
            folder = f"data/{asset.name}" + (f"/{partition}" if partition else "")
            metrics += [f"{folder}/{file}" for file in declared.metrics]
            for plot in declared.plots:
                title = f"{address}: {plot.title}"
                layout = {
                    "x": plot.x,
                    "y": {f"{folder}/{plot.file}": plot.y},
                    "template": plot.template,
                    "title": title,
                }
                plots.append({f"{address}/{plot.title}": layout})
    fields: dict[str, Any] = {"metrics": metrics, "plots": plots}
    return {key: value for key, value in fields.items() if value}


def render(project: Project) -> str:
    fields = figures(project)
    return _stages_text(project) + (_quoted(json.dumps(fields)) if fields else "")


def _stages_text(project: Project) -> str:
    return HEADER + _quoted(json.dumps(stages(project)))


@lru_cache(maxsize=8)
def _quoted(values: str) -> str:
    """JSON as YAML; cached, because it is slow and needed before each asset."""
    return yaml_text(json.loads(values), WIDTH)


def write(project: Project) -> Path:
    project.effective.write(project.root)
    path = project.root / "dvc.yaml"
    text = render(project)
    provide_inputs(project)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_whole(path, text)
    return path


def provide_inputs(project: Project) -> None:
    """Make empty folders for the inputs of assets of all projects while a workspace has no project."""
    readers = [asset.name for asset in project.graph.order if not asset.partitioned and not project.partitions]
    for upstream in (upstream for name in readers for upstream in project.graph.wiring(name).assets):
        if upstream.partitioned:
            project.output(upstream.name, None).mkdir(parents=True, exist_ok=True)


def check(project: Project) -> None:
    """Raises ProjectError: ``dvc.yaml`` differs from what the graph and the projects give."""
    path = project.root / "dvc.yaml"
    text = path.read_text(encoding="utf-8") if path.exists() else ""

    def compare() -> None:
        if text != render(project):
            raise ProjectError(_OUTDATED)

    state = f"{text}\n{json.dumps(project.effective.files, sort_keys=True)}\n{package_state()}"
    unless_passed(project.state / "cache" / "dvc-yaml", state, compare)


def check_stages(project: Project) -> None:
    """ProjectError if the stages in ``dvc.yaml`` differ from the asset graph; what DVC shows may be behind."""
    if not _has_stages(project):
        raise ProjectError(_OUTDATED)


def follow_projects(project: Project) -> None:
    """Update ``dvc.yaml`` if its metrics and plots lag behind the projects; outdated stages stay."""
    if _has_stages(project):
        write(project)


def _has_stages(project: Project) -> bool:
    path, expected = project.root / "dvc.yaml", _stages_text(project)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    tops = [line for line in text[len(expected) :].splitlines() if not line.startswith((" ", "-"))]
    return text.startswith(expected) and set(tops) <= {"metrics:", "plots:"}
