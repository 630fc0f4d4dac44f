"""Resolve imports to files or packages, in each language."""

import sys
from collections.abc import Callable, Iterator, Mapping
from posixpath import basename, dirname, join
from typing import Any

from cortex_pipelines.extraction.architecture.index import (
    EXTERNAL,
    INTERNAL,
    STANDARD,
    UNRESOLVED,
    ImportTarget,
    SourceIndex,
    SourcePackage,
    join_path,
    nearest,
)


def import_targets(index: SourceIndex, path: str, module: str, detail: Mapping[str, Any]) -> list[ImportTarget]:
    """Targets of an import, each once and in order; empty for an unknown language."""
    resolver = _RESOLVERS.get(index.languages.get(path))
    return list(dict.fromkeys(resolver(index, path, module, detail))) if resolver else []


def _resolve_go(index: SourceIndex, importer: str, path: str, detail: Mapping[str, Any]) -> list[ImportTarget]:
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


def _resolve_java(index: SourceIndex, importer: str, module: str, _: Mapping[str, Any]) -> list[ImportTarget]:
    """The file of the type, the folder of the package, or the package's name."""
    words = module.split(".")
    for end in range(len(words), 0, -1):
        paths = index.java_names.get(".".join(words[:end]), ())
        path = nearest(importer, paths)
        if path is not None:
            tested = path.replace("src/test/", "src/main/")  # the tests of a package are in one of its name
            path = tested if tested in paths else path
            local = words[-1] if words[end - 1] != "*" else ""
            return [ImportTarget(path, INTERNAL, local, local)]
    end = next((number for number, word in enumerate(words) if word[:1].isupper() or word == "*"), len(words))
    package = ".".join(words[:end] or words[:1])
    is_standard = package == "javax.xml" or f"{package}.".startswith(_JDK)
    return [ImportTarget(package, STANDARD if is_standard else EXTERNAL)]


_STANDARD = frozenset({"std", "core", "alloc", "proc_macro", "test"})
_ROOTS = frozenset({"lib.rs", "main.rs", "mod.rs", "build.rs"})


def _resolve_rust(index: SourceIndex, importer: str, module: str, detail: Mapping[str, Any]) -> list[ImportTarget]:
    """The file of the module, or the crate; nothing for a name of the file itself, or a path into an unknown crate."""
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
        roots = (*crate.detail.get("roots", ()), "src/main.rs")
        entry = index.first(join(crate.root, path) for path in roots) or crate.root
        return [ImportTarget(_module_file(index, join(crate.root, "src"), words[1:]) or entry, INTERNAL, local)]
    # a capital: variants of a type that is defined here
    return [] if "path" in detail or top[:1].isupper() else [ImportTarget(top, EXTERNAL, local)]


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


_ENDINGS = (".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts", ".json",
            ".vue", ".svelte")  # fmt: skip
_SCRIPTS = {".js": (".ts", ".tsx", ".d.ts"), ".jsx": (".tsx",), ".mjs": (".mts", ".d.mts"), ".cjs": (".cts", ".d.cts")}
_DECLARATIONS = (".d.ts", ".d.mts", ".d.cts")
_UNTYPED = (".js", ".jsx", ".mjs", ".cjs")
# Modules that Node carries (nodejs.org/api), without those that need the prefix ``node:``.
_NODE = frozenset(
    {"assert", "async_hooks", "buffer", "child_process", "cluster", "console", "constants", "crypto", "dgram"}
    | {"diagnostics_channel", "dns", "domain", "events", "fs", "http", "http2", "https", "inspector", "module"}
    | {"net", "os", "path", "perf_hooks", "process", "punycode", "querystring", "readline", "repl", "stream"}
    | {"string_decoder", "sys", "timers", "tls", "trace_events", "tty", "url", "util", "v8", "vm", "wasi"}
    | {"worker_threads", "zlib"}
)
_DOCUMENTATION = frozenset({"doc", "docs", "documentation"})


def _resolve_script(index: SourceIndex, importer: str, module: str, detail: Mapping[str, Any]) -> list[ImportTarget]:
    """The file of the source, the package by its name, or Node's own module."""
    if module.startswith("."):
        base = join_path(dirname(importer), module)
        bases = [] if base is None else [*_package_entries(index.package_at(base, "npm")), base]
    else:
        bases = [*_alias_paths(index, importer, module), *_package_files(index, importer, module)]
    candidates: list[str] = []
    is_untyped = importer.endswith(_UNTYPED)  # such a file imports what runs; others what declares the types
    for base in bases:
        stem, dot, ending = base.rpartition(".")
        starts = (base, f"{base}/index" if base else "index")
        scripts = [stem + script for script in _SCRIPTS.get(dot + ending, ())]
        candidates += [base, *scripts] if is_untyped else [*scripts, base]
        candidates += [start + ending for start in starts for ending in _ENDINGS]
    if is_untyped:
        candidates.sort(key=lambda path: path.endswith(_DECLARATIONS))
    target = index.first(candidates)
    name = module.removeprefix("node:")
    if target is not None:
        scope = INTERNAL
    elif module.startswith("."):
        target, scope = module, UNRESOLVED
    elif module != name or name.split("/")[0] in _NODE:
        target, scope = name, STANDARD
    else:
        target, scope = "/".join(module.split("/")[: 2 if module.startswith("@") else 1]), EXTERNAL
    names = detail.get("names") or [("", "")]
    return [ImportTarget(target, scope, local, name) for name, local in names]


