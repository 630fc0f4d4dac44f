"""Resolve imports of Go, Java and Rust."""

from collections.abc import Mapping
from posixpath import basename, dirname, join
from typing import Any

from cortex_pipelines.extraction.architecture.resolvers.index import (
    EXTERNAL,
    INTERNAL,
    STANDARD,
    UNRESOLVED,
    ImportTarget,
    SourceIndex,
    join_path,
    nearest,
)


def resolve_go(index: SourceIndex, importer: str, path: str, detail: Mapping[str, Any]) -> list[ImportTarget]:
    """The folder of the package, the module that is required, or the standard library's path."""
    names = detail.get("names") or [("", "")]
    local = names[0][1]
    parts = path.split("/")
    for end in range(len(parts), 0, -1):
        package = index.package_named(importer, "go", "/".join(parts[:end]))
        if package is not None:
            folder = join_path(package.root, path[len(package.name) + 1 :] or ".")
            is_folder = folder is not None and folder in index.folders
            return [ImportTarget(folder or "" if is_folder else path, INTERNAL if is_folder else UNRESOLVED, local)]
    if path.startswith("."):
        return [ImportTarget(path, UNRESOLVED, local)]
    if "." not in parts[0]:
        return [ImportTarget(path, STANDARD, local)]
    module = index.package_of(importer, "go")
    needed = [need for need in (module.detail["needs"] if module else ()) if f"{path}/".startswith(f"{need}/")]
    return [ImportTarget(max(needed, key=len, default="/".join(parts[:3])), EXTERNAL, local)]


# Packages of the JDK (docs.oracle.com, Java SE 21, all modules); other javax ones are libraries.
_JAVAX = (
    *("accessibility", "annotation.processing", "crypto", "imageio", "lang.model", "management", "naming", "net"),
    *("print", "rmi", "script", "security", "smartcardio", "sound", "sql", "swing", "tools", "transaction.xa"),
    *(f"xml.{name}" for name in ("catalog", "crypto", "datatype", "namespace", "parsers", "stream")),
    *(f"xml.{name}" for name in ("transform", "validation", "xpath")),
)
_JDK = (
    *("java.", "jdk.", "sun.", "com.sun.", "org.w3c.dom.", "org.xml.sax.", "org.ietf.jgss."),
    *(f"javax.{name}." for name in _JAVAX),
)


def resolve_java(index: SourceIndex, importer: str, module: str, _: Mapping[str, Any]) -> list[ImportTarget]:
    """The file of the type, the folder of the package, or the package's name."""
    words = module.split(".")
    for end in range(len(words), 0, -1):
        name = ".".join(words[:end])
        file = nearest(importer, index.java_types.get(name, ()))
        if file is not None:
            return [ImportTarget(file, INTERNAL, words[-1], words[-1])]
        folder = nearest(importer, index.java_packages.get(name, ()))
        if folder is not None and words[end:] == ["*"]:
            return [ImportTarget(folder, INTERNAL)]
    end = next((number for number, word in enumerate(words) if word[:1].isupper() or word == "*"), len(words))
    package = ".".join(words[:end] or words[:1])
    is_standard = package == "javax.xml" or f"{package}.".startswith(_JDK)
    return [ImportTarget(package, STANDARD if is_standard else EXTERNAL)]


_STANDARD = frozenset({"std", "core", "alloc", "proc_macro", "test"})
_ROOTS = frozenset({"lib.rs", "main.rs", "mod.rs", "build.rs"})


def resolve_rust(index: SourceIndex, importer: str, module: str, detail: Mapping[str, Any]) -> list[ImportTarget]:
    """The file of the module, or the crate; nothing for a name of the file itself."""
    words = [word for word in module.split("::") if word and word != "*"]
    if not words:
        return []
    inside = detail.get("inside", ())
    folder = dirname(importer) if basename(importer) in _ROOTS else importer.removesuffix(".rs")
    folder += "".join(f"/{outer}" for outer in inside)
    top, local = words[0], words[-1]
    if top == "crate":
        root = _crate_root(index, importer)
        entry = index.first((join(root, "lib.rs"), join(root, "main.rs"))) or importer
        path = _module_file(index, root, words[1:]) or entry
        return [ImportTarget(path, INTERNAL, local)] if path != importer else []
    if top in ("self", "super") or top.startswith("$"):
        while words and words[0] in ("self", "super"):
            folder = dirname(folder) if words[0] == "super" else folder
            words = words[1:]
        owner = folder.strip("/")  # whose submodules lie in it
        target = _module_file(index, owner, words)
        if target is None and owner and not inside:
            target = index.first((f"{owner}/mod.rs", f"{owner}.rs", f"{owner}/lib.rs", f"{owner}/main.rs"))
        if target is None and module.startswith("self::"):
            return [ImportTarget(module, UNRESOLVED)]
        return [] if target is None or target == importer else [ImportTarget(target, INTERNAL, local)]
    if top in _STANDARD:
        return [ImportTarget(top, STANDARD, local)]
    child = _module_file(index, folder.strip("/"), words)
    if child is not None and not module.startswith("::"):
        return [ImportTarget(child, INTERNAL, local)]
    crate = index.package_named(importer, "cargo", top, top.replace("_", "-"))
    if crate is not None:
        roots = (*crate.detail.get("roots", ()), "src/lib.rs", "src/main.rs")
        entry = index.first(join(crate.root, path) for path in roots) or crate.root
        return [ImportTarget(_module_file(index, join(crate.root, "src"), words[1:]) or entry, INTERNAL, local)]
    # a capital: variants of a type that is defined here
    return [] if top[:1].isupper() else [ImportTarget(top, EXTERNAL, local)]


def _crate_root(index: SourceIndex, path: str) -> str:
    crate = index.package_of(path, "cargo")
    root = crate.root if crate else ""
    relative = path[len(root) :].lstrip("/").split("/")
    if relative[0] in ("tests", "examples", "benches") and len(relative) > 1:
        is_nested = len(relative) > 2 and f"{join(root, *relative[:2])}/main.rs" in index.languages
        return join(root, *relative[: 2 if is_nested else 1])
    if relative[:2] == ["src", "bin"] and len(relative) > 2:
        return join(root, *relative[: 3 if len(relative) > 3 else 2])
    return join(root, "src") if relative[0] == "src" or not crate else root


def _module_file(index: SourceIndex, folder: str, words: list[str]) -> str | None:
    for end in range(len(words), 0, -1):
        base = "/".join([part for part in (folder, *words[:end]) if part])
        file = index.first((f"{base}.rs", f"{base}/mod.rs"))
        if file is not None:
            return file
    return None
