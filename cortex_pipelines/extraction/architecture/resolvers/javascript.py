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
    joined,
)

LANGUAGES = ("javascript", "typescript")

_ENDINGS = (".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts", ".json",
            ".vue", ".svelte")  # fmt: skip
_SCRIPTS = {".js": (".ts", ".tsx"), ".jsx": (".tsx",), ".mjs": (".mts",), ".cjs": (".cts",)}
# Modules that Node carries (nodejs.org/api), without those that need the prefix ``node:``.
_NODE = frozenset(
    [
        "assert",
        "async_hooks",
        "buffer",
        "child_process",
        "cluster",
        "console",
        "constants",
        "crypto",
        "dgram",
        "diagnostics_channel",
        "dns",
        "domain",
        "events",
        "fs",
        "http",
        "http2",
        "https",
        "inspector",
        "module",
        "net",
        "os",
        "path",
        "perf_hooks",
        "process",
        "punycode",
        "querystring",
        "readline",
        "repl",
        "stream",
        "string_decoder",
        "sys",
        "timers",
        "tls",
        "trace_events",
        "tty",
        "url",
        "util",
        "v8",
        "vm",
        "wasi",
        "worker_threads",
        "zlib",
    ]
)


def resolve(index: SourceIndex, imported: Import) -> list[ImportTarget]:
    """The file of the source, the package by its name, or Node's own module."""
    module = imported.module
    path = _path(index, imported.path, module)
    if path is not None:
        return _named(path, INTERNAL, imported)
    if module.startswith("."):
        return _named(module, UNRESOLVED, imported)
    name = module.removeprefix("node:")
    if module != name or name.split("/")[0] in _NODE:
        return _named(name, STANDARD, imported)
    parts = module.split("/")
    return _named("/".join(parts[: 2 if module.startswith("@") else 1]), EXTERNAL, imported)


def _named(target: str, scope: str, imported: Import) -> list[ImportTarget]:
    names = imported.detail.get("names", ())
    return [ImportTarget(target, scope, local, name) for name, local in names] or [
        ImportTarget(target, scope)
    ]


def _path(index: SourceIndex, importer: str, module: str) -> str | None:
    if module.startswith("."):
        base = joined(dirname(importer), module)
        return None if base is None else _file(index, base)
    for base in (*_aliased(index, importer, module), *_of_packages(index, importer, module)):
        file = _file(index, base)
        if file is not None:
            return file
    return None


def _file(index: SourceIndex, base: str) -> str | None:
    """The file that a path without extension refers to."""
    stem, dot, ending = base.rpartition(".")
    scripts = _SCRIPTS.get(dot + ending, ())
    inner = f"{base}/index" if base else "index"
    return index.first(
        [
            base,
            *(stem + script for script in scripts),
            *(base + ending for ending in _ENDINGS),
            *(inner + ending for ending in _ENDINGS),
        ]
    )


def _aliased(index: SourceIndex, importer: str, module: str) -> Iterator[str]:
    """Resolve a module by the path aliases of the nearest TypeScript configurations."""
    folder = dirname(importer)
    while True:
        alias = index.aliases.get(folder)
        if alias is not None:
            base = joined(folder, alias.get("base") or ".")
            for pattern, targets in alias.get("paths", {}).items():
                rest = _rest(pattern, module)
                for target in targets if rest is not None and base is not None else ():
                    path = joined(base or "", target.replace("*", rest or "", 1))
                    yield from [path] if path is not None else []
            if alias.get("base") and base is not None:
                yield join(base, module)
        if not folder:
            return
        folder = dirname(folder)


def _rest(pattern: str, module: str) -> str | None:
    """The part of a module name matched by a pattern's star, or None."""
    head, star, tail = pattern.partition("*")
    if not star:
        return "" if module == pattern else None
    if module.startswith(head) and module.endswith(tail) and len(module) >= len(head) + len(tail):
        return module[len(head) : len(module) - len(tail)]
    return None


def _of_packages(index: SourceIndex, importer: str, module: str) -> Iterator[str]:
    """Files of other packages of the source, and of this one by a bundler's usual alias."""
    parts = module.split("/")
    for end in range(min(len(parts), 3), 0, -1):
        package = index.named(importer, "npm", "/".join(parts[:end]))
        rest = "/".join(parts[end:])
        if package is not None and not rest:
            yield from _entries(package)
        elif package is not None:
            yield from (join(package.root, rest), join(package.root, "src", rest))
    own = index.package_of(importer, "npm")
    root = own.root if own else ""
    if module.startswith("#") and own is not None:
        target = own.detail.get("imports", {}).get(module)
        path = joined(root, target) if target else None
        yield from [path] if path else []
    for prefix in ("@/", "~/", "src/"):
        if module.startswith(prefix):
            yield join(root, "src", module[len(prefix) :])
            yield join(root, module[len(prefix) :])


def _entries(package: SourcePackage) -> Iterator[str]:
    for entry in package.detail.get("entry", ()):
        path = joined(package.root, entry)
        yield from [path] if path else []
    yield join(package.root, "src")
    yield package.root
