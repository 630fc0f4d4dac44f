"""Settings of extraction in ``params.yaml``."""

from cortex_pipelines.settings import Bytes, PositiveInt, Settings


class ExtractionSettings(Settings):
    """Limits that bound the cost of hostile or generated files."""

    max_file_bytes: Bytes
    """Larger files have no units, in bytes. 10 MB take 3 s and 0.4 GB (measured)."""

    max_nesting: PositiveInt
    """Units inside this many others are left out: each level repeats the code inside it."""

    max_header_chars: PositiveInt
    """A name or header of an enclosing unit is truncated to so many characters."""

    max_repeated_bytes: Bytes
    """A declaration is a unit for each of its names, which all repeat its code. One whose names
    times its bytes are more is one unit."""
