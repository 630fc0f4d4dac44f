"""Load an output after checking that its files are those its stage made."""

from pathlib import Path

from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version
from cortex_pipelines.versioning.project import Project, ProjectError


def open_verified_output(project: Project, name: str) -> tuple[Path, str]:
    """Folder and DataVersion of an asset with one output that is not in the registry.

    ``dvc.lock`` is its seal: what it does not name was changed since, or brought from elsewhere.

    Args:
        project: Where.
        name: The asset.

    Raises:
        ProjectError: it was not made yet.
        UntrustedModelError: its files are not those that were made.
    """
    folder = project.output(name, None)
    version = content_md5(folder)
    if version is None:
        raise ProjectError(f"no {folder}; run `cortex run {name}` first")
    locked = locked_version(locked_stages(project.root), name)
    if locked != version:
        raise UntrustedModelError(
            f"{folder} is {version}, dvc.lock names {locked or 'none'}: a file was changed since "
            f"it was made; `dvc checkout {name}` brings it back, `cortex run {name}` makes it anew"
        )
    return folder, version
