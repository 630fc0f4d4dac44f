"""``dvc.yaml``, generated from the asset graph; nobody edits it by hand."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.project import Project, ProjectError
from cortex_pipelines.versioning.snapshot import stage_deps, stage_params

_HEADER = "# Generated from the asset graph by `cortex dvc-yaml`; do not edit.\n"
_KEY = "${key}"


def stages(project: Project) -> dict[str, Any]:
    """The content of ``dvc.yaml``: a stage an asset, one a project where it is partitioned."""
    return {"stages": {asset.name: _stage(project, asset) for asset in project.graph.order}}


def _stage(project: Project, asset: VersionedAsset) -> dict[str, Any]:
    key = _KEY if asset.partitioned else None
    # Any difference in cmd, even a trailing space, marks a stage as changed: keep it constant.
    body = {
        "cmd": f"cortex run {asset.name}" + (f" --project {key}" if key else ""),
        "desc": asset.description.splitlines()[0] if asset.description else asset.name,
        "deps": stage_deps(project, asset, key),
        "params": _params(stage_params(project, asset, key)),
        "outs": [f"data/{asset.name}" + (f"/{key}" if key else "")],
    }
    body = {name: value for name, value in body.items() if value}
    return {"foreach": "${projects}", "do": body} if asset.partitioned else body


def _params(files: dict[str, list[str]]) -> list[Any]:
    own = files.get("params.yaml", [])
    others = [{file: keys} for file, keys in files.items() if file != "params.yaml"]
    return [*own, *others]


def render(project: Project) -> str:
    """The text of ``dvc.yaml``."""
    from io import StringIO

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 1000
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = StringIO()
    yaml.dump(stages(project), text)
    return _HEADER + text.getvalue()


def write(project: Project) -> Path:
    """Write ``dvc.yaml`` if it is out of date."""
    path = project.root / "dvc.yaml"
    text = render(project)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_whole(path, text)
    return path


def check(project: Project) -> None:
    """Raise if ``dvc.yaml`` is not what the asset graph gives.

    Raises:
        ProjectError: it is out of date.
    """
    path = project.root / "dvc.yaml"
    if not path.exists() or path.read_text(encoding="utf-8") != render(project):
        raise ProjectError("dvc.yaml is out of date: run `cortex dvc-yaml` and commit the result")
