"""The reference model that a challenger is compared with."""

from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.atomic import replace_folder, scratch_folder
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dvc.dvc_store import restore
from cortex_pipelines.versioning.project import Project, ProjectError


@dataclass(frozen=True)
class ChampionPin:
    champion: str | None = None
    previous: str | None = None

    def reference_of(self, challenger: str) -> str | None:
        """Version to compare ``challenger`` with; None for the baseline.

        A challenger that is champion already meets the one before it, so that a gate run again after a promotion gives
        the same verdict.
        """
        return self.previous if challenger == self.champion else self.champion


@dataclass(frozen=True)
class ReferenceModel:
    version: str
    folder: Path


def find_reference(
    project: Project, model: str, partition: str | None, challenger: str, pin: ChampionPin
) -> ReferenceModel | None:
    """The reference's files; None for the baseline. ProjectError if neither workspace nor cache has the version."""
    version = pin.reference_of(challenger)
    if version is None:
        return None
    return ReferenceModel(version, model_folder(project, model, partition, version))


def model_folder(
    project: Project, model: str, partition: str | None, version: str, named_in: str = "releases.lock"
) -> Path:
    """Files of a model version, from the workspace or DVC's cache; ProjectError if it is in neither."""
    workspace = project.output(model, partition)
    if content_md5(workspace) == version:
        return workspace
    cached = project.state / "models" / version
    if content_md5(cached) != version:  # missing, or somebody deleted a part of it
        with scratch_folder(project.state / "tmp") as scratch:
            if not restore(project.root, version, scratch / "model"):
                otherwise = "`cortex rollback` to" if named_in == "releases.lock" else "name there"
                raise ProjectError(
                    f"version {version} of {model_name(model, partition)}, named in {named_in}, is not in the DVC "
                    f"cache: `dvc fetch --all-commits` fetches it from the remote; or {otherwise} one that is there"
                )
            replace_folder(scratch / "model", cached)
    return cached


def model_name(model: str, partition: str | None) -> str:
    return f"{model}-{partition}" if partition else model
