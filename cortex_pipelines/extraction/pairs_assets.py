"""Asset of refactoring pairs, separate from the units, which do not depend on it."""

from functools import partial
from pathlib import Path

import polars as pl

from cortex_pipelines.extraction.pairs.mining import PairMiner, mine_history
from cortex_pipelines.extraction.pairs.settings import PairSettings
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.project_sources import ProjectSource
from cortex_pipelines.ingestion.redactions import without_private_errors
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.privacy.pseudonyms import project_key
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.extraction import REFACTORING_PAIRS
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(tables=(REFACTORING_PAIRS,))
def refactoring_pairs(
    project_source: ProjectSource,
    repository_commits: Path,
    pairs: PairSettings,
    refactoring: RefactoringSettings,
    ingestion: IngestionSettings,
    privacy: PrivacySettings,
    project: str,
    root: Path,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Refactorings in the history of a project: code before and after, what was done and why."""
    commits = REPOSITORY_COMMITS.read(repository_commits)
    miner = PairMiner(project, pairs, refactoring, ingestion, privacy)
    mined = without_private_errors(
        partial(mine_history, project_source, commits, project, root, miner, pairs, cache),
        SourceError,
        privacy,
        project_key(project, privacy),
    )
    return {REFACTORING_PAIRS.name: mined}
