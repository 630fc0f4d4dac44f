"""Resolve Go imports to packages, which are folders."""

from cortex_pipelines.extraction.architecture.resolvers.index import (
    EXTERNAL,
    INTERNAL,
    STANDARD,
    UNRESOLVED,
    Import,
    ImportTarget,
    SourceIndex,
    joined,
)

LANGUAGES = ("go",)


def resolve(index: SourceIndex, imported: Import) -> list[ImportTarget]:
    """The folder of the package, the module that is required, or the standard library's path."""
    path = imported.module
    names = imported.detail.get("names") or [("", "")]
    local = names[0][1]
    parts = path.split("/")
    for end in range(len(parts), 0, -1):
        package = index.named(imported.path, "go", "/".join(parts[:end]))
        if package is not None:
            folder = joined(package.root, path[len(package.name) + 1 :] or ".")
            known = folder is not None and folder in index.folders
            return [
                ImportTarget(
                    folder or "" if known else path, INTERNAL if known else UNRESOLVED, local
                )
            ]
    if path.startswith("."):
        return [ImportTarget(path, UNRESOLVED, local)]
    if "." not in path.split("/")[0]:
        return [ImportTarget(path, STANDARD, local)]
    return [ImportTarget(_module(index, imported.path, path), EXTERNAL, local)]


def _module(index: SourceIndex, importer: str, path: str) -> str:
    """The required module that holds a package; else the first three parts of its path."""
    own = index.package_of(importer, "go")
    needs = own.detail.get("needs", ()) if own else ()
    fits = [need for need in needs if path == need or path.startswith(need + "/")]
    return max(fits, key=len) if fits else "/".join(path.split("/")[:3])
