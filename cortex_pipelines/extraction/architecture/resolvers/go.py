"""Resolve Go imports to packages, which are folders."""

from cortex_pipelines.extraction.architecture.resolvers.index import (
    EXTERNAL,
    INTERNAL,
    STANDARD,
    UNRESOLVED,
    Import,
    ImportTarget,
    SourceIndex,
    join_path,
)

LANGUAGES = ("go",)


def resolve(index: SourceIndex, imported: Import) -> list[ImportTarget]:
    """The folder of the package, the module that is required, or the standard library's path."""
    path = imported.module
    names = imported.detail.get("names") or [("", "")]
    local = names[0][1]
    parts = path.split("/")
    for end in range(len(parts), 0, -1):
        package = index.package_named(imported.path, "go", "/".join(parts[:end]))
        if package is not None:
            folder = join_path(package.root, path[len(package.name) + 1 :] or ".")
            is_folder = folder is not None and folder in index.folders
            return [ImportTarget(folder or "" if is_folder else path, INTERNAL if is_folder else UNRESOLVED, local)]
    if path.startswith("."):
        return [ImportTarget(path, UNRESOLVED, local)]
    if "." not in path.split("/")[0]:
        return [ImportTarget(path, STANDARD, local)]
    return [ImportTarget(_required_module(index, imported.path, path), EXTERNAL, local)]


def _required_module(index: SourceIndex, importer: str, path: str) -> str:
    module = index.package_of(importer, "go")
    dependencies = module.detail.get("needs", ()) if module else ()
    matching = [dependency for dependency in dependencies if path == dependency or path.startswith(dependency + "/")]
    return max(matching, key=len) if matching else "/".join(path.split("/")[:3])
