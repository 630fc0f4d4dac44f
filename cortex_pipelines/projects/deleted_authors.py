"""Carry an author's deletion over to projects that are added, or met them, later.

An author has another pseudonym in each project, and addresses are not kept, so tombstones for
projects of the future cannot be written ahead. Instead a deletion from every project leaves the
address's pseudonym by the key of logs, and whenever sources are pinned their authors are compared
with it.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.ingestion.cache import CACHE
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.git.command import stream
from cortex_pipelines.ingestion.git.repository import open_revision
from cortex_pipelines.ingestion.project_sources import GitSource, ProjectSource, matching_pins
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, logs_key, project_key
from cortex_pipelines.privacy.settings import Tombstone
from cortex_pipelines.projects.forget import bury
from cortex_pipelines.versioning.project import read_yaml

_LOG = logging.getLogger("cortex_pipelines")


def bury_authors(root: Path) -> list[Tombstone]:
    """Write tombstones for deleted authors into projects whose history has them.

    Reads the pinned history of every project's git sources, and only if somebody was deleted from
    every project.

    Args:
        root: Project root, with ``sources.lock`` as it now is.

    Returns:
        The new tombstones.
    """
    params = load_parameters(root)
    asked = {stone.author: stone for stone in params.privacy.forgotten if _everywhere(stone)}
    if not asked:
        return []
    of_logs = logs_key(params.privacy)
    stones = []
    for project in sorted(params.projects):
        own = project_key(project, params.privacy)
        try:
            addresses = sorted(_authors(root, params, project))
        except SourceError as error:  # nor can it be read into a data set
            _LOG.warning("%s: not compared with deleted authors, because %s", project, error)
            continue
        for address in addresses:
            stone = asked.get(author_pseudonym(address, of_logs))
            if stone:
                called = author_pseudonym(address, own)
                stones.append(stone.model_copy(update={"project": project, "author": called}))
    new = bury(root, stones)
    for name in sorted({str(stone.project) for stone in new}):
        _LOG.warning(
            "%s: what authors changed last who were deleted from every project is left out", name
        )
    return new


def _everywhere(stone: Tombstone) -> bool:
    return stone.project is None and stone.author is not None


def _authors(root: Path, params: Parameters, project: str) -> set[str]:
    """Mail addresses of the authors in the history of a project's git sources."""
    pins = (read_yaml(root / "sources.lock").get("projects") or {}).get(project)
    if not pins:
        return set()
    source = ProjectSource(params.projects[project], tuple(pins))
    return {
        address
        for entry, pin in matching_pins(source, project)
        if isinstance(entry, GitSource)
        for address in _addresses(open_revision(entry, pin, root, root / CACHE), pin["revision"])
    }


def _addresses(mirror: Path, revision: str) -> Iterator[str]:
    log = ("log", "--no-mailmap", "--no-show-signature", "--format=%ae", "--end-of-options")
    with stream(mirror, *log, revision) as (_, answer):
        yield from {line.decode("utf-8", "replace").strip() for line in answer} - {""}
