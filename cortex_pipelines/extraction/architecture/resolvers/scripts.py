"""Resolve imports of JavaScript, TypeScript and Python."""

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
    SourcePackage,
    join_path,
    resolves,
)

_ENDINGS = (".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts", ".json",
            ".vue", ".svelte")  # fmt: skip
_SCRIPTS = {".js": (".ts", ".tsx"), ".jsx": (".tsx",), ".mjs": (".mts",), ".cjs": (".cts",)}
# Modules that Node carries (nodejs.org/api), without those that need the prefix ``node:``.
_NODE = frozenset(
    {"assert", "async_hooks", "buffer", "child_process", "cluster", "console", "constants", "crypto", "dgram"}
    | {"diagnostics_channel", "dns", "domain", "events", "fs", "http", "http2", "https", "inspector", "module"}
    | {"net", "os", "path", "perf_hooks", "process", "punycode", "querystring", "readline", "repl", "stream"}
    | {"string_decoder", "sys", "timers", "tls", "trace_events", "tty", "url", "util", "v8", "vm", "wasi"}
    | {"worker_threads", "zlib"}
)


@resolves("javascript", "typescript")
def resolve_javascript(index: SourceIndex, imported: Import) -> list[ImportTarget]:
    """The file of the source, the package by its name, or Node's own module."""
    module = imported.module
    path = _path(index, imported.path, module)
    if path is not None:
        return _targets(path, INTERNAL, imported)
    if module.startswith("."):
        return _targets(module, UNRESOLVED, imported)
    name = module.removeprefix("node:")
    if module != name or name.split("/")[0] in _NODE:
        return _targets(name, STANDARD, imported)
    parts = module.split("/")
    return _targets("/".join(parts[: 2 if module.startswith("@") else 1]), EXTERNAL, imported)


def _targets(target: str, scope: str, imported: Import) -> list[ImportTarget]:
    names = imported.detail.get("names", ())
    return [ImportTarget(target, scope, local, name) for name, local in names] or [ImportTarget(target, scope)]


def _path(index: SourceIndex, importer: str, module: str) -> str | None:
    if module.startswith("."):
        base = join_path(dirname(importer), module)
        return None if base is None else _file(index, base)
    for base in (*_alias_paths(index, importer, module), *_package_files(index, importer, module)):
        file = _file(index, base)
        if file is not None:
            return file
    return None


def _file(index: SourceIndex, base: str) -> str | None:
    stem, dot, ending = base.rpartition(".")
    scripts = _SCRIPTS.get(dot + ending, ())
    inner = f"{base}/index" if base else "index"
    candidates = [stem + script for script in scripts]
    candidates += [start + ending for start in (base, inner) for ending in _ENDINGS]
    return index.first([base, *candidates])


def _alias_paths(index: SourceIndex, importer: str, module: str) -> Iterator[str]:
    folder = dirname(importer)
    while True:
        alias = index.aliases.get(folder)
        if alias is not None:
            base = join_path(folder, alias.get("base") or ".")
            for pattern, targets in alias.get("paths", {}).items():
                star_match = _star_match(pattern, module)
                for target in targets if star_match is not None and base is not None else ():
                    path = join_path(base or "", target.replace("*", star_match or "", 1))
                    yield from [path] if path is not None else []
            if alias.get("base") and base is not None:
                yield join(base, module)
        if not folder:
            return
        folder = dirname(folder)


def _star_match(pattern: str, module: str) -> str | None:
    head, star, tail = pattern.partition("*")
    if not star:
        return "" if module == pattern else None
    if module.startswith(head) and module.endswith(tail) and len(module) >= len(head) + len(tail):
        return module[len(head) : len(module) - len(tail)]
    return None


def _package_files(index: SourceIndex, importer: str, module: str) -> Iterator[str]:
    """Files of other packages of the source, and of this one by a bundler's usual alias."""
    parts = module.split("/")
    for end in range(min(len(parts), 3), 0, -1):
        package = index.package_named(importer, "npm", "/".join(parts[:end]))
        subpath = "/".join(parts[end:])
        if package is not None and not subpath:
            yield from _entries(package)
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


def _entries(package: SourcePackage) -> Iterator[str]:
    for entry in package.detail.get("entry", ()):
        path = join_path(package.root, entry)
        yield from [path] if path else []
    yield join(package.root, "src")
    yield package.root


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


def _python_targets(
    index: SourceIndex, root: str, words: list[str], names: list[tuple[str, str]]
) -> list[ImportTarget]:
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
