"""Resolve imports to files or packages."""

from collections.abc import Callable, Mapping
from typing import Any

from cortex_pipelines.extraction.architecture.resolvers.compiled import resolve_go, resolve_java, resolve_rust
from cortex_pipelines.extraction.architecture.resolvers.index import ImportTarget, SourceIndex
from cortex_pipelines.extraction.architecture.resolvers.scripts import resolve_javascript, resolve_python

_RESOLVERS: dict[str | None, Callable[[SourceIndex, str, str, Mapping[str, Any]], list[ImportTarget]]] = {
    "go": resolve_go,
    "java": resolve_java,
    "javascript": resolve_javascript,
    "python": resolve_python,
    "rust": resolve_rust,
    "typescript": resolve_javascript,
}


def import_targets(index: SourceIndex, path: str, module: str, detail: Mapping[str, Any]) -> list[ImportTarget]:
    """Targets of an import, each once and in order; empty for an unknown language."""
    resolver = _RESOLVERS.get(index.languages.get(path))
    return list(dict.fromkeys(resolver(index, path, module, detail))) if resolver else []
