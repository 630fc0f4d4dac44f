"""Where a file is, without what names machines and people."""

import re
from urllib.parse import unquote, urlsplit

_LONGEST = 200
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_ANYWHERE = re.compile(r"/|~|[A-Za-z]:")
"""Beginnings of a place on a machine; folders above a repository hold names of people."""


def repository_path(path_or_uri: str, repository: str | None = None) -> str | None:
    """A file relative to its repository; its name alone where that is not known.

    Args:
        path_or_uri: A path of any system, or a URI; one that is relative already stays as it is.
        repository: Name of the repository's folder, if known.

    Returns:
        The path with ``/`` between its parts, or None where nothing is left of it.
    """
    path = path_or_uri.replace("\\", "/")
    if _URI.match(path):
        try:
            path = unquote(urlsplit(path).path).replace("\\", "/")
        except ValueError:  # a host that is none
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
    """A repository's own name, by its URL or by owner and name; empty where it has none."""
    return url.rstrip("/").rpartition("/")[2].removesuffix(".git")
