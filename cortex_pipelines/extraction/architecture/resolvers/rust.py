"""Resolve Rust's ``mod`` and ``use``."""

from collections.abc import Iterator
from posixpath import basename, dirname, join

from cortex_pipelines.extraction.architecture.resolvers.index import (
    EXTERNAL,
    INTERNAL,
    STANDARD,
    UNRESOLVED,
    Import,
    ImportTarget,
    SourceIndex,
    SourcePackage,
)

LANGUAGES = ("rust",)

_STANDARD = frozenset({"std", "core", "alloc", "proc_macro", "test"})
_ROOTS = frozenset({"lib.rs", "main.rs", "mod.rs", "build.rs"})


def resolve(index: SourceIndex, imported: Import) -> list[ImportTarget]:
    """The file of the module, or the crate; nothing for a name of the file itself."""
    words = [word for word in imported.module.split("::") if word and word != "*"]
    if not words:
        return []
    folder = _folder(imported.path) + "".join(f"/{m}" for m in imported.detail.get("inside", ()))
    top = words[0]
    local = words[-1]
    if top in ("crate", "self", "super") or top.startswith("$"):
        return _relative(index, imported, words, folder, local)
    if top in _STANDARD:
        return [ImportTarget(top, STANDARD, local)]
    child = _file(index, folder.strip("/"), words)
    if child is not None and not imported.module.startswith("::"):
        return [ImportTarget(child, INTERNAL, local)]
    crate = index.package_named(imported.path, "cargo", top, top.replace("_", "-"))
    if crate is not None:
        path = _file(index, join(crate.root, "src"), words[1:]) or _entry(index, crate)
        return [ImportTarget(path or crate.root, INTERNAL, local)]
    if top[:1].isupper():
        return []  # variants of a type that is defined here
    return [ImportTarget(top, EXTERNAL, local)]


def _relative(index: SourceIndex, imported: Import, words: list[str], folder: str, local: str) -> list[ImportTarget]:
    if words[0] == "crate":
        root = _root(index, imported.path)
        entry = index.first((join(root, "lib.rs"), join(root, "main.rs"))) or imported.path
        path = _file(index, root, words[1:]) or entry
        return [ImportTarget(path, INTERNAL, local)] if path != imported.path else []
    while words and words[0] in ("self", "super"):
        folder = dirname(folder) if words[0] == "super" else folder
        words = words[1:]
    target = _file(index, folder.strip("/"), words) if words else None
    if target is None and not imported.detail.get("inside"):
        target = _owner(index, folder.strip("/"))
    if target is None or target == imported.path:
        declared = imported.module.startswith("self::") and target is None
        return [ImportTarget(imported.module, UNRESOLVED)] if declared else []
    return [ImportTarget(target, INTERNAL, local)]


def _folder(path: str) -> str:
    return dirname(path) if basename(path) in _ROOTS else path.removesuffix(".rs")


def _root(index: SourceIndex, path: str) -> str:
    crate = index.package_of(path, "cargo")
    root = crate.root if crate else ""
    relative = path[len(root) :].lstrip("/").split("/")
    if relative[0] in ("tests", "examples", "benches") and len(relative) > 1:
        is_nested = len(relative) > 2 and f"{join(root, *relative[:2])}/main.rs" in index.paths
        return join(root, *relative[: 2 if is_nested else 1])
    if relative[:2] == ["src", "bin"] and len(relative) > 2:
        return join(root, *relative[: 3 if len(relative) > 3 else 2])
    return join(root, "src") if relative[0] == "src" or not crate else root


def _file(index: SourceIndex, folder: str, words: list[str]) -> str | None:
    for end in range(len(words), 0, -1):
        base = "/".join([part for part in (folder, *words[:end]) if part])
        file = index.first((f"{base}.rs", f"{base}/mod.rs"))
        if file is not None:
            return file
    return None


def _owner(index: SourceIndex, folder: str) -> str | None:
    return index.first(_owners(folder)) if folder else None


def _owners(folder: str) -> Iterator[str]:
    yield f"{folder}/mod.rs"
    yield f"{folder}.rs"
    yield f"{folder}/lib.rs"
    yield f"{folder}/main.rs"


def _entry(index: SourceIndex, crate: SourcePackage) -> str | None:
    roots = [join(crate.root, path) for path in crate.detail.get("roots", ())]
    return index.first([*roots, join(crate.root, "src/lib.rs"), join(crate.root, "src/main.rs")])
