"""Resolve imports to files or packages."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cortex_pipelines.extraction.architecture.resolvers.index import (
    INTERNAL,
    RESOLVERS,
    Import,
    ImportTarget,
    Resolver,
    SourceIndex,
)


@dataclass(frozen=True)
class ImportResolver:
    index: SourceIndex
    languages: dict[str, str | None]

    def targets(self, path: str, module: str, detail: Mapping[str, Any]) -> list[ImportTarget]:
        """Targets of an import, each once and in order; empty for an unknown language."""
        resolver = _resolvers().get(self.languages.get(path) or "")
        return list(dict.fromkeys(resolver(self.index, Import(path, module, detail)))) if resolver else []

    def module(self, path: str, module: str) -> str | None:
        """The source file that a module name refers to, or None."""
        targets = self.targets(path, module, {"names": [("", "")]})
        return next((target.object for target in targets if target.scope == INTERNAL), None)


@cache
def _resolvers() -> Mapping[str, Resolver]:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return RESOLVERS
