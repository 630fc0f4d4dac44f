"""Tables of ingestion, for tests that start from a few texts."""

from typing import Any

import polars as pl

from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES


def repository_files(texts: dict[str, str | tuple[str | None, str]], **columns: Any) -> pl.DataFrame:
    """REPOSITORY_FILES of some texts by path; a text alone has the language that ingestion would find."""
    shared = {"source": "directory:x", "revision": "1.0", "generated": False, "trainable": True, "notebook": False}
    rows = []
    for path, entry in texts.items():
        language, text = (language_of(path, entry), entry) if isinstance(entry, str) else entry
        values = {"path": path, "language": language, "size_bytes": len(text.encode()), "text": text}
        rows.append({**shared, "blob": f"{len(text):040d}", "licence": "MIT", **values, **columns})
    return REPOSITORY_FILES.frame(rows)
