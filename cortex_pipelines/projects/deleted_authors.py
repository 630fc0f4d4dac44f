"""Apply an author's deletion to projects that are added, or get commits of the author, later.

An author has a different pseudonym in each project, and addresses are not stored, so tombstones for future projects
cannot be written in advance. Instead, a deletion from every project stores the address's pseudonym made with the logs'
key, and authors of pinned sources are compared with it.
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
from cortex_pipelines.projects.forget import add_tombstones
from cortex_pipelines.versioning.project import read_yaml

_LOG = logging.getLogger("cortex_pipelines")


def add_author_tombstones(root: Path) -> list[Tombstone]:
    """Add tombstones for deleted authors to projects whose history contains them.

    Reads the pinned history of every project's git sources, if any author was deleted from every project.

    Returns:
        The new tombstones.
    """
    params = load_parameters(root)
    tombstones_by_pseudonym = {
        stone.author: stone for stone in params.privacy.forgotten if _applies_to_all_projects(stone)
    }
    if not tombstones_by_pseudonym:
        return []
    logs_pseudonym_key = logs_key(params.privacy)
    stones = []
    for project in sorted(params.projects):
        pseudonym_key = project_key(project, params.privacy)
        try:
            addresses = sorted(_authors(root, params, project))
        except SourceError as error:  # no data set can be made from it either
            _LOG.warning("%s: not compared with deleted authors, because %s", project, error)
            continue
        for address in addresses:
            stone = tombstones_by_pseudonym.get(author_pseudonym(address, logs_pseudonym_key))
            if stone:
                pseudonym = author_pseudonym(address, pseudonym_key)
                stones.append(stone.model_copy(update={"project": project, "author": pseudonym}))
    new = add_tombstones(root, stones)
    for name in sorted({str(stone.project) for stone in new}):
        _LOG.warning("%s: what authors changed last who were deleted from every project is left out", name)
    return new


def _applies_to_all_projects(stone: Tombstone) -> bool:
    return stone.project is None and stone.author is not None


def _authors(root: Path, params: Parameters, project: str) -> set[str]:
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
