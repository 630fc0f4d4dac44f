"""Read Python packages: ``pyproject.toml``, ``setup.cfg``, ``setup.py``, ``requirements*.txt``."""

import configparser
import re
import tomllib
from collections.abc import Iterator
from posixpath import basename

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.manifest import PackageManifest, manifest_facts
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import first_line, keyword, last_line, string_value, strings_in

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_REQUIREMENTS = re.compile(r"(^|[-_.])(requirements|constraints)([-_.].*)?\.txt$|^requirements/")


def applies_to(file: SourceFile) -> bool:
    is_manifest = file.name in ("pyproject.toml", "setup.cfg", "setup.py")
    return is_manifest or bool(_REQUIREMENTS.search(file.name))


def facts(file: SourceFile) -> Iterator[Fact]:
    """The package and its dependencies."""
    if file.name == "setup.py":
        yield from _setup_calls(file)
        return
    if file.name.endswith(".txt"):
        yield from _requirements(file)
        return
    manifest = _pyproject(file) if file.name == "pyproject.toml" else _setup_cfg(file)
    if manifest is not None:
        yield from manifest_facts(file, manifest)


def _requirements(file: SourceFile) -> Iterator[Fact]:
    for number, line in enumerate(file.lines, 1):
        match = _NAME.match(line)
        if match and not line.lstrip().startswith("-"):
            yield Fact(number, number, "service-dependency", "", "depends-on", match[1], "pip")


def _pyproject(file: SourceFile) -> PackageManifest | None:
    try:
        data = tomllib.loads(file.text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    project = _table(data, "project")
    poetry = _table(data, "tool", "poetry")
    name = project.get("name") or poetry.get("name")
    dependencies = [need for need in _list(project.get("dependencies")) if isinstance(need, str)]
    for extra in _table(project, "optional-dependencies").values():
        dependencies += [need for need in _list(extra) if isinstance(need, str)]
    dependencies += [need for need in _table(poetry, "dependencies") if need != "python"]
    if not isinstance(name, str):
        return None
    description = project.get("description") or poetry.get("description")
    line = file.line_with(r"^\s*name\s*=")
    return PackageManifest(name, "pyproject", line, str(description or ""), tuple(map(_package_name, dependencies)))


def _setup_cfg(file: SourceFile) -> PackageManifest | None:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(file.text)
    except (configparser.Error, ValueError):
        return None
    if not parser.has_option("metadata", "name"):
        return None
    requirements = parser.get("options", "install_requires", fallback="").split("\n")
    line = file.line_with(r"^\s*name\s*[=:]")
    description = parser.get("metadata", "description", fallback="")
    names = tuple(_package_name(need) for need in requirements if need.strip())
    return PackageManifest(parser.get("metadata", "name"), "setuptools", line, description, names)


def _setup_calls(file: SourceFile) -> Iterator[Fact]:
    for call in file.nodes("setup"):
        arguments = call.child_by_field_name("arguments")
        name = string_value(keyword(arguments, "name"))
        if name:
            yield Fact(
                first_line(call), last_line(call), "service", name, "rooted-at", file.folder,
                "setuptools", string_value(keyword(arguments, "description")), "manifest",
            )  # fmt: skip
        requirements = keyword(arguments, "install_requires")
        for requirement in strings_in(requirements):
            line = file.line_with(re.escape(requirement), first_line(call))
            yield Fact(line, line, "service-dependency", name or basename(file.folder),
                       "depends-on", _package_name(requirement), "setuptools")  # fmt: skip


def _package_name(requirement: str) -> str:
    match = _NAME.match(requirement)
    return match[1] if match else requirement.strip()


def _table(data: object, *keys: str) -> dict[str, object]:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
