"""Detect each file's licence: from its own header, else from the nearest folder above."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cortex_pipelines.ingestion.licences.expressions import NOT_UNDERSTOOD, all_of, families
from cortex_pipelines.ingestion.licences.manifests import declared_licence, is_manifest
from cortex_pipelines.ingestion.licences.reuse import Annotation, annotated_licence
from cortex_pipelines.ingestion.licences.texts import licence_of_header, licence_of_text

_LICENCE_FILE = re.compile(
    r"(?:(?:un)?licen[cs]e|copying|copyright|(?:mit|apache|bsd|[al]?gpl|mpl)[-_.]licen[cs]e)s?"
    r"(?:[-_.][\w.+-]*)?",
    re.IGNORECASE,
)
_PROSE = frozenset({None, "text", "markdown", "restructuredtext", "html"})
# REUSE (reuse.software) keeps the texts of all licences that any file may name here.
_COLLECTED = "LICENSES"
_LONGEST_TEXT = 200_000


@dataclass(frozen=True)
class DeclaredLicences:
    """Licences stated in one file.

    Args:
        header: Of itself, at its top.
        folder: Of what lies in its folder; None if it says nothing of that.
        origin: ``file`` (a licence file) or ``manifest``, where ``folder`` is set.
    """

    header: str | None
    folder: str | None
    origin: str | None


def stated_licences(path: str, language: str | None, text: str, head_lines: int) -> DeclaredLicences:
    *folders, name = path.split("/")
    if folders and folders[-1] == _COLLECTED:
        return DeclaredLicences(None, None, None)
    if language in _PROSE and _LICENCE_FILE.fullmatch(name):
        licence = licence_of_text(text[:_LONGEST_TEXT])
        # a page on copyright need not be about licences
        if licence == NOT_UNDERSTOOD and name.lower().startswith("copyright"):
            licence = None
        return DeclaredLicences(None, licence, "file" if licence else None)
    head = "\n".join(line[:400] for line in text.split("\n", head_lines)[:head_lines])
    header = licence_of_header(head)
    declared = declared_licence(path, text) if is_manifest(path) else None
    return DeclaredLicences(header, declared, "manifest" if declared else None)


class FolderLicences:
    def __init__(self, statements: Iterable[tuple[str, str, str]]) -> None:
        texts: dict[str, list[str]] = defaultdict(list)
        manifests: dict[str, list[str]] = defaultdict(list)
        for path, licence, kind in sorted(statements):
            (texts if kind == "file" else manifests)[_parent(path)].append(licence)
        self._by_folder = {
            folder: _combine(texts.get(folder, []), manifests.get(folder, [])) for folder in {*texts, *manifests}
        }
        self._cache: dict[str, str | None] = {}

    def nearest(self, path: str) -> str | None:
        folder, visited = _parent(path), []
        while folder not in self._by_folder and folder not in self._cache and folder:
            visited.append(folder)
            folder = _parent(folder)
        licence = self._by_folder.get(folder) or self._cache.get(folder)
        for subfolder in visited:
            self._cache[subfolder] = licence
        return licence


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _combine(texts: list[str], manifests: list[str]) -> str:
    """Combine a folder's licences into one.

    A text that was recognised counts more than a manifest, which is often left as a tool made it;
    but a manifest that names all of the texts says how they go together (MIT OR Apache-2.0).
    """
    recognised = [licence for licence in texts if licence != NOT_UNDERSTOOD]
    declared = sorted(set(manifests) - {NOT_UNDERSTOOD})
    recognised_families = frozenset[str]().union(*map(families, recognised))
    for licence in declared:
        if recognised_families <= families(licence):
            return licence
    return all_of(texts) or NOT_UNDERSTOOD


def licences_of(
    paths: Iterable[str],
    headers: Mapping[str, str],
    folders: FolderLicences,
    project_licence: str | None,
    annotations: Sequence[Annotation],
) -> list[str | None]:
    """Licence of each path: its header's, REUSE's, its folder's, or the project's."""
    licences: list[str | None] = []
    for path in paths:
        header = headers.get(path)
        licence = annotated_licence(path, header, annotations) if annotations else header
        if licence is None:
            licence = folders.nearest(path)
        licences.append(project_licence if project_licence and licence in (None, NOT_UNDERSTOOD) else licence)
    return licences
