"""Resolve Python imports."""

import sys
from collections.abc import Iterator
from posixpath import dirname, join

from cortex_pipelines.extraction.architecture.resolvers.index import (
    EXTERNAL,
    INTERNAL,
    STANDARD,
    UNRESOLVED,
    Import,
    ImportTarget,
    SourceIndex,
    resolves,
)

_DOCUMENTATION = frozenset({"doc", "docs", "documentation"})


@resolves("python")
def resolve_python(index: SourceIndex, imported: Import) -> list[ImportTarget]:
    """Imported modules: by path within the source, else by top-level package name."""
    names: list[tuple[str, str]] = [(n, local) for n, local in imported.detail.get("names", ())]
    dots = len(imported.module) - len(imported.module.lstrip("."))
    words = [word for word in imported.module[dots:].split(".") if word]
    if dots:
        folder = dirname(imported.path)
        for _ in range(dots - 1):
            if not folder:
                return [ImportTarget(imported.module, UNRESOLVED)]
            folder = dirname(folder)
        return _python_targets(index, folder, words, names) or [ImportTarget(imported.module, UNRESOLVED)]
    for root in _roots(index, imported.path, words[0] if words else ""):
        targets = _python_targets(index, root, words, names)
        if targets:
            return targets
    top = words[0] if words else imported.module
    scope = STANDARD if top in sys.stdlib_module_names else EXTERNAL
    return [ImportTarget(top, scope, local, name) for name, local in names] or [ImportTarget(top, scope)]


def _roots(index: SourceIndex, path: str, top: str) -> Iterator[str]:
    folder = dirname(path)
    in_package = join(folder, "__init__.py") in index.paths
    while join(folder, "__init__.py") in index.paths and folder:
        folder = dirname(folder)
    standard = top in sys.stdlib_module_names
    yield folder
    if standard and not in_package:
        return
    ancestor = folder
    while ancestor:
        ancestor = dirname(ancestor)
        yield from (ancestor, join(ancestor, "src"), join(ancestor, "lib"))
    if not folder:
        yield from ("src", "lib")
    anywhere = [root for root in index.module_roots.get(top, ()) if not _is_documentation(root, path)]
    if len(anywhere) == 1 and not standard:
        yield anywhere[0]


def _is_documentation(root: str, path: str) -> bool:
    """Whether a folder is documentation: Sphinx's stand-ins have the names of what cannot be imported."""
    depth = next((index for index, part in enumerate(root.split("/")) if part in _DOCUMENTATION), None)
    return depth is not None and path.split("/")[: depth + 1] != root.split("/")[: depth + 1]


def _python_targets(index: SourceIndex, root: str, words: list[str], names: list[tuple[str, str]]) -> list[ImportTarget]:
    base = "/".join([part for part in (root, *words) if part])
    module = _module(index, base)
    targets: list[ImportTarget] = []
    for name, local in names:
        inner = _module(index, f"{base}/{name}" if base else name) if name not in ("", "*") else None
        if inner is not None:
            targets.append(ImportTarget(inner, INTERNAL, local))
        elif module is not None:
            targets.append(ImportTarget(module, INTERNAL, local, name))
    if (
        not targets
        and words
        and module is None
        and _module(index, "/".join(filter(None, (root, words[0])))) is not None
    ):
        # the package is here, the module is not: made by a build, or compiled
        return [ImportTarget(".".join(words), UNRESOLVED)]
    return targets


def _module(index: SourceIndex, base: str) -> str | None:
    return index.first(
        (f"{base}/__init__.py", f"{base}.py", f"{base}/__init__.pyi", f"{base}.pyi") if base else ("__init__.py",)
    )
