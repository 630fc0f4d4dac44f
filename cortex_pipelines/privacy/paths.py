"""Redact private parts of file, folder and branch names and of ids.

A name is not prose: a key may stand between underscores, and an extension after a mail address. So
a name is also scanned without its extension and with other separators. A private part makes the
whole name private: it gets a placeholder of 64 bits, so that different names stay different.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from cortex_pipelines.privacy.detect.findings import PERSONAL, PlacedRedaction, Span
from cortex_pipelines.privacy.detect.scanning import spans_of
from cortex_pipelines.privacy.pseudonyms import name_pseudonym
from cortex_pipelines.privacy.settings import PrivacySettings

IN_PATH = 0
"""Line number of redactions in paths rather than texts."""

_LONGEST = 500  # file systems take 255 bytes; archives may say anything
_SEPARATORS = re.compile(r"([/\\])")
_ENDING = re.compile(r"(?<=.)\.[A-Za-z][A-Za-z0-9]{0,11}$", re.DOTALL)
_MATERIAL = re.compile(r"[A-Za-z0-9]{14}")
_ADDRESS = re.compile(r"(?<!\d)(?<!\d\.)(?:\d{1,3}\.){3}\d{1,3}(?!\d|\.\d)")
_ASSIGNED = frozenset({"password", "assigned-secret"})
# Four small numbers are more likely a version; of a thousand public addresses 23 have no number this large.
_ADDRESS_NUMBER = 100
_OWN = re.compile(r"redacted-[0-9a-f]{16}(?:\.\w+)?")
# Words and numbers too short for a key, that are neither a phone's number nor an address.
_PLAIN = re.compile(r"(?:[A-Za-z0-9]{1,11}(?:[-_]+|\.|$))*", re.ASCII)
_NUMBERS = re.compile(r"\d{3}[-_]+\d{3}[-_]+\d{4}|\d\.\d+\.\d+\.\d", re.ASCII)


class PathRedactor:
    """Redacts private names in paths with consistent placeholders.

    An extension stays, as it tells the language. A name without private parts stays byte for byte.
    Expects the names of a source: one that looks like a placeholder is replaced too, since it
    could be mistaken for the placeholder of another name.
    """

    def __init__(self, settings: PrivacySettings, key: bytes) -> None:
        self._settings = settings
        self._key = key
        self._known: dict[str, tuple[str, Span | None]] = {}

    def __call__(self, path: str) -> str:
        return self.redact(path)[0]

    def redact(self, path: str) -> tuple[str, tuple[PlacedRedaction, ...]]:
        redacted_path = ""
        redactions: list[PlacedRedaction] = []
        for name in _SEPARATORS.split(path):
            if name not in self._known:
                ending = _ENDING.search(name)
                if _OWN.fullmatch(name):
                    placeholder = name_pseudonym(name, self._key) + (ending[0] if ending else "")
                    self._known[name] = placeholder, Span(0, len(name), PERSONAL, "placeholder", "low")
                else:
                    self._known[name] = redact_name(name, self._settings, self._key)
            placeholder, span = self._known[name]
            start = len(redacted_path)
            redacted_path += placeholder
            if span is not None:
                facts = (span.category, span.rule, span.severity, placeholder)
                redactions.append(PlacedRedaction(*facts, IN_PATH, start, len(redacted_path)))
        return redacted_path, tuple(redactions)


def redact_name(name: str, settings: PrivacySettings, key: bytes) -> tuple[str, Span | None]:
    """A name or its placeholder, and the span redacted in it."""
    span = _private_part(name, settings)
    if span is None:
        return name, None
    ending = _ENDING.search(name)
    # an extension that belongs to a private part ("@firm.com") does not tell the language
    extension = ending[0] if ending and _private_part(name[: ending.start()], settings) else ""
    return name_pseudonym(name, key) + extension, span


def _private_part(name: str, settings: PrivacySettings) -> Span | None:
    if (_PLAIN.fullmatch(name) and not _NUMBERS.search(name)) or _OWN.fullmatch(name):
        return None
    for variant, assigned in _variants(name[:_LONGEST]):
        for span in spans_of(variant, "", settings):
            counts = assigned or span.rule not in _ASSIGNED
            if counts and span.rule != "ipv4" and span.category in settings.redact:
                return span
    for match in _ADDRESS.finditer(name) if PERSONAL in settings.redact else ():
        if max(map(int, match[0].split("."))) >= _ADDRESS_NUMBER:
            for span in spans_of(match[0], "", settings):
                return span
    return None


def _variants(name: str) -> Iterator[tuple[str, bool]]:
    """Readings of a name, and whether assignments in it count."""
    yield name, True
    ending = _ENDING.search(name)
    if ending:
        yield name[: ending.start()], True
    if "@" in name:
        at_sign = name.index("@")
        for separator in re.finditer(r"[-_. ]", name[at_sign:]):
            yield name[: at_sign + separator.start()], False
    if "_" in name:
        yield name.replace("_", " "), False
        if _MATERIAL.search(name):
            starts = [0, *(match.end() for match in re.finditer("_", name))][:20]
            for start in starts:
                suffix = name[start:]
                yield suffix, False
                for cut in [match.start() for match in re.finditer("[_.-]", suffix)][-4:]:
                    yield suffix[:cut], False


_LONGEST_PATH = 200
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_ANYWHERE = re.compile(r"/|~|[A-Za-z]:")
"""Beginnings of absolute paths; folders above a repository contain names of people."""


def repository_path(path_or_uri: str, repository: str | None = None) -> str | None:
    """Path of a file relative to its repository; its name alone if the repository is unknown.

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
    return "/".join(parts)[:_LONGEST_PATH] or None


def repository_name(url: str) -> str:
    """Name of a repository, from its URL or from owner and name; may be empty."""
    return url.rstrip("/").rpartition("/")[2].removesuffix(".git")
