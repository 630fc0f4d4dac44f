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
class Stated:
    """Licences stated in one file.

    Args:
        header: Of itself, at its top.
        folder: Of what lies in its folder; None if it says nothing of that.
        by: ``file`` (a licence file) or ``manifest``, where ``folder`` is set.
    """

    header: str | None
    folder: str | None
    by: str | None


def stated_licences(path: str, language: str | None, text: str, head_lines: int) -> Stated:
    """Licences that a file states for itself and for its folder.

    Args:
        path: Path relative to the source's root, with forward slashes.
        language: Its language, if known.
        text: Its content.
        head_lines: Lines in which a header may stand.
    """
    *folders, name = path.split("/")
    if folders and folders[-1] == _COLLECTED:
        return Stated(None, None, None)
    if language in _PROSE and _LICENCE_FILE.fullmatch(name):
        licence = licence_of_text(text[:_LONGEST_TEXT])
        # a page on copyright need not be about licences
        if licence == NOT_UNDERSTOOD and name.lower().startswith("copyright"):
            licence = None
        return Stated(None, licence, "file" if licence else None)
    head = "\n".join(line[:400] for line in text.split("\n", head_lines)[:head_lines])
    header = licence_of_header(head)
    declared = declared_licence(path, text) if is_manifest(path) else None
    return Stated(header, declared, "manifest" if declared else None)


class Folders:
    """Licences of whole folders.

    Args:
        stated: Path, licence and kind (``file`` or ``manifest``) of all that say something of
            their folder.
    """

    def __init__(self, stated: Iterable[tuple[str, str, str]]) -> None:
        texts: dict[str, list[str]] = defaultdict(list)
        manifests: dict[str, list[str]] = defaultdict(list)
        for path, licence, kind in sorted(stated):
            (texts if kind == "file" else manifests)[_parent(path)].append(licence)
        self._known = {
            folder: _agreed(texts.get(folder, []), manifests.get(folder, []))
            for folder in {*texts, *manifests}
        }
        self._memory: dict[str, tuple[str, str] | None] = {}

    def of(self, path: str) -> tuple[str, str] | None:
        """Licence of the nearest folder above a path, and its origin."""
        folder, passed = _parent(path), []
        while folder not in self._known and folder not in self._memory and folder:
            passed.append(folder)
            folder = _parent(folder)
        stated = self._known.get(folder) or self._memory.get(folder)
        for below in passed:
            self._memory[below] = stated
        return stated


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _agreed(texts: list[str], manifests: list[str]) -> tuple[str, str]:
    """Combine a folder's licences into one.

    A text that was recognised counts more than a manifest, which is often left as a tool made it;
    but a manifest that names all of the texts says how they go together (MIT OR Apache-2.0).
    """
    known = [licence for licence in texts if licence != NOT_UNDERSTOOD]
    declared = sorted(set(manifests) - {NOT_UNDERSTOOD})
    named = frozenset[str]().union(*map(families, known))
    for licence in declared:
        if named <= families(licence):
            return licence, "manifest"
    if texts:
        return all_of(texts) or NOT_UNDERSTOOD, "file"
    return NOT_UNDERSTOOD, "manifest"


def licences_of(
    paths: Iterable[str],
    headers: Mapping[str, str],
    folders: Folders,
    own: str | None,
    annotated: Sequence[Annotation],
) -> list[tuple[str | None, str | None]]:
    """Licence of each path and its origin: header, folder's file or manifest, or project.

    Args:
        paths: Paths of one source.
        headers: What files say of themselves, by path.
        folders: What holds for folders.
        own: Licence of the project's own code, for what is silent or not understood.
        annotated: What REUSE says of files by their paths.
    """
    licences: list[tuple[str | None, str | None]] = []
    for path in paths:
        licence: str | None
        by: str | None
        header = headers.get(path)
        stated = annotated_licence(path, header, annotated) if annotated else header
        if stated is not None:
            licence, by = stated, "header" if stated == header else "manifest"
        else:
            licence, by = folders.of(path) or (None, None)
        if own and licence in (None, NOT_UNDERSTOOD):
            licence, by = own, "project"
        licences.append((licence, by))
    return licences