def _alias_paths(index: SourceIndex, importer: str, module: str) -> Iterator[str]:
    folder, inner = dirname(importer), None
    while folder != inner:
        alias = index.aliases.get(folder, {})
        base = join_path(folder, alias.get("base") or ".")
        for pattern, targets in alias.get("paths", {}).items() if base is not None else ():
            head, star, tail = pattern.partition("*")
            if star:
                is_match = module.startswith(head) and module.endswith(tail) and len(module) >= len(head + tail)
            else:
                is_match = module == pattern
            for target in targets if is_match else ():
                path = join_path(base or "", target.replace("*", module[len(head) : len(module) - len(tail)], 1))
                yield from [path] if path is not None else []
        if alias.get("base") and base is not None:
            yield join(base, module)
        folder, inner = dirname(folder), folder


def _package_entries(package: SourcePackage | None) -> Iterator[str]:
    if package is not None:
        yield from filter(None, (join_path(package.root, entry) for entry in package.detail.get("entry", ())))


def _package_files(index: SourceIndex, importer: str, module: str) -> Iterator[str]:
    """Files of other packages of the source, and of this one by a bundler's usual alias."""
    parts = module.split("/")
    for end in range(min(len(parts), 3), 0, -1):
        package = index.package_named(importer, "npm", "/".join(parts[:end]))
        subpath = "/".join(parts[end:])
        if package is not None and not subpath:
            yield from (*_package_entries(package), join(package.root, "src"), package.root)
        elif package is not None:
            yield from (join(package.root, subpath), join(package.root, "src", subpath))
    package_here = index.package_of(importer, "npm")
    root = package_here.root if package_here else ""
    if module.startswith("#") and package_here is not None:
        target = package_here.detail.get("imports", {}).get(module)
        path = join_path(root, target) if target else None
        yield from [path] if path else []
    for prefix in ("@/", "~/", "src/"):
        if module.startswith(prefix):
            yield join(root, "src", module[len(prefix) :])
            yield join(root, module[len(prefix) :])


def _resolve_python(index: SourceIndex, importer: str, module: str, detail: Mapping[str, Any]) -> list[ImportTarget]:
    """Imported modules: by path within the source, else by top-level package name."""
    names: list[tuple[str, str]] = [(n, local) for n, local in detail.get("names", ())]
    dots = len(module) - len(module.lstrip("."))
    words = [word for word in module[dots:].split(".") if word]
    if dots:
        folder = dirname(importer)
        for _ in range(dots - 1):
            if not folder:
                return [ImportTarget(module, UNRESOLVED)]
            folder = dirname(folder)
        return _python_targets(index, folder, words, names) or [ImportTarget(module, UNRESOLVED)]
    for root in _python_roots(index, importer, words[0] if words else ""):
        targets = _python_targets(index, root, words, names)
        if targets:
            return targets
    top = words[0] if words else module
    scope = STANDARD if top in sys.stdlib_module_names else EXTERNAL
    return [ImportTarget(top, scope, local, name) for name, local in names or [("", "")]]


def _python_roots(index: SourceIndex, path: str, top: str) -> Iterator[str]:
    folder = dirname(path)
    in_package = join(folder, "__init__.py") in index.languages
    while join(folder, "__init__.py") in index.languages and folder:
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
    anywhere = []
    for root in index.module_roots.get(top, ()):
        # another project's documentation: Sphinx's stand-ins have the names of what cannot be imported
        parts = root.split("/")
        depth = next((number for number, part in enumerate(parts, 1) if part in _DOCUMENTATION), 0)
        if path.split("/")[:depth] == parts[:depth]:
            anywhere.append(root)
    if len(anywhere) == 1 and not standard:
        yield anywhere[0]


def _python_targets(
    index: SourceIndex, root: str, words: list[str], names: list[tuple[str, str]]
) -> list[ImportTarget]:
    module = _python_module(index, root, *words)
    targets: list[ImportTarget] = []
    for name, local in names:
        inner = _python_module(index, root, *words, name) if name not in ("", "*") else None
        if inner is not None:
            targets.append(ImportTarget(inner, INTERNAL, local))
        elif module is not None:
            targets.append(ImportTarget(module, INTERNAL, local, name))
    if not targets and words and module is None and _python_module(index, root, words[0]) is not None:
        # the package is here, the module is not: made by a build, or compiled
        return [ImportTarget(".".join(words), UNRESOLVED)]
    return targets


def _python_module(index: SourceIndex, *parts: str) -> str | None:
    base = "/".join(filter(None, parts))
    endings = ("/__init__.py", ".py", "/__init__.pyi", ".pyi")
    return index.first([f"{base}{ending}" for ending in endings] if base else ["__init__.py"])


_RESOLVERS: dict[str | None, Callable[[SourceIndex, str, str, Mapping[str, Any]], list[ImportTarget]]] = {
    "go": _resolve_go,
    "java": _resolve_java,
    "javascript": _resolve_script,
    "python": _resolve_python,
    "rust": _resolve_rust,
    "typescript": _resolve_script,
}
