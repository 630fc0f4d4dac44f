"""The ``sources`` of a project in params.yaml: validation and labels."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version
from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from cortex_pipelines.ingestion.connectors.declared import DltSource
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.licences.expressions import spdx
from cortex_pipelines.settings import Settings, Text

_SCHEMES = ("https", "http", "ssh", "git", "file")
_SCP_LIKE = re.compile(r"^[\w.-]+@[\w.-]+:[^:]")
_ARCHIVE_ENDINGS = (
    *(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"),
    *(".zip", ".whl", ".crate", ".jar"),
)
# What npm may look up; anything else it would take for an alias, a folder or a repository.
_NPM_PACKAGE = re.compile(
    r"(?:@[a-z0-9~][a-z0-9._~-]*/)?[A-Za-z0-9~_][A-Za-z0-9._~-]*(?:@(?:latest|\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?))?"
)
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|^-|^/|/$|^$")


def is_url(address: str) -> bool:
    """Whether a git source is a URL (or ``user@host:path``) and not a local path."""
    return "://" in address or bool(_SCP_LIKE.match(address))


def without_password(url: str) -> str:
    """The URL without user and password, which must not reach an output."""
    parts = urlsplit(url) if "://" in url else None
    if parts is None or "@" not in parts.netloc or parts.scheme == "ssh":
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class _OneSource(Settings):
    @property
    def declaration(self) -> dict[str, str]:
        return self.model_dump()

    @property
    def label(self) -> str:
        kind, location = next(iter(self.declaration.items()))
        return f"{kind}:{location}"


class GitSource(_OneSource):
    """A git repository or bundle, with its history."""

    git: Text
    """Path of the repository or bundle, relative to the project root, or a URL."""

    ref: Text
    """Branch, tag or commit that `cortex update` follows; HEAD is the default branch."""

    @field_validator("git")
    @classmethod
    def _safe_address(cls, address: str) -> str:
        scheme = address.partition("://")[0] if "://" in address else None
        if address.startswith("-") or "::" in address.partition("/")[0]:
            raise ValueError(f"{address!r} is neither a path nor a URL of a repository")
        if scheme is not None and scheme not in _SCHEMES:
            raise ValueError(f"{scheme}:// is not one of {', '.join(_SCHEMES)}")
        return address

    @field_validator("ref")
    @classmethod
    def _safe_ref(cls, ref: str) -> str:
        if _REF_FORBIDDEN.search(ref):
            raise ValueError(f"{ref!r} is not a valid name of a branch, tag or commit")
        return ref

    @property
    def declaration(self) -> dict[str, str]:
        return {"git": without_password(self.git), "ref": self.ref}


class DirectorySource(_OneSource):
    """A folder of files without history."""

    directory: Text
    """Path of the folder, relative to the project root."""


class ArchiveSource(_OneSource):
    """A tar (plain, gzip, bzip2, xz) or zip archive."""

    archive: Text
    """Path of the archive, relative to the project root."""


class SdistSource(_OneSource):
    """A source distribution from the package index that pip is configured for."""

    pypi: Text
    """Package and version, ``name==version``; ``name==latest`` or ``name`` for the newest."""

    @field_validator("pypi")
    @classmethod
    def _exact(cls, text: str) -> str:
        name, equals, version = text.partition("==")
        try:
            plain = str(Requirement(name)) == name
            if equals and version != "latest":
                Version(version)
        except (InvalidRequirement, InvalidVersion):
            plain = False
        if not plain:
            raise ValueError(f"{text!r} must be name==version, name==latest or name")
        return text

    @property
    def name(self) -> str:
        return self.pypi.partition("==")[0]

    @property
    def version(self) -> str:
        return self.pypi.partition("==")[2] or "latest"


class NpmSource(_OneSource):
    """A package from the registry that npm is configured for."""

    npm: str = Field(max_length=300)
    """Package and version, ``name@version``; ``name@latest`` or ``name`` for the newest."""

    @field_validator("npm")
    @classmethod
    def _exact(cls, text: str) -> str:
        if not _NPM_PACKAGE.fullmatch(text):
            raise ValueError(f"{text!r} must be name@version (like 1.2.3), name@latest or name")
        return text

    @property
    def name(self) -> str:
        return self.npm[:1] + self.npm[1:].partition("@")[0]

    @property
    def version(self) -> str:
        return self.npm[1:].partition("@")[2] or "latest"


_KINDS = {
    "git": GitSource,
    "directory": DirectorySource,
    "archive": ArchiveSource,
    "pypi": SdistSource,
    "npm": NpmSource,
    "dlt": DltSource,
}


def _kind(entry: Any) -> str | None:
    if isinstance(entry, tuple(_KINDS.values())):
        return next(kind for kind, model in _KINDS.items() if isinstance(entry, model))
    kinds = [kind for kind in _KINDS if kind in entry] if isinstance(entry, dict) else []
    return kinds[0] if len(kinds) == 1 else None


Source = Annotated[
    Annotated[GitSource, Tag("git")]
    | Annotated[DirectorySource, Tag("directory")]
    | Annotated[ArchiveSource, Tag("archive")]
    | Annotated[SdistSource, Tag("pypi")]
    | Annotated[NpmSource, Tag("npm")]
    | Annotated[DltSource, Tag("dlt")],
    Discriminator(
        _kind,
        custom_error_type="source_kind",
        custom_error_message="a source takes exactly one of the keys git (with ref), directory, "
        "archive, pypi, npm and dlt (with tables, and sql or rest)",
    ),
]


class ProjectSettings(Settings):
    """One project of params.yaml."""

    sources: list[Source] = Field(min_length=1)
    """Where the project's code comes from; one or more."""

    licence: str | None = None
    """SPDX expression of the project's own code, for files that state no licence."""

    @field_validator("licence")
    @classmethod
    def _check_licence(cls, text: str | None) -> str | None:
        if text is not None and spdx(text) is None:
            raise ValueError(f"{text!r} is not an SPDX expression; for a custom licence use LicenseRef-NAME")
        return text and spdx(text)

    @model_validator(mode="after")
    def _check_unique(self) -> "ProjectSettings":
        for source in self.sources:
            if isinstance(source, DltSource):
                source.require_kinds("issues", "reviews")
        labels = [source.label for source in self.sources]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"the source {', '.join(twice)} is listed twice; remove one")
        return self


