"""Find the project root; imports nothing slow."""

import os
from pathlib import Path


class ProjectError(RuntimeError):
    """The project on disk is invalid; the message says what to do."""


def find_root(start: Path | None = None) -> Path:
    """The nearest folder with params.yaml, from ``start`` (or ``CORTEX_ROOT``) upwards; ProjectError without one."""
    begin = (start or Path(os.environ.get("CORTEX_ROOT", "."))).resolve()
    for folder in (begin, *begin.parents):
        if (folder / "params.yaml").is_file():
            return folder
    raise ProjectError(f"no params.yaml in {begin} or above it; change to a project's folder first")
