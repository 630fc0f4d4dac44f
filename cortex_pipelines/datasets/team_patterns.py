"""Patterns of a project: read, check, propose and accept them."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.changes import locate_change, splits_by_file
from cortex_pipelines.extraction.patterns.pattern import PatternError
from cortex_pipelines.extraction.patterns.pattern_files import (
    PROPOSED,
    PatternFile,
    folder_patterns,
    may_hold_patterns,
    project_checks,
    read_patterns,
    valid_patterns,
)
from cortex_pipelines.extraction.patterns.pattern_matcher import PatternChecks
from cortex_pipelines.extraction.patterns.proposals import Proposal, propose_from_code, propose_from_history
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.retrieval.listing import code_files
from cortex_pipelines.schemas.datasets import UNIT_SPLITS
from cortex_pipelines.schemas.extraction import REFACTORING_PAIRS
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES
from cortex_pipelines.schemas.retrieval import CODE_GRAPH
from cortex_pipelines.versioning.champions import model_folder
from cortex_pipelines.versioning.project import Project, ProjectError

_LOG = logging.getLogger("cortex_pipelines")
_FILES = "repository_files"


def served_patterns(project: Project, name: str, version: str | None) -> PatternChecks:
    """Patterns that the answers of a project are checked against.

    ``version``: version of its ``repository_files``; None if dvc.lock has none.
    """
    if version is None:
        return PatternChecks(())
    try:
        return project_checks(model_folder(project, _FILES, name, version, "dvc.lock"))
    except ProjectError as error:
        _LOG.warning("answers are not held against the patterns of %s: %s", name, error)
        return PatternChecks(())


def project_patterns(project: Project, name: str) -> list[PatternFile]:
    """Patterns in a project's files, including invalid ones.

    Raises ProjectError: the project does not exist, or its files have not been read yet.
    """
    folder = _output_folder(project, _FILES, name)
    columns = ("source", "path", "language", "text")
    return read_patterns(REPOSITORY_FILES.read(folder, *columns))


def check_paths(paths: Sequence[Path], checks: PatternChecks) -> Iterator[str]:
    """A line for each pattern violation in files, or in the hand-written files of folders.

    Raises PatternError: a path does not exist.
    """
    for path in code_files(paths):
        text, name = path.read_text("utf-8", "replace"), path.as_posix()
        language = language_of(name, text)
        if language in checks.languages:
            for match in checks.find_matches(text, str(language), name):
                yield f"{name}:{match.line}: {match.name}: {match.when}"


def proposed_patterns(project: Project, name: str, settings: DatasetSettings, min_support: int) -> list[Proposal]:
    """Patterns for a person to accept; what resembles held-out code is left out of train when it is accepted.

    Raises ProjectError: the project does not exist, or an input has not been made yet.
    """
    splits = UNIT_SPLITS.read(_output_folder(project, "unit_splits", name))
    file_splits = splits_by_file(splits, settings)
    pairs = REFACTORING_PAIRS.read(_output_folder(project, "refactoring_pairs", name))
    in_train = [locate_change(pair, file_splits, {}, settings)[1] == "train"
               for pair in pairs.iter_rows(named=True)]  # fmt: skip
    files = REPOSITORY_FILES.read(_output_folder(project, _FILES, name)).filter("trainable")
    edges = CODE_GRAPH.read(_output_folder(project, "code_graph", name), "relation", "from_path", "to_name")
    called: dict[str, set[str]] = defaultdict(set)
    for relation, path, qualified_name in edges.iter_rows():
        if relation in ("calls", "inherits"):
            called[path].update(qualified_name.split("."))
    code = files.filter(~may_hold_patterns())
    return [
        *propose_from_history(pairs.filter(pl.Series(in_train, dtype=pl.Boolean)), code, min_support),
        *propose_from_code(code, called, min_support),
    ]


def write_proposals(proposals: Iterable[Proposal], folder: Path) -> list[tuple[Proposal, Path]]:
    """Write each proposal to a file, unless its name is taken in the folder or its parent."""
    saved = []
    for proposal in proposals:
        path = folder / f"{proposal.pattern.name}.yaml"
        if not path.exists() and not (folder.parent / path.name).exists():
            write_whole(path, proposal.as_yaml())
            saved.append((proposal, path))
    return saved


def accept(names: Sequence[str], folder: Path) -> list[Path]:
    """Move proposed patterns to the accepted ones.

    ``folder``: folder of patterns, with the subfolder ``proposed``. Raises PatternError: a proposal is missing,
    invalid, or its name is taken; then none is moved.
    """
    moves = []
    accepted_names = (
        {pattern_file.name for pattern_file in valid_patterns(folder_patterns(folder))} if folder.is_dir() else set()
    )
    for name in dict.fromkeys(names):
        old, new = folder / PROPOSED / f"{name}.yaml", folder / f"{name}.yaml"
        if not old.is_file():
            proposals = ", ".join(sorted(path.stem for path in (folder / PROPOSED).glob("*.yaml")))
            raise PatternError(f"{old}: no such proposal; there is {proposals or 'none'}")
        if new.exists():
            raise PatternError(f"{new}: is there already; rename one of the two")
        pattern_files = [
            pattern_file for pattern_file in folder_patterns(old.parent) if pattern_file.path == old.as_posix()
        ]
        if not pattern_files:
            raise PatternError(f"{old}: holds no pattern; correct or delete it")
        for pattern_file in pattern_files:
            if pattern_file.pattern is None:
                raise PatternError(pattern_file.sentence)
            if pattern_file.pattern.name in accepted_names:
                raise PatternError(
                    f"{old}: name: {pattern_file.pattern.name} was accepted before; rename one of the two"
                )
        moves.append((old, new))
    for old, new in moves:
        old.rename(new)
    return [new for _, new in moves]


def _output_folder(project: Project, asset: str, name: str) -> Path:
    project.selected(name)
    folder = project.output(asset, name)
    if not folder.is_dir():
        raise ProjectError(f"{asset} of {name} is missing; `cortex run {asset} --project {name} --upstream` makes it")
    return folder
