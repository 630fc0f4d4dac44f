"""Clean up after killed processes when the next one starts.

No step needs a person: truncated files are set aside and recreated or restored, scratch files of dead processes are
removed, and an interrupted release is finished. Each step yields a message.
"""

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

from cortex_pipelines.atomic import began_before, lock_file, sweep
from cortex_pipelines.ingestion.cache import CACHE
from cortex_pipelines.ingestion.connectors.snapshot import SNAPSHOTS
from cortex_pipelines.release.ledger import RELEASING
from cortex_pipelines.tracking.store import renew_database
from cortex_pipelines.versioning import damaged_files
from cortex_pipelines.versioning.dagster.instance import renew_databases
from cortex_pipelines.versioning.dvc import dvc_store
from cortex_pipelines.versioning.dvc.repair import restore_settings
from cortex_pipelines.versioning.merging.git_merge import SET_UP, set_driver

_SCRATCH = (
    ".",
    "data",
    "data/*",
    ".cortex/environments",
    ".cortex/tmp",
    ".cortex/kept",
    ".cortex/keys",
    ".cortex/keys/trusted",
    ".cortex/serving",
    ".cortex/feedback",
    ".cortex/removed",
    ".cortex/signed/*/*",
    ".cortex/cache/rows/*",
    ".cortex/cache/llama/*",
    f"{CACHE.as_posix()}/checkpoints",
    f"{CACHE.as_posix()}/downloads",
    f"{CACHE.as_posix()}/studies",
    SNAPSHOTS.as_posix(),
    ".dagster",
    ".dvc/tmp",
)
"""Folders of unfinished files, relative to the project root."""


def recover(root: Path) -> list[str]:
    """Clean up after killed processes; a message for each step. ProjectError: a truncated file has no intact copy."""
    if not os.access(root, os.W_OK):  # mounted read-only, as for a gateway in a container: nothing to clean up
        return []
    for pattern in _SCRATCH:
        for folder in root.glob(pattern) if "*" in pattern else (root / pattern,):
            sweep(folder)
    _sweep_training(root / CACHE)
    messages = restore_settings(root) + dvc_store.mend_unless_busy(root)
    for name in damaged_files.FILES:
        if name != damaged_files.DVC_LOCK and (sentence := damaged_files.mend(root, name)):
            messages.append(sentence)
    if set_driver(root):  # a clone does not have it
        messages.append(SET_UP)
    messages += renew_databases(root)
    messages += renew_database(root)
    if (root / RELEASING).exists():
        # imported here, since the catalog and MLflow take seconds to load
        from cortex_pipelines.catalog import open_project
        from cortex_pipelines.release.promote import finish_release

        if sentence := finish_release(open_project(root)):
            messages.append(sentence)
    return messages


def _sweep_training(cache: Path) -> None:
    """Remove unfinished training states and adapter conversions, which have their own locks."""
    for entry in (cache / "checkpoints").glob("*"):
        owner = entry.suffix[1:]
        if owner.isdigit() and not began_before(int(owner), entry):
            entry.unlink(missing_ok=True)
    unfinished = list((cache / "models").glob("tmp*"))
    with ExitStack() as locks:
        for path in (cache / "models").glob("*.lock") if unfinished else ():
            file = locks.enter_context(path.open())
            if not lock_file(file, wait=False):
                return
        for folder in unfinished:
            shutil.rmtree(folder, ignore_errors=True)