Pin = dict[str, Any]
"""Pin of a source in sources.lock, as plain values; see pins.py."""


@dataclass(frozen=True)
class ProjectSource:
    """The sources of a project in params.yaml with their pins, in the same order."""

    settings: ProjectSettings
    pins: tuple[Pin, ...]


def matching_pins(source: ProjectSource, project: str) -> Iterator[tuple[Source, Pin]]:
    declarations = [entry.declaration for entry in source.settings.sources]
    pinned = [
        {key: pin.get(key) for key in declaration} for declaration, pin in zip(declarations, source.pins, strict=False)
    ]
    if declarations != pinned or len(source.pins) != len(declarations):
        raise SourceError(
            f"project {project}: sources.lock has no pins for "
            f"projects.{project}.sources as in params.yaml; run `cortex update {project}`"
        )
    return zip(source.settings.sources, source.pins, strict=True)


def parse_source(text: str, root: Path) -> dict[str, str]:
    """Convert a source given on the command line to an entry of params.yaml.

    Raises:
        SourceError: the text means nothing that can be read.
    """
    if text.startswith("npm:"):
        return {"npm": text.removeprefix("npm:")}
    if text.startswith("pypi:") or "==" in text:
        return {"pypi": text.removeprefix("pypi:")}
    path = root / text
    is_archive = text.lower().endswith(_ARCHIVE_ENDINGS)
    if is_archive and path.is_file():
        return {"archive": text}
    if is_url(text) and not is_archive:
        return {"git": text, "ref": "HEAD"}
    if (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir()) or is_bundle(path):
        return {"git": text, "ref": "HEAD"}
    if path.is_dir():
        return {"directory": text}
    raise SourceError(
        f"cannot identify the source {text!r}: no such repository, folder or archive below the "
        "project root; give a path, the URL of a git repository, or a package as name==version or "
        "npm:name@version; an archive elsewhere must be downloaded first"
    )


def is_bundle(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(15) in (b"# v2 git bundle", b"# v3 git bundle")
