"""Parameters of privacy."""

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from cortex_pipelines.settings import Settings


class Tombstone(Settings):
    """What stays out of every data set from now on: all that every field that is set covers."""

    project: str | None
    """Name of a project; null for every project."""

    source: str | None
    """A source in it, as `cortex status` names it (``git:PATH``); null for every source."""

    path: str | None
    """Paths by pattern (``*`` within a folder, ``**`` over folders); null for every path."""

    author: str | None
    """Keyed pseudonym of an author (`author_pseudonym`), never name or address; null for all."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.project is self.source is self.path is self.author is None:
            raise ValueError("a tombstone without project, source, path or author covers all")
        return self


class PrivacySettings(Settings):
    """What counts as private, and what stands in its place: section ``privacy`` of params.yaml."""

    salt: str = Field(min_length=1)
    """Key of placeholders and pseudonyms, with the project's name; see `privacy/pseudonyms.py`."""

    redact: tuple[Literal["secret", "personal"], ...]
    """Categories that are taken out of what is published; what is only found is still reported."""

    min_entropy: float = Field(ge=0, le=6)
    """Least Shannon entropy, in bits a character, of a value that only its name makes suspect."""

    min_value_chars: int = Field(ge=4)
    """Fewest characters of such a value; shorter ones are placeholders more often than secrets."""

    allowed: tuple[str, ...]
    """Regular expressions of values that are harmless; one has to match a whole value."""

    forgotten: tuple[Tombstone, ...]
    """What was forgotten on demand; ingestion leaves it out."""

    @field_validator("allowed")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return patterns
