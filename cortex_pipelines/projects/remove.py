"""``cortex remove``: take a project out of the workspace."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.atomic import atomic_file, discard
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import load_parameters
from cortex_pipelines.projects.parameter_file import without_project
from cortex_pipelines.release.experiments.running import stop_for_release
from cortex_pipelines.release.ledger import ensure_keys, ledger, project_models
from cortex_pipelines.retrieval.notes import project_notes
from cortex_pipelines.retrieval.project_index import drop_indexes
from cortex_pipelines.versioning.dvc import stages
from cortex_pipelines.versioning.dvc.repair import take_out_undeclared
from cortex_pipelines.versioning.lock_file import locked_stages, split_address
from cortex_pipelines.versioning.parameters import FILE
from cortex_pipelines.versioning.project import Project, ProjectError, read_yaml


@dataclass(frozen=True)
class Removal:
    name: str
    sources: int
    outputs: tuple[Path, ...]
    size: int
    stages: tuple[str, ...]
    pinned: bool
    releases: int
    notes: bool

    def describe(self, purge: bool) -> list[str]:
        pins = "; its pins in sources.lock" if self.pinned else ""
        removed = [
            f"{FILE}: projects.{self.name} (sources: {self.sources}){pins}",
            f"dvc.lock: {len(self.stages)} of its stages; releases.lock: the champion's key",
            "dvc.yaml and data/parameters: what is about it",
            f"data/: {len(self.outputs)} of its outputs, {self.size:,} bytes",
            "search indexes (the next search rebuilds those of the other projects), pages of "
            "checks, the partition in Dagster",
        ]
        record = f"the ledger of releases (entries on it: {self.releases}), the audit log, API keys"
        notes = "notes, " if self.notes else ""
        purgeable = (
            f"DVC's cache, MLflow's runs and weights, row caches, {notes}feedback, copies of sources, Dagster's history"
        )
        lines = [f"to remove: {line}" for line in removed]
        if purge:
            lines.append(f"to delete, with former versions of all projects: {purgeable}")
        lines.append(f"to keep for the record: {record}, tombstones of `cortex forget`")
        return lines if purge else [*lines, f"to keep until `--purge`: {purgeable}"]


def plan_removal(project: Project, name: str) -> Removal:
    """Plan the removal of a project; ProjectError if it is unknown, or the control of others."""
    root, params = project.root, project.effective.parameters
    project.selected(name)
    if params.general.project == name:
        raise ProjectError(
            f"{name} is the control for all other code (general.project), which other projects are trained "
            "and measured with; set general.project to another project or to null first"
        )
    outputs = tuple(
        folder
        for asset in project.graph.order
        if asset.partitioned and (folder := project.output(asset.name, name)).is_dir()
    )
    models = {model.name for model in project_models(project) if model.partition == name}
    return Removal(
        name=name,
        sources=len(params.projects[name].sources),
        outputs=outputs,
        size=sum(f.stat().st_size for output in outputs for f in output.rglob("*") if f.is_file()),
        stages=tuple(a for a in locked_stages(root) if split_address(a)[1] == name),
        pinned=name in (read_yaml(root / "sources.lock").get("projects") or {}),
        releases=sum(line.model in models for line in ledger(root)),
        notes=bool(project_notes.notes_files(root, name)),
    )


def remove_project(project: Project, removal: Removal) -> None:
    """Delete a project and its outputs; `finish_removal` updates what depends on them."""
    root, name = project.root, removal.name
    text = without_project((root / FILE).read_text(encoding="utf-8"), name)
    stop_for_release(root, name, f"{name} was removed")
    with atomic_file(root / FILE) as scratch:
        scratch.write_text(text, encoding="utf-8")
        load_parameters(root, scratch)  # before anything is deleted
        for folder in removal.outputs:
            discard(folder)
        drop_indexes(project)
        for pages in (project.state / "data_docs").glob(f"*@{name}"):
            shutil.rmtree(pages)


def finish_removal(root: Path) -> None:
    remaining = open_project(root)
    take_out_undeclared(remaining)
    ensure_keys(root, project_models(remaining))
    stages.write(remaining)
