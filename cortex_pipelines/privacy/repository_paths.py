"""Paths of files without the names of machines and people."""

import re
from urllib.parse import unquote, urlsplit

_LONGEST = 200
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_ANYWHERE = re.compile(r"/|~|[A-Za-z]:")
"""Beginnings of absolute paths; folders above a repository contain names of people."""


def repository_path(path_or_uri: str, repository: str | None = None) -> str | None:
    """Path of a file relative to its repository; its name alone if the repository is unknown.

    Args:
        path_or_uri: A path of any system, or a URI; a relative path stays unchanged.
        repository: Name of the repository's folder, if known.

    Returns:
        The path with ``/`` between its parts; None if it is empty.
    """
    path = path_or_uri.replace("\\", "/")
    if _URI.match(path):
        try:
            path = unquote(urlsplit(path).path).replace("\\", "/")
        except ValueError:  # an invalid host
            path = "/" + path.rpartition("/")[2]
        path = f"/{path}"
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        parts = parts[-1:]
    elif _ANYWHERE.match(path):
        folders = parts[:-1]
        above = folders.index(repository) + 1 if repository and repository in folders else -1
        parts = parts[above:]
    return "/".join(parts)[:_LONGEST] or None


def repository_name(url: str) -> str:
    """Name of a repository, from its URL or from owner and name; may be empty."""
    return url.rstrip("/").rpartition("/")[2].removesuffix(".git")
