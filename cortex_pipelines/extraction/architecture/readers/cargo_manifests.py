"""Read Rust crates from ``Cargo.toml``."""

import tomllib
from collections.abc import Iterator
from typing import Any

from cortex_pipelines.extraction.architecture.facts import Fact, detail
from cortex_pipelines.extraction.architecture.manifest import PackageManifest, manifest_facts
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile


def applies_to(file: SourceFile) -> bool:
    return file.name == "Cargo.toml"


def facts(file: SourceFile) -> Iterator[Fact]:
    """The crate and its dependencies."""
    try:
        data = tomllib.loads(file.text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    name = _table(data, "package").get("name")
    if not isinstance(name, str):
        return
    description = _table(data, "package").get("description")
    dependencies = [
        dependency
        for key in ("dependencies", "build-dependencies", "dev-dependencies")
        for dependency in _table(data, key)
    ]
    paths = [str(_table(data, "lib").get("path") or "")]
    targets = data.get("bin")
    paths += [str(t.get("path") or "") for t in targets or () if isinstance(t, dict)]
    yield from manifest_facts(
        file,
        PackageManifest(
            name,
            "cargo",
            file.line_with(r"^\s*name\s*="),
            description if isinstance(description, str) else "",
            tuple(dependencies),
            detail(roots=[path for path in paths if path]),
        ),
    )


def _table(data: dict[str, Any], key: str) -> dict[str, Any]:
    table = data.get(key)
    return table if isinstance(table, dict) else {}
