"""Parameters of privacy."""

from typing import Literal, Self

from pydantic import Field, model_validator

from cortex_pipelines.settings import MOST, ProjectName, Regex, Row, Settings, Text


class Tombstone(Settings):
    """What stays out of every data set from now on: all that every field that is set covers."""

    project: ProjectName | None
    """Name of a project; null for every project."""

    source: Text | None
    """A source in it, as `cortex status` names it (``git:PATH``); null for every source."""

    path: Text | None
    """Paths by pattern (``*`` within a folder, ``**`` over folders); null for every path."""

    author: Text | None
    """Keyed pseudonym of an author (`author_pseudonym`), never name or address; null for all."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.project is self.source is self.path is self.author is None:
            raise ValueError("a tombstone without project, source, path or author covers all")
        return self


class PrivacySettings(Settings):
    """What counts as private, and what stands in its place: section ``privacy`` of params.yaml."""

    salt: Text
    """Key of placeholders and pseudonyms, with the project's name; see `privacy/pseudonyms.py`."""

    redact: Row[Literal["secret", "personal"]]
    """Categories that are taken out of what is published; what is only found is still reported."""

    min_entropy: float = Field(ge=0, le=6)
    """Least Shannon entropy, in bits a character, of a value that only its name makes suspect."""

    min_value_chars: int = Field(ge=4, le=MOST)
    """Fewest characters of such a value; shorter ones are placeholders more often than secrets."""

    allowed: Row[Regex]
    """Regular expressions of values that are harmless; one has to match a whole value."""

    forgotten: Row[Tombstone]
    """What was forgotten on demand; ingestion leaves it out."""
