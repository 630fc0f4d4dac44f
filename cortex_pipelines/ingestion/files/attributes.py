"""What a repository says of its files in ``.gitattributes``, as GitHub and GitLab read it."""

from collections.abc import Collection, Iterable, Iterator

import polars as pl

from cortex_pipelines.path_patterns import PathPattern, PathPatternError, path_pattern

FILE = ".gitattributes"
_ATTRIBUTES = frozenset({"linguist-generated", "linguist-vendored", "gitlab-generated"})


def marked_files(paths: Collection[str], texts: Iterable[tuple[str, str]]) -> set[str]:
    """The paths that are marked as generated or vendored; ``texts``: each file of attributes by its path.

    The last line that matches counts, and those of a folder after those of the folders around it.

    Source: https://github.com/github-linguist/linguist/blob/main/docs/overrides.md
    """
    marked: set[str] = set()
    for file, text in sorted(texts, key=lambda each: each[0].count("/")):
        folder = file.removesuffix(FILE)
        inside = pl.Series([path for path in paths if path.startswith(folder)], dtype=pl.String)
        for pattern, is_set in _lines(text):
            matching = inside.filter(pattern.match_all(inside.str.strip_prefix(folder)))
            marked = marked.union(matching) if is_set else marked.difference(matching)
    return marked


def _lines(text: str) -> Iterator[tuple[PathPattern, bool]]:
    for pattern, *attributes in (line.split() for line in text.splitlines() if line.strip()):
        states = [state for attribute in attributes for state in _states(attribute)]
        if states and not pattern.startswith("#"):
            try:
                yield path_pattern(pattern.strip('"')), states[-1]
            except PathPatternError:
                continue


def _states(attribute: str) -> Iterator[bool]:
    """Whether an attribute of those that count is set (``name``, ``name=true``) or not (``-name``, ``!name``)."""
    name, _, value = attribute.lstrip("-!").partition("=")
    if name in _ATTRIBUTES:
        yield attribute[0] not in "-!" and value.lower() not in ("false", "0")
