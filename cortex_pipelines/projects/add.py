"""``cortex add``: add a project to ``params.yaml``, preserving comments and order."""

from pathlib import Path
from typing import Any

from cortex_pipelines.atomic import atomic_file
from cortex_pipelines.catalog import open_project, project_name_refusal
from cortex_pipelines.config import load_parameters
from cortex_pipelines.ingestion.project_sources import parse_source
from cortex_pipelines.projects.deleted_authors import add_author_tombstones
from cortex_pipelines.projects.parameter_file import read_values, to_yaml
from cortex_pipelines.projects.update_pins import pin_sources
from cortex_pipelines.release.ledger import ensure_keys, project_models
from cortex_pipelines.settings import PROJECT_NAME, PROJECT_NAME_WORDS
from cortex_pipelines.versioning.dvc.stages import follow_projects
from cortex_pipelines.versioning.parameters import DEMO, STANDARD
from cortex_pipelines.versioning.project import ProjectError


def add_project(root: Path, name: str, source: str, control: bool = False) -> dict[str, Any]:
    """Add a project with one source, or one more source to a project, and pin it.

    Returns:
        The source's entry in ``params.yaml``.

    Raises:
        ProjectError: the name is not allowed, the project already has the source, or another project is the control.
    """
    if not PROJECT_NAME.fullmatch(name):
        raise ProjectError(f"project name {name!r}: {PROJECT_NAME_WORDS}")
    if refusal := project_name_refusal(name):
        raise ProjectError(refusal)
    load_parameters(root)  # report existing errors before anything changes
    entry = parse_source(source, root)
    values = read_values(root)
    projects = values.get("projects") or {}
    if control:
        general = values.setdefault("general", {})
        other = general.get("project")
        if other not in (None, name):
            raise ProjectError(
                f"general.project is {other} already; to make {name} the control, write "
                f"`general: {{project: {name}}}` to params.yaml"
            )
        general["project"] = name
    new: dict[str, Any] = {"sources": []}
    if values.get("profile", STANDARD) == DEMO:
        new = {"profile": STANDARD} | new  # the demo's limits are meant for its own projects
    sources = projects.setdefault(name, new)["sources"]
    if entry in sources:
        raise ProjectError(f"projects.{name} already has the source: {source}")
    sources.append(entry)
    values["projects"] = projects
    with atomic_file(root / "params.yaml") as scratch:
        scratch.write_text(to_yaml(values), encoding="utf-8")
        # a project that cannot be pinned is not added; a pin without a project is harmless
        pin_sources(root, name, load_parameters(root, scratch))
    add_author_tombstones(root)
    project = open_project(root)
    ensure_keys(root, project_models(project))
    follow_projects(project)
    return dict(entry)
