"""Interactions in the asset graph."""

from pathlib import Path

import polars as pl

from cortex_pipelines.feedback.retention import build_interactions
from cortex_pipelines.feedback.settings import FeedbackSource
from cortex_pipelines.feedback.store import pinned_events
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.feedback import INTERACTIONS
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(tables=(INTERACTIONS,), partitioned=False)
def interactions(
    feedback_source: FeedbackSource, privacy: PrivacySettings, root: Path, cache: RowCache | None = None
) -> dict[str, pl.DataFrame]:
    """What became of each completion, by the events of editors and people about it."""
    events = pinned_events(feedback_source, privacy, root, cache)
    return {INTERACTIONS.name: build_interactions(events, feedback_source.settings.consent)}
