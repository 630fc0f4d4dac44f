"""Packages that a Python project declares for its tests, read from its files without running them.

``setup.py`` is code and is not read; the metadata of a source distribution says the same.
"""

import configparser
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from email.parser import HeaderParser
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_TESTING = ("test", "tests", "testing", "dev")
"""Extras and groups that hold what tests need, by the names that projects give them."""
_LISTS = re.compile(
    r"^(?:requirements|tests?)/(?:requirements[-_.])?(?:tests?|testing|dev|requirements)\.(?:txt|in)$"
    r"|^(?:requirements[-_.])?(?:tests?|testing|dev)?[-_.]?requirements\.(?:txt|in)$"
    r"|^requirements[-_.](?:tests?|testing|dev)\.(?:txt|in)$"
)
_COMMENT = re.compile(r"(?:^|\s)#.*")


def declared_packages(texts: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Requirements (PEP 508) that a project's files declare for it and its tests, and the lines that were skipped."""
    requirements: dict[str, None] = {}
    skipped: dict[str, None] = {}
    own_name = canonicalize_name(project_name(texts) or "")
    for line in _declared(texts):
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            skipped[line] = None
            continue
        if requirement.url or canonicalize_name(requirement.name) == own_name:
            skipped[line] = None
        elif _applies(requirement):
            requirement.marker = None
            requirements[str(requirement)] = None
    return sorted(requirements), sorted(skipped)


def project_name(texts: Mapping[str, str]) -> str | None:
    name = _metadata(texts).get("Name") or _project(texts).get("name")
    return name if isinstance(name, str) else None


def own_metadata(texts: Mapping[str, str]) -> dict[str, str]:
    """Files by which ``importlib.metadata`` finds the project itself, which is not installed.

    Many packages ask for their own version when they are imported.
    """
    name = project_name(texts)
    if not name or not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        return {}
    version = _metadata(texts).get("Version") or _project(texts).get("version")
    if not isinstance(version, str) or not re.fullmatch(r"[A-Za-z0-9.+!_-]+", version):
        version = "0"  # such as one that a tool takes from git
    text = texts.get("PKG-INFO") or f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    folder = f"{canonicalize_name(name).replace('-', '_')}-{version}.dist-info"
    return {f"{folder}/METADATA": text}


def _declared(texts: Mapping[str, str]) -> Iterator[str]:
    yield from _metadata(texts).get_all("Requires-Dist", [])
    project = _project(texts)
    yield from _strings(project.get("dependencies"))
    extras = _table(project.get("optional-dependencies"))
    for name in _TESTING:
        yield from _strings(extras.get(name))
    yield from _groups(_table(_pyproject(texts).get("dependency-groups")))
    yield from _setup_cfg(texts.get("setup.cfg", ""))
    for path in sorted(texts):
        if _LISTS.match(path):
            yield from _lines(texts[path].splitlines())


def _groups(groups: Mapping[str, Any]) -> Iterator[str]:
    waiting = [name for name in _TESTING if name in groups]
    visited: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in visited:
            continue
        visited.add(name)
        entries = groups.get(name)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, str):
                yield entry
            elif isinstance(entry, dict) and isinstance(entry.get("include-group"), str):
                waiting.append(entry["include-group"])


def _setup_cfg(text: str) -> Iterator[str]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except (configparser.Error, ValueError):
        return
    yield from _lines(parser.get("options", "install_requires", fallback="").splitlines())
    yield from _lines(parser.get("options", "tests_require", fallback="").splitlines())
    for name in _TESTING:
        extra_requirements = parser.get("options.extras_require", name, fallback="")
        yield from _lines(extra_requirements.splitlines())


def _lines(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        requirement = _COMMENT.sub("", line).strip()
        if requirement and not requirement.startswith("-"):
            yield requirement


def _applies(requirement: Requirement) -> bool:
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *_TESTING))


def _metadata(texts: Mapping[str, str]) -> Any:
    return HeaderParser().parsestr(texts.get("PKG-INFO", ""))


def _project(texts: Mapping[str, str]) -> Mapping[str, Any]:
    return _table(_pyproject(texts).get("project"))


def _pyproject(texts: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        return tomllib.loads(texts.get("pyproject.toml", ""))
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
