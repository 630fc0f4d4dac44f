"""Find the project root, and ask git about it; imports nothing slow."""

import os
import subprocess  # nosec B404
from collections.abc import Iterable
from pathlib import Path


class ProjectError(RuntimeError):
    """The project on disk is invalid; the message says what to do."""


def find_root(start: Path | None = None) -> Path:
    """The nearest folder with params.yaml, from ``start`` (or ``CORTEX_ROOT``) upwards; ProjectError without one."""
    begin = (start or Path(os.environ.get("CORTEX_ROOT", "."))).resolve()
    for folder in (begin, *begin.parents):
        if (folder / "params.yaml").is_file():
            return folder
    raise ProjectError(
        f"no params.yaml in {begin} or above it; change to a project's folder first, or make one: `cortex init FOLDER`"
    )


def require_project(name: str, projects: Iterable[str]) -> None:
    """Raises ProjectError, which names those that there are, if params.yaml has no project ``name``."""
    names = sorted(map(str, projects))
    if name in names:
        return
    from difflib import get_close_matches

    close = get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ProjectError(f"params.yaml has no project {name}{hint}; there is: {', '.join(names) or 'none yet'}")


def ask_git(root: Path, *words: str) -> "subprocess.CompletedProcess[bytes]":
    """Run git in the project's own repository; the status is 127 where it is not installed."""
    command = ["git", "-C", str(root), *words]
    try:
        return subprocess.run(command, capture_output=True, check=False)  # nosec B603
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, b"", b"git is not installed")


def git_text(root: Path, *words: str) -> str:
    """What git prints, without white space around it; empty if it fails."""
    process = ask_git(root, *words)
    return "" if process.returncode else process.stdout.decode("utf-8", "surrogateescape").strip()
