"""DVC's cache after somebody emptied it: outputs that are in the workspace are stored again."""

import logging
import subprocess  # nosec B404
from pathlib import Path
from typing import Any

from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dvc import dvc_store
from cortex_pipelines.versioning.project import Project, ProjectError

_LOG = logging.getLogger("cortex_pipelines")


def restore_outputs(project: Project) -> int:
    """Store outputs in the cache again that ``dvc.lock`` names and the workspace still holds.

    Without that DVC would take each of them for changed, and everything would be made again.

    Returns:
        How many outputs were stored.
    """

    def act() -> int:
        with dvc_store.locked_repo(project.root) as repo:
            stages = dvc_store.stages_by_address(repo).values()
            return sum(_store(project.root, out) for stage in stages for out in stage.outs)

    count = dvc_store.retry_while_locked(project.root, act)
    if count:
        _LOG.warning("DVC's cache lacked %d outputs that are in the workspace; they are stored there again", count)
    return count


def restore_settings(root: Path) -> list[str]:
    """Bring a deleted ``.dvc`` back from git; returns what was done, in sentences. Raises ProjectError: git does not
    have it.
    """
    if (root / ".dvc").is_dir() or not (root / "dvc.yaml").is_file():
        return []
    git = ["git", "-C", str(root), "checkout", "--", ".dvc"]
    if subprocess.run(git, capture_output=True, check=False).returncode:  # nosec B603
        raise ProjectError(
            f"{root / '.dvc'} was deleted and is not in git: `dvc init` creates it (with "
            "`--no-scm` outside of git), then run the same command again"
        )
    return [".dvc was deleted: restored from git"]


def _store(root: Path, out: Any) -> bool:
    if not out.use_cache or not out.hash_info or not out.exists or not out.changed_cache():
        return False
    if content_md5(root / out.def_path) != out.hash_info.value:
        return False  # edited since: what the cache held is gone
    out.save()
    out.commit()
    return True
