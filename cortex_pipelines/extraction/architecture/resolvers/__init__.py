"""Resolve imports to files or packages, one module per language."""

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from cortex_pipelines.extraction.architecture.resolvers.index import INTERNAL, Import, ImportTarget, SourceIndex


@dataclass(frozen=True)
class ImportResolver:
    """Resolves the imports of one source; ``languages`` by file."""

    index: SourceIndex
    languages: dict[str, str | None]

    def targets(self, path: str, module: str, detail: dict[str, Any]) -> list[ImportTarget]:
        """Targets of an import, each once and in order; empty for an unknown language."""
        resolver = _resolvers().get(self.languages.get(path) or "")
        if resolver is None:
            return []
        targets: list[ImportTarget] = resolver.resolve(self.index, Import(path, module, detail))
        return list(dict.fromkeys(targets))

    def module(self, path: str, module: str) -> str | None:
        """The source file that a module name refers to, or None."""
        targets = self.targets(path, module, {"names": [("", "")]})
        return next((target.object for target in targets if target.scope == INTERNAL), None)


@cache
def _resolvers() -> dict[str, ModuleType]:
    modules = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        loaded = importlib.import_module(f"{__name__}.{module}")
        for language in getattr(loaded, "LANGUAGES", ()):
            modules[language] = loaded
    return modules
