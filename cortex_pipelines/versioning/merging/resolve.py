"""Join the files of a project that git left in conflict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.versioning import retained_outputs
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dvc.yaml_files import look_up, read_values
from cortex_pipelines.versioning.merging.conflicts import (
    GENERATED,
    RESOLVED,
    Conflict,
    Versions,
    find_conflicts,
    is_resolvable,
    split_versions,
)
from cortex_pipelines.versioning.merging.files import join_file
from cortex_pipelines.versioning.merging.git_index import stage_files, unmerged_versions
from cortex_pipelines.versioning.parameters import FILE


@dataclass(frozen=True)
class Resolution:
    """``staged``: the files that git held as unmerged, now in its index; ``remaining``: conflicts for a person."""

    files: tuple[str, ...]
    notes: tuple[str, ...]
    staged: tuple[str, ...]
    remaining: tuple[Conflict, ...]


def resolve(root: Path, generate: Callable[[], None]) -> Resolution:
    """Join lock files and generated files in conflict.

    The versions are those of git's index, else the sides of the conflict markers.

    Raises:
        ConflictError: a version cannot be read, or markers do not belong together.
    """
    unmerged = {file: v for file, v in unmerged_versions(root).items() if is_resolvable(file)}
    marked = {conflict.file for conflict in find_conflicts(root) if is_resolvable(conflict.file)}
    files = sorted({*unmerged, *marked})
    # read before anything is written: an error leaves all as it was
    versions = {file: unmerged.get(file) or _marked_versions(root, file) for file in files}
    texts = {file: join_file(file, each) for file, each in versions.items()}
    for file in files:
        _write(root, file, texts[file][0], versions[file])
    remaining = find_conflicts(root)
    if files and all(conflict.file != FILE for conflict in remaining):
        generate()
        if retained_outputs.DVC_LOCK in versions:
            # now that the inputs are those of the merge
            texts[retained_outputs.DVC_LOCK] = join_file(
                retained_outputs.DVC_LOCK,
                versions[retained_outputs.DVC_LOCK],
                lambda entry: fits_workspace(root, entry),
            )
            _write(
                root,
                retained_outputs.DVC_LOCK,
                texts[retained_outputs.DVC_LOCK][0],
                versions[retained_outputs.DVC_LOCK],
            )
    staged = [file for file in files if file in unmerged]
    stage_files(root, staged)
    notes = tuple(note for file in files for note in texts[file][1])
    return Resolution(tuple(files), notes, tuple(staged), tuple(remaining))


def fits_workspace(root: Path, entry: Mapping[str, Any]) -> bool:
    """Whether code and parameters that an entry of ``dvc.lock`` names are those of the workspace.

    What the stages read of each other is compared within the lock.
    """
    return all(
        content_md5(root / dep["path"]) == dep.get("md5")
        for dep in entry.get("deps") or ()
        if not str(dep["path"]).startswith("data/")
    ) and all(
        look_up(read_values(root / file), key) == value
        for file, values in (entry.get("params") or {}).items()
        for key, value in values.items()
    )


def _marked_versions(root: Path, file: str) -> Versions:
    return split_versions((root / file).read_bytes().decode("utf-8", "replace"))


def _write(root: Path, file: str, text: str, versions: Versions) -> None:
    removed = not versions.ours or not versions.theirs
    if removed and file.startswith(f"{GENERATED}/") and not (root / file).exists():
        return  # of a project that one side removed; it is generated again if it is still there
    write_whole(root / file, text)
    if file in RESOLVED and file in retained_outputs.BY_MACHINE:
        retained_outputs.keep(root, file)
