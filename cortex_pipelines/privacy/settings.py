"""Settings of privacy."""

from typing import Literal, Self

from pydantic import Field, model_validator

from cortex_pipelines.path_patterns import PathPatternText
from cortex_pipelines.settings import MOST, ProjectName, Regex, Row, Settings, Text


class Tombstone(Settings):
    """Data excluded from now on: everything that matches all fields that are set."""

    project: ProjectName | None
    """Name of a project; null for every project."""

    source: Text | None
    """A source in it, as `cortex status` names it (``git:PATH``); null for every source."""

    path: PathPatternText | None
    """Paths by pattern, as in ``.gitignore``: ``*`` within a folder, ``**`` over folders, ``/`` in
    front for the source's root; null for every path."""

    author: Text | None
    """Keyed pseudonym of an author (`author_pseudonym`), never name or address; null for all."""

    user: Text | None = None
    """Pseudonym, by the key of logs, of a user of the gateway; such a tombstone covers what people
    did with completions, and no sources. The one field that may be left out: most have none."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.project is self.source is self.path is self.author is self.user is None:
            fields = "project, source, path, author and user"
            raise ValueError(f"a tombstone needs at least one of {fields}")
        return self


class PrivacySettings(Settings):
    """Section ``privacy`` of params.yaml: what is private and how it is replaced."""

    salt: Text
    """Key of placeholders and pseudonyms, with the project's name; see `privacy/pseudonyms.py`."""

    redact: Row[Literal["secret", "personal"]]
    """Categories that are redacted in published data; others are only reported."""

    min_entropy: float = Field(ge=0, le=6)
    """Least Shannon entropy, in bits per character, of a value under a suspicious name."""

    min_value_chars: int = Field(ge=4, le=MOST)
    """Least length of such a value, in characters; shorter ones are mostly placeholders."""

    allowed: Row[Regex]
    """Regular expressions of harmless values; one must match the whole value."""

    forgotten: Row[Tombstone]
    """Tombstones of data that ingestion leaves out."""
