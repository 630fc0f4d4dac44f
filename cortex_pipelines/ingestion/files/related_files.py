"""Pair test files with the files they test, by location and name."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from itertools import takewhile
from pathlib import PurePosixPath

_FAMILIES = {"python": "python", "javascript": "web", "typescript": "web", "java": "java", "go": "go", "rust": "rust"}
# The name of a test without its ending; group 1 is the name of what it tests.
_NAMES = {
    "python": (r"tests?_(.+)", r"(.+)_tests?"),
    "web": (r"(.+)[._-](?:test|spec|tests|specs|unit|e2e)", r"(.+)(?:Test|Spec)", r"test[._-](.+)"),
    "java": (r"(.+?)(?:Tests?|IT|ITCase|TestCase|TestSuite|Spec)", r"Tests?([A-Z].*)"),
    "go": (r"(.+)_test",),
    "rust": (r"(.+)_tests?", r"tests?_(.+)"),
}
_PATTERNS = {family: tuple(map(re.compile, forms)) for family, forms in _NAMES.items()}
_TEST_FOLDERS = frozenset(
    {"test", "tests", "__tests__", "spec", "specs", "testing", "unit", "integration", "unittests", "unit_tests", "e2e"}
    | {"integration_tests"}
)
_SOURCE_FOLDERS = frozenset({"src", "lib", "main", "java", "source", "pkg", "app"})
# Files that stand for their folder.
_FOLDER_FILES = {"python": ("__init__",), "web": ("index",), "java": (), "go": (), "rust": ("mod", "lib")}
_NOT_TESTS = frozenset({"conftest", "__init__", "setup", "fixtures", "helpers", "mod"})


def tested_paths(files: Iterable[tuple[str, str | None]], text_of: Callable[[str], str]) -> dict[str, list[str]]:
    """Files tested by each test file of one source; other files are not among the keys.

    Of several files of the right name the one counts whose folders agree best with the test's;
    between equals the test's own words decide, and if they do not, none is named.
    """
    tests: list[tuple[str, str, str]] = []
    sources: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, language in files:
        family = _FAMILIES.get(language or "")
        if family is None:
            continue
        subject = _subject(path, family)
        if subject is None:
            for name in _candidate_names(path, family):
                sources[family, name].append(path)
        else:
            tests.append((path, family, subject))
    return {
        path: _match_source(path, text_of, sources.get((family, _plain(subject)), []))
        for path, family, subject in tests
    }


def _stem(path: str) -> str:
    name = PurePosixPath(path).name
    return name.removesuffix(".d.ts").rpartition(".")[0] or name


def _subject(path: str, family: str) -> str | None:
    stem, folders = _stem(path), path.split("/")[:-1]
    for form in _PATTERNS[family]:
        match = form.fullmatch(stem)
        if match:
            return match[1]
    if family == "rust" and stem in ("tests", "test") and folders:
        return folders[-1]
    if family in ("web", "rust") and _TEST_FOLDERS & set(folders) and stem not in _NOT_TESTS:
        return stem
    return None


def _candidate_names(path: str, family: str) -> list[str]:
    *folders, _ = path.split("/")
    stem = _stem(path)
    parts = folders if stem in _FOLDER_FILES[family] else [*folders, stem]
    names = ["_".join(parts[-length:]) for length in range(1, min(4, len(parts)) + 1)]
    return [_plain(name) for name in names]


def _plain(name: str) -> str:
    return re.sub(r"[-_. ]+", "_", name).lower().strip("_")


def _match_source(test: str, text_of: Callable[[str], str], candidates: list[str]) -> list[str]:
    if not candidates:
        return []
    ranked = sorted((_nearness(test, path), path) for path in candidates)
    best = [path for nearness, path in ranked if nearness == ranked[-1][0]]
    if len(best) > 1:
        text = text_of(test)
        best = [path for path in best if _mentions(text, path)]
    return best if len(best) == 1 else []


def _nearness(test: str, source: str) -> tuple[int, int, int]:
    """How well folders agree: from the end, then from the start, then by number."""
    test_folders, source_folders = _folders(test), _folders(source)
    ending = _common_prefix_length(test_folders[::-1], source_folders[::-1])
    beginning = _common_prefix_length(test.split("/")[:-1], source.split("/")[:-1])
    return ending, beginning, -len(source_folders)


def _folders(path: str) -> list[str]:
    ignored = _TEST_FOLDERS | _SOURCE_FOLDERS
    return [part for part in path.split("/")[:-1] if part.lower() not in ignored]


def _common_prefix_length(first: list[str], second: list[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def _mentions(text: str, path: str) -> bool:
    parts = [*path.split("/")[-2:-1], _stem(path)]
    return ".".join(parts) in text or "/".join(parts) in text or "::".join(parts) in text


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
    ``dist/types/core/api.d.ts``: the same code again, in forms too different to be found as
    near-duplicates. A script is taken for such a copy if its path ends as that of a script in the
    ``src`` beside it, below nothing else than a folder that compilers write to; and so is all of
    ``dist``, ``umd`` and ``bundles`` beside such a ``src``.
    """
    typed, sources = _sources(paths)
    packages = {package for package, _ in sources}
    return {path for path in paths if packages and _is_copy(path, packages, typed, sources)}


def _sources(paths: Collection[str]) -> tuple[set[tuple[_Folders, str]], set[tuple[_Folders, str]]]:
    typed, sources = set(), set()
    for path in paths:
        if _strip_ending(path, _DECLARED) is None and (stem := _strip_ending(path, _SOURCE_ENDINGS)) is not None:
            *folders, _ = path.split("/")
            for depth in (position for position, folder in enumerate(folders) if folder == _SOURCE):
                source = tuple(folders[:depth]), "/".join(stem.split("/")[depth + 1 :])
                sources.add(source)
                if path.endswith(_TYPED):
                    typed.add(source)
    return typed, sources


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
