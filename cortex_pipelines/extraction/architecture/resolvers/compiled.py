"""Resolve imports of Go, Java and Rust."""

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
    join_path,
    nearest,
    resolves,
)


@resolves("go")
def resolve_go(index: SourceIndex, imported: Import) -> list[ImportTarget]:
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


# Packages of the JDK (docs.oracle.com, Java SE 21, all modules); other javax ones are libraries.
_JDK = ("java", "jdk", "sun", "com.sun", "org.w3c.dom", "org.xml.sax", "org.ietf.jgss")
_JAVAX = frozenset(
    {"accessibility", "annotation.processing", "crypto", "imageio", "lang.model", "management", "naming", "net"}
    | {"print", "rmi", "script", "security", "smartcardio", "sound", "sql", "swing", "tools", "transaction.xa"}
    | {f"xml.{name}" for name in ("catalog", "crypto", "datatype", "namespace", "parsers", "stream")}
    | {f"xml.{name}" for name in ("transform", "validation", "xpath")}
)


@resolves("java")
def resolve_java(index: SourceIndex, imported: Import) -> list[ImportTarget]:
    """The file of the type, the folder of the package, or the package's name."""
    words = imported.module.split(".")
    for end in range(len(words), 0, -1):
        name = ".".join(words[:end])
        file = nearest(imported.path, index.java_types.get(name, ()))
        if file is not None:
            return [ImportTarget(file, INTERNAL, words[-1], words[-1])]
        folder = nearest(imported.path, index.java_packages.get(name, ()))
        if folder is not None and words[end:] == ["*"]:
            return [ImportTarget(folder, INTERNAL)]
    package = _package(words)
    return [ImportTarget(package, STANDARD if _is_standard(package) else EXTERNAL)]


def _package(words: list[str]) -> str:
    end = next((index for index, word in enumerate(words) if word[:1].isupper() or word == "*"), None)
    return ".".join(words[:end] or words[:1])


def _is_standard(package: str) -> bool:
    if package.startswith("javax."):
        subpackage = package.removeprefix("javax.")
        return subpackage == "xml" or any(f"{subpackage}.".startswith(f"{name}.") for name in _JAVAX)
    return any(f"{package}.".startswith(f"{name}.") for name in _JDK)


_STANDARD = frozenset({"std", "core", "alloc", "proc_macro", "test"})
_ROOTS = frozenset({"lib.rs", "main.rs", "mod.rs", "build.rs"})


@resolves("rust")
def resolve_rust(index: SourceIndex, imported: Import) -> list[ImportTarget]:
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
        owner = folder.strip("/")  # whose submodules lie in it
        files = (f"{owner}/mod.rs", f"{owner}.rs", f"{owner}/lib.rs", f"{owner}/main.rs")
        target = index.first(files) if owner else None
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


def _entry(index: SourceIndex, crate: SourcePackage) -> str | None:
    roots = [join(crate.root, path) for path in crate.detail.get("roots", ())]
    return index.first([*roots, join(crate.root, "src/lib.rs"), join(crate.root, "src/main.rs")])
