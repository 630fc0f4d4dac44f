"""Refactorings between two versions of a set of files."""

from collections.abc import Mapping

from cortex_pipelines.extraction.refactoring.changes import Changes
from cortex_pipelines.extraction.refactoring.files import pair_files
from cortex_pipelines.extraction.refactoring.function_pairing import pair_functions
from cortex_pipelines.extraction.refactoring.pairing import Pairing
from cortex_pipelines.extraction.refactoring.reading import read_file
from cortex_pipelines.extraction.refactoring.refactoring import Refactoring
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings
from cortex_pipelines.extraction.refactoring.type_pairing import pair_types

__all__ = ["Refactoring", "detect"]


def detect(
    before: Mapping[str, str], after: Mapping[str, str], settings: RefactoringSettings
) -> list[Refactoring]:
    """The refactorings that lead from one version of some files to the next.

    Args:
        before, after: Text by path (forward slashes); the changed files suffice.
        settings: Thresholds and limits.

    Returns:
        Refactorings in order of path, line and type.
    """
    ones = {path: text for path, text in before.items() if after.get(path) != text}
    others = {path: text for path, text in after.items() if before.get(path) != text}
    pairs = dict(pair_files(ones, others))
    left = sorted(set(others) - set(pairs.values()))
    names = [(path, pairs.get(path)) for path in sorted(ones)] + [(None, path) for path in left]
    limit = settings.max_file_bytes
    files = [
        (
            read_file(one, ones[one], limit) if one is not None else None,
            read_file(other, others[other], limit) if other is not None else None,
        )
        for one, other in names
    ]
    paired = Pairing(files)
    pair_types(paired, settings)
    pair_functions(paired, settings)
    found = {change.row() for change in Changes(paired, settings).all()}
    return sorted(found, key=_order)


def _order(one: Refactoring) -> tuple[str | int, ...]:
    return (
        one.path_after,
        one.line_after,
        one.type,
        one.path_before,
        one.line_before,
        one.name_before or "",
        one.name_after or "",
        one.container_before or "",
        one.container_after or "",
        one.description,
    )
