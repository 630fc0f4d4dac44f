"""Where a project is, and the error of one that is not as it has to be; loads in milliseconds."""

import os
from pathlib import Path


class ProjectError(RuntimeError):
    """The project on disk is not as it has to be; the message says what to do."""


def find_root(start: Path | None = None) -> Path:
    """The nearest folder, from ``start`` (or ``CORTEX_ROOT``, or here) upwards, with params.yaml.

    Raises:
        ProjectError: there is none.
    """
    begin = (start or Path(os.environ.get("CORTEX_ROOT", "."))).resolve()
    for folder in (begin, *begin.parents):
        if (folder / "params.yaml").is_file():
            return folder
    raise ProjectError(f"no params.yaml in {begin} or above it; change to a project's folder first")
