"""Compiled copies of a repository's own sources, by location and name."""

from collections.abc import Collection

_SOURCE = "src"
_TYPED = (".ts", ".tsx", ".mts", ".cts")
_SOURCE_ENDINGS = (*_TYPED, ".js", ".mjs", ".cjs", ".jsx", ".coffee")
_DECLARED = (".d.ts", ".d.mts", ".d.cts")
_OUTPUT = (*_DECLARED, ".js", ".mjs", ".cjs")
# Beside src, these hold nothing that anybody wrote; in the others there may be scripts too.
_OUTPUT_FOLDERS = frozenset({"dist", "umd", "bundles"})
_BUILT = _OUTPUT_FOLDERS | {
    *("build", "built", "out", "output", "lib", "libs", "types", "typings"),
    *("cjs", "commonjs", "es", "esm", "es5", "esm5", "es6", "es2015", "esnext", "module", "modules"),
}

_Folders = tuple[str, ...]


def compiled_copies(paths: Collection[str]) -> set[str]:
    """Files that are compiled from others of the same source.

    A package with ``src/core/api.ts`` may ship ``core/api.js``, ``dist/cjs/core/api.js`` and
    ``dist/types/core/api.d.ts``: the same code again, in forms too different to be found as near-duplicates. A script
    is taken for such a copy if its path ends as that of a script in the ``src`` beside it, below nothing else than a
    folder that compilers write to; and so is all of ``dist``, ``umd`` and ``bundles`` beside such a ``src``.
    """
    typed, sources = set[tuple[_Folders, str]](), set[tuple[_Folders, str]]()
    for path in paths:
        if _strip_ending(path, _DECLARED) is None and (stem := _strip_ending(path, _SOURCE_ENDINGS)) is not None:
            *folders, _ = path.split("/")
            for depth in (position for position, folder in enumerate(folders) if folder == _SOURCE):
                source = tuple(folders[:depth]), "/".join(stem.split("/")[depth + 1 :])
                sources.add(source)
                if path.endswith(_TYPED):
                    typed.add(source)
    packages = {package for package, _ in sources}
    return {path for path in paths if packages and _is_copy(path, packages, typed, sources)}


def _is_copy(
    path: str, packages: set[_Folders], typed: set[tuple[_Folders, str]], sources: set[tuple[_Folders, str]]
) -> bool:
    parts = tuple(path.split("/"))
    stem = _strip_ending(path, _OUTPUT)
    for depth in range(len(parts)):
        package = parts[:depth]
        if package not in packages:
            continue
        if len(parts) > depth + 1 and parts[depth] in _OUTPUT_FOLDERS:
            return True
        if stem is None:
            continue
        below = stem.split("/")[depth:]
        if (package, "/".join(below)) in typed:
            return True
        suffixes = ("/".join(below[start:]) for start in range(1, len(below)))
        if below[0] in _BUILT and any((package, suffix) in sources for suffix in suffixes):
            return True
    return False


def _strip_ending(path: str, endings: tuple[str, ...]) -> str | None:
    return next((path.removesuffix(ending) for ending in endings if path.endswith(ending)), None)
