"""Settings of ingestion."""

from typing import Literal

from pydantic import Field, field_validator

from cortex_pipelines.ingestion.licences.expressions import spdx
from cortex_pipelines.settings import MOST, Bytes, PositiveInt, Row, Settings, Text


class IngestionSettings(Settings):
    """Section ``ingestion`` of params.yaml: limits and licences of what is read."""

    max_file_bytes: Bytes
    """Largest file that is read, in bytes; 1 MiB is what The Stack (arXiv 2211.15533) kept."""

    max_files: PositiveInt
    """Most entries read from one source; the rest is skipped and reported."""

    max_source_bytes: Bytes
    """Most bytes read from one source, unpacked; bounds memory and disk."""

    max_archive_bytes: Bytes
    """Largest archive or source distribution that is opened, packed, in bytes."""

    max_compression_ratio: int = Field(gt=1, le=MOST)
    """Unpacked to packed size above which an archive counts as a bomb; code has 3 to 10."""

    minified_line_chars: PositiveInt
    """Longest line of a hand-written file, in characters; StarCoder (arXiv 2305.06161) has 1000, and either bound."""

    minified_mean_chars: PositiveInt
    """Largest mean line length of such a file, in characters; StarCoder (arXiv 2305.06161)."""

    generated_head_lines: PositiveInt
    """Lines at the top of a file that are searched for a generator's mark, after any licence."""

    licence_head_lines: PositiveInt
    """Lines at the top of a file that are searched for a licence; long notices have some 30."""

    max_notebook_bytes: Bytes
    """Largest notebook that is read, in bytes; outputs, which are dropped, are most of it."""

    max_project_bytes: Bytes
    """Most bytes read from all sources of a project."""

    trainable_licences: Row[Text]
    """SPDX ids of licences that permit training; ``LicenseRef-NAME`` for one's own."""

    trainable_without_licence: Row[Literal["git", "directory", "archive", "pypi", "npm"]]
    """Kinds of source whose files may be trained on without a stated licence."""

    @field_validator("trainable_licences")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if spdx(name) != name or " " in name]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: not an SPDX licence id (spelling and case count)")
        return names
