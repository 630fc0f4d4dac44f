"""Facts from a package manifest: the package or service and its dependencies."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile

_MAX_NEEDS = 1000  # each is looked for in the whole manifest


@dataclass(frozen=True)
class PackageManifest:
    """A package as its manifest declares it.

    Args:
        name: Name of the package.
        technology: Format of the manifest.
        line: Line that names it.
        about: Its description; empty if none.
        needs: Names of the packages it depends on.
        detail: What resolving needs, as JSON.
    """

    name: str
    technology: str
    line: int
    about: str
    needs: tuple[str, ...]
    detail: str = ""


def manifest_facts(file: SourceFile, manifest: PackageManifest) -> Iterator[Fact]:
    """Facts for a manifest: its package and each dependency at its line."""
    yield Fact(
        manifest.line, manifest.line, "service", manifest.name, "rooted-at", file.folder,
        manifest.technology, manifest.about or None, "manifest" if manifest.about else None,
        manifest.detail,
    )  # fmt: skip
    for need in islice(dict.fromkeys(manifest.needs), _MAX_NEEDS):
        line = file.line_with(rf"(?<![\w.@/-]){re.escape(need)}(?![\w-])")
        yield Fact(line, line, "service-dependency", manifest.name, "depends-on", need,
                   manifest.technology)  # fmt: skip
