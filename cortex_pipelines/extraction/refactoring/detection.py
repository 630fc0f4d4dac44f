"""Detect refactorings between two versions of a set of files."""

from collections.abc import Mapping

from cortex_pipelines.extraction.refactoring.changes import ChangeFinder
from cortex_pipelines.extraction.refactoring.files import pair_files
from cortex_pipelines.extraction.refactoring.pairing.functions import pair_functions
from cortex_pipelines.extraction.refactoring.pairing.types import pair_types
from cortex_pipelines.extraction.refactoring.pairing.units import Pairing
from cortex_pipelines.extraction.refactoring.refactoring import Refactoring
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings
from cortex_pipelines.extraction.refactoring.unit_reader import read_file

__all__ = ["Refactoring", "detect"]


def detect(before: Mapping[str, str], after: Mapping[str, str], settings: RefactoringSettings) -> list[Refactoring]:
    """Refactorings between two versions (text by path), in order of path, line and type."""
    old_files = {path: text for path, text in before.items() if after.get(path) != text}
    new_files = {path: text for path, text in after.items() if before.get(path) != text}
    pairs = dict(pair_files(old_files, new_files))
    unpaired = sorted(set(new_files) - set(pairs.values()))
    names = [(path, pairs.get(path)) for path in sorted(old_files)] + [(None, path) for path in unpaired]
    limit = settings.max_file_bytes
    files = [
        (
            read_file(old, old_files[old], limit) if old is not None else None,
            read_file(new, new_files[new], limit) if new is not None else None,
        )
        for old, new in names
    ]
    pairing = Pairing(files)
    pair_types(pairing, settings)
    pair_functions(pairing, settings)
    refactorings = {change.row() for change in ChangeFinder(pairing, settings).all()}
    return sorted(refactorings, key=_order)


def _order(refactoring: Refactoring) -> tuple[str | int, ...]:
    return (
        refactoring.path_after,
        refactoring.line_after,
        refactoring.type,
        refactoring.path_before,
        refactoring.line_before,
        refactoring.name_before or "",
        refactoring.name_after or "",
        refactoring.container_before or "",
        refactoring.container_after or "",
        refactoring.description,
    )
