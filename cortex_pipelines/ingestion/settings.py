"""Parameters of ingestion."""

from typing import Literal

from pydantic import Field, field_validator

from cortex_pipelines.ingestion.licences.expressions import spdx
from cortex_pipelines.settings import MOST, Bytes, PositiveInt, Row, Settings, Text


class IngestionSettings(Settings):
    """What is taken from a source and what is left out: section ``ingestion`` of params.yaml."""

    max_file_bytes: Bytes
    """Largest file that is read, in bytes; 1 MiB is what The Stack (arXiv 2211.15533) kept."""

    max_files: PositiveInt
    """Most entries that are read of one source; the rest is left out and reported."""

    max_source_bytes: Bytes
    """Most bytes that are read of one source, unpacked; bounds memory and disk."""

    max_archive_bytes: Bytes
    """Largest archive or source distribution that is opened, in bytes, packed."""

    max_compression_ratio: int = Field(gt=1, le=MOST)
    """Unpacked to packed size above which an archive is a bomb; source code packs about 3 to 10."""

    minified_line_chars: PositiveInt
    """Longest line of a file that a person wrote, in characters; StarCoder (arXiv 2305.06161)."""

    minified_mean_chars: PositiveInt
    """Mean length of its lines, in characters; StarCoder (arXiv 2305.06161)."""

    generated_head_lines: PositiveInt
    """Lines at the top of a file in which a generator signs; licence texts come before it."""

    licence_head_lines: PositiveInt
    """Lines at the top of a file in which its licence may stand; the longest notice has some 30."""

    max_notebook_bytes: Bytes
    """Largest notebook that is read, in bytes: most of it are outputs, which are not kept."""

    max_project_bytes: Bytes
    """Most bytes that are read of all sources of a project."""

    trainable_licences: Row[Text]
    """SPDX names of licences whose files may be trained on; ``LicenseRef-NAME`` for one's own."""

    trainable_without_licence: Row[Literal["git", "directory", "archive", "pypi", "npm"]]
    """Kinds of source whose files may be trained on where no licence is stated."""

    @field_validator("trainable_licences")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if spdx(name) != name or " " in name]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: no name of an SPDX licence, in its spelling")
        return names
