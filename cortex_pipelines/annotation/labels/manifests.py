"""Technologies that a project declares: dependencies in manifests, for the files below them.

Nothing of a manifest is run or fetched. One that cannot be read declares nothing.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

import polars as pl

from cortex_pipelines.annotation.labels.technologies import technologies_of_modules

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MAX_CHARS = 1_000_000
# Distributions of Python that are imported under another name.
_IMPORTED_AS = {
    "beautifulsoup4": "bs4",
    "grpcio": "grpc",
    "opencv_python": "cv2",
    "pillow": "PIL",
    "psycopg2_binary": "psycopg2",
    "pycryptodome": "Crypto",
    "pyjwt": "jwt",
    "pynacl": "nacl",
    "python_dateutil": "dateutil",
    "python_jose": "jose",
    "pyyaml": "yaml",
    "scikit_learn": "sklearn",
    "djangorestframework": "rest_framework",
}

Declared = dict[tuple[str, str], frozenset[str]]


def technologies_by_folder(files: pl.DataFrame) -> Declared:
    """Technologies by source and folder of the manifest, the language before the folder.

    Args:
        files: Rows of ``REPOSITORY_FILES``.

    Returns:
        ``(source, "<language>:<folder>")`` to technologies; the root's folder is ``.``.
    """
    found: dict[tuple[str, str], set[str]] = {}
    names = files.select("source", "path", "text").filter(
        pl.col("path").str.contains(_MANIFESTS), pl.col("text").str.len_bytes() <= _MAX_CHARS
    )
    for source, path, text in names.sort("source", "path").iter_rows():
        place = PurePosixPath(path)
        for languages, read in _readers(place.name):
            modules = _read(read, text)
            for language in languages:
                key = (source, f"{language}:{place.parent.as_posix()}")
                found.setdefault(key, set()).update(technologies_of_modules(language, modules))
    return {key: frozenset(technologies) for key, technologies in found.items()}


def declared_for(
    declared: Mapping[tuple[str, str], frozenset[str]], file: tuple[str, str, str]
) -> list[str]:
    """Technologies of the manifest nearest above a file, sorted; none without one.

    Args:
        declared: As ``technologies_by_folder`` gives them.
        file: Source, path and language.
    """
    source, path, language = file
    for folder in PurePosixPath(path).parents:
        found = declared.get((source, f"{language}:{folder.as_posix()}"))
        if found is not None:
            return sorted(found)
    return []


def _read(read: Callable[[str], Iterable[str]], text: str) -> list[str]:
    try:
        return list(read(text))
    # a manifest may hold anything: recursion is what json and tomllib end in when it nests deeply
    except (ValueError, TypeError, AttributeError, RecursionError):
        return []


def _package_json(text: str) -> Iterable[str]:
    manifest = json.loads(text)
    for section in ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies"):
        yield from (str(name) for name in manifest.get(section) or {})


def _requirements(text: str) -> Iterable[str]:
    for line in text.splitlines():
        if not line.lstrip().startswith(("#", "-")):
            yield from _distribution(line)


def _distribution(requirement: str) -> Iterable[str]:
    name = _NAME.match(requirement.strip())
    if name:
        plain = re.sub(r"[-.]+", "_", name[0].lower())
        yield _IMPORTED_AS.get(plain, plain)


def _pyproject(text: str) -> Iterable[str]:
    manifest = tomllib.loads(text)
    project, tool = manifest.get("project", {}), manifest.get("tool", {})
    groups: list[Any] = [project.get("dependencies", [])]
    groups += project.get("optional-dependencies", {}).values()
    groups += manifest.get("dependency-groups", {}).values()
    poetry = tool.get("poetry", {})
    groups += [poetry.get("dependencies", {}), poetry.get("dev-dependencies", {})]
    groups += [one.get("dependencies", {}) for one in poetry.get("group", {}).values()]
    for group in groups:
        for requirement in group:
            if isinstance(requirement, str):
                yield from _distribution(requirement)


def _setup(text: str) -> Iterable[str]:
    for section in re.findall(r"(?:install|tests|setup)_requires\s*=\s*\[(.*?)\]", text, re.DOTALL):
        for requirement in re.findall(r"[\"']([^\"']+)[\"']", section):
            yield from _distribution(requirement)


def _go_mod(text: str) -> Iterable[str]:
    # what only another module needs is no technology of this one
    lines = [line for line in text.splitlines() if "// indirect" not in line]
    form = r"^\s*(?:require\s+)?([\w.-]+\.[\w.-]+/\S+)\s+v\d"
    return re.findall(form, "\n".join(lines), re.MULTILINE)


def _cargo(text: str) -> Iterable[str]:
    manifest = tomllib.loads(text)
    places = [manifest, manifest.get("workspace", {}), *manifest.get("target", {}).values()]
    for place in places:
        for section in ("dependencies", "dev-dependencies", "build-dependencies"):
            yield from (name.replace("-", "_") for name in place.get(section, {}))


def _pom(text: str) -> Iterable[str]:
    # an XML parser would follow what the file tells it to; two tags need none
    return re.findall(r"<groupId>\s*([\w.-]+)\s*</groupId>", text)


def _gradle(text: str) -> Iterable[str]:
    return re.findall(
        r"\b(?:\w*[iI]mplementation|api|compile|\w*[cC]ompileOnly|testImplementation)\b\W*"
        r"[\"']([\w.-]+):",
        text,
    )


_SCRIPTS = ("javascript", "typescript")
_BY_NAME: tuple[tuple[str, tuple[str, ...], Callable[[str], Iterable[str]]], ...] = (
    (r"package\.json", _SCRIPTS, _package_json),
    (r"pyproject\.toml", ("python",), _pyproject),
    (r"requirements[\w.-]*\.(txt|in)", ("python",), _requirements),
    (r"setup\.(py|cfg)", ("python",), _setup),
    (r"go\.mod", ("go",), _go_mod),
    (r"Cargo\.toml", ("rust",), _cargo),
    (r"pom\.xml", ("java",), _pom),
    (r"build\.gradle(\.kts)?", ("java",), _gradle),
)
_MANIFESTS = f"(^|/)({'|'.join(form for form, _, _ in _BY_NAME)})$"


def _readers(name: str) -> list[tuple[tuple[str, ...], Callable[[str], Iterable[str]]]]:
    return [(languages, read) for form, languages, read in _BY_NAME if re.fullmatch(form, name)]
