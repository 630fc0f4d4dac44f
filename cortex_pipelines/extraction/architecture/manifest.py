"""Facts from a package manifest: the package or service and its dependencies."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile

_MAX_DEPENDENCIES = 1000  # each is searched for in the whole manifest


@dataclass(frozen=True)
class PackageManifest:
    name: str
    technology: str
    line: int
    description: str
    dependencies: tuple[str, ...]
    detail: str = ""


def manifest_facts(file: SourceFile, manifest: PackageManifest) -> Iterator[Fact]:
    yield Fact(
        manifest.line,
        manifest.line,
        "service",
        manifest.name,
        "rooted-at",
        file.folder,
        manifest.technology,
        manifest.description or None,
        "manifest" if manifest.description else None,
        manifest.detail,
    )
    for dependency in islice(dict.fromkeys(manifest.dependencies), _MAX_DEPENDENCIES):
        line = file.line_with(rf"(?<![\w.@/-]){re.escape(dependency)}(?![\w-])")
        yield Fact(line, line, "service-dependency", manifest.name, "depends-on", dependency,
                   manifest.technology)  # fmt: skip
