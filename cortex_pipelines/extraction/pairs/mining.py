"""Mine refactoring pairs from the history of a project's git sources."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.extraction.pairs.commits import ChangedFiles, changed_files, clean_message, select_commits
from cortex_pipelines.extraction.pairs.purposes import purpose_of, smell_gone
from cortex_pipelines.extraction.refactoring.detection import detect
from cortex_pipelines.extraction.refactoring.model import Refactoring
from cortex_pipelines.extraction.settings import PairSettings, RefactoringSettings
from cortex_pipelines.ingestion.cache import CACHE
from cortex_pipelines.ingestion.git.repository import open_revision
from cortex_pipelines.ingestion.project_sources import GitSource, ProjectSource, matching_pins
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.parallel.ordered import ordered_map
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.privacy.pseudonyms import project_key
from cortex_pipelines.privacy.redaction import redact_text
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.extraction import REFACTORING_PAIRS

_ROWS = pl.Schema({"cache_key": pl.String(), **REFACTORING_PAIRS.schema})


@dataclass(frozen=True)
class PairMiner:
    """Mines the refactorings in the history of a project."""

    project: str
    settings: PairSettings
    refactoring: RefactoringSettings
    ingestion: IngestionSettings
    privacy: PrivacySettings

    @cached_property
    def _key(self) -> bytes:
        return project_key(self.project, self.privacy)

    def mine_history(self, source: ProjectSource, commits: pl.DataFrame, root: Path, cache: RowCache) -> pl.DataFrame:
        """Rows of ``REFACTORING_PAIRS``, from a cache for commits that were mined before.

        Raises:
            SourceError: a pinned revision is no longer available.
        """
        selected = select_commits(commits, self.settings)
        # all in a commit that its rows depend on
        parts = selected.select("source", "commit", "subject", "body").iter_rows()
        keys = [hashlib.sha256("\x1f".join(row).encode()).hexdigest() for row in parts]
        keyed_commits = selected.with_columns(pl.Series("cache_key", keys, dtype=pl.String))
        mirrors = {
            entry.label: open_revision(entry, pin, root, root / CACHE)
            for entry, pin in matching_pins(source, self.project)
            if isinstance(entry, GitSource)
        }

        def compute(missing: pl.Series) -> pl.DataFrame:
            uncached = keyed_commits.filter(pl.col("cache_key").is_in(missing.to_list()))
            mined = (self.mine_pairs(mirror, uncached.filter(source=label)) for label, mirror in mirrors.items())
            return pl.concat([pl.DataFrame(schema=_ROWS), *mined])

        rows = cache.rows(f"pairs/{self.project}", keyed_commits["cache_key"], compute)
        newest = rows.sort("committed_at", "commit", "pair_id", descending=[True, False, False])
        distinct = newest.unique(["source", "before", "after"], keep="first", maintain_order=True)
        if self.settings.max_commits_per_path is not None:
            rank = pl.struct("committed_at", "commit").rank("dense", descending=True).over("source", "path_after")
            distinct = distinct.filter(rank <= self.settings.max_commits_per_path)
        return REFACTORING_PAIRS.conform(distinct.unique("pair_id", keep="first", maintain_order=True))

    def mine_pairs(self, mirror: Path, commits: pl.DataFrame) -> pl.DataFrame:
        """Rows of REFACTORING_PAIRS for some commits, with their ``cache_key``."""
        redactor = PathRedactor(self.privacy, self._key)
        commit_rows = commits.to_dicts()
        contents = changed_files(mirror, commit_rows, self.settings, self.ingestion, redactor)
        mined = ordered_map(
            self._mined,
            zip(commit_rows, contents, strict=True),
            lambda change: change[1].size,
            "Looking for refactorings",
            total=len(commit_rows),
            name=lambda change: f"commit {change[0]['commit']}",
        )
        return pl.concat([pl.DataFrame(schema=_ROWS), *mined])

    def _mined(self, changes: list[tuple[dict[str, Any], ChangedFiles]]) -> pl.DataFrame:
        rows = [row for change in changes for row in self._pairs(*change)]
        return pl.DataFrame(rows, schema=_ROWS, orient="row")

    def _pairs(self, commit: dict[str, Any], files: ChangedFiles) -> Iterator[dict[str, Any]]:
        refactorings = detect(files.before, files.after, self.refactoring)
        if len(refactorings) > self.settings.max_pairs:
            return
        seen_codes = set()
        for refactoring in refactorings:
            before, after = refactoring.code_before, refactoring.code_after
            if (before, after) in seen_codes or before.split() == after.split():
                continue  # only moved: nothing to learn
            if not before.strip() or not after.strip():
                continue  # of a module's own code nothing is shown
            lines = max(before.count("\n"), after.count("\n")) + 1
            text = f"{self.settings.seed}:{commit['commit']}:{before}:{after}"
            draw = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8]
            is_chosen = int.from_bytes(draw, "big") < self.settings.extreme_share * 2**64
            if self.settings.small_lines < lines < self.settings.large_lines or is_chosen:
                seen_codes.add((before, after))
                yield self._row(refactoring, commit)

    def _row(self, refactoring: Refactoring, commit: dict[str, Any]) -> dict[str, Any]:
        message = clean_message(commit["subject"], commit["body"])
        smell = smell_gone(refactoring, self.settings)
        contract = refactoring.contract()
        identity = [commit["source"], commit["commit"], *(str(part) for part in contract.values())]
        digest = hashlib.sha256("\x1f".join(identity).encode("utf-8", "surrogatepass"))
        return {
            **contract,
            **{name: commit[name] for name in ("cache_key", "source", "commit", "committed_at")},
            "pair_id": digest.hexdigest()[:32],
            "language": refactoring.language,
            "before": self._redacted(refactoring.code_before, refactoring.path_before, refactoring.language),
            "after": self._redacted(refactoring.code_after, refactoring.path_after, refactoring.language),
            "description": self._redacted(refactoring.description, "", None),
            "purpose": purpose_of(refactoring, message, smell),
            "smell": smell,
            "message": message,
        }

    def _redacted(self, text: str, path: str, language: str | None) -> str:
        return redact_text(text, path, language, self.privacy, self._key).text
