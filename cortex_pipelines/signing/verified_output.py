"""Open an output after checking its files against ``dvc.lock``."""

from pathlib import Path

from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version
from cortex_pipelines.versioning.project import Project, ProjectError


def open_verified_output(project: Project, name: str) -> tuple[Path, str]:
    """Folder and DataVersion of an asset with one output that is not in the registry.

    A version that ``dvc.lock`` does not name was changed, or comes from elsewhere.

    Raises:
        ProjectError: the output was not made yet.
        UntrustedModelError: its files were changed.
    """
    folder = project.output(name, None)
    version = content_md5(folder)
    if version is None:
        raise ProjectError(f"no {folder}; run `cortex run {name}` first")
    locked = locked_version(locked_stages(project.root), name)
    if locked != version:
        raise UntrustedModelError(
            f"{folder} is {version}, dvc.lock names {locked or 'none'}: a file was changed since "
            f"it was made; `dvc checkout {name}` brings it back, `cortex run {name}` makes it again"
        )
    return folder, version
