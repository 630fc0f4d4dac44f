"""Resolve JavaScript and TypeScript imports."""

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
