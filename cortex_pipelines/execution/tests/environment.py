"""The Python that runs a project's tests: this one, or one with the project's own dependencies.

The packages of an environment are pinned by version and hash in a file whose own hash stands in ``params.yaml``, so
what runs is a function of the parameters. It is made once by uv, from wheels alone: building a source distribution
would run code outside of the sandbox. Only the sandbox ever starts its Python.
"""

import configparser
import contextlib
import hashlib
import re
import shutil
import subprocess  # nosec B404
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from cortex_pipelines.atomic import folder_lock, scratch_folder
from cortex_pipelines.augmentation.settings import PinnedEnvironment

_MADE = Path(".cortex") / "environments"
_LAST_WORDS = 600
WHEELS_ONLY = "--no-build"  # option of uv: what comes as a source distribution only is refused


class EnvironmentNotMadeError(ValueError):
    pass


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs tests in the sandbox, and the folder that the sandbox must show in addition."""

    program: Path
    folder: Path | None

    @property
    def readable_paths(self) -> tuple[Path, ...]:
        return () if self.folder is None else (self.folder,)

    @property
    def variables(self) -> dict[str, str]:
        """Plugins of this package's own tests are disabled; those of a pinned environment are loaded."""
        return {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} if self.folder is None else {}


OWN = Interpreter(Path(sys.executable), None)  # the Python that this package runs on


def open_environment(environment: PinnedEnvironment | None, root: Path) -> Interpreter:
    """The Python that runs a project's tests, made on first use; None for this package's own."""
    if environment is None:
        return OWN
    pinned = root / environment.requirements
    content = pinned.read_bytes() if pinned.is_file() else None
    if content is None or hashlib.sha256(content).hexdigest() != environment.sha256:
        problem = "is missing" if content is None else "is another one than was pinned"
        raise EnvironmentNotMadeError(
            f"{environment.requirements} {problem}: restore it, or run "
            "`cortex test-environment PROJECT` again, which pins what it writes"
        )
    version = ".".join(map(str, sys.version_info[:3]))
    folder = root / _MADE / f"{environment.sha256[:16]}-{version}"
    with folder_lock(root / _MADE):
        if not folder.is_dir():
            with scratch_folder(root / _MADE) as scratch:
                run_uv("venv", "--relocatable", "--python", sys.executable, str(scratch / "new"))
                python = str(scratch / "new" / "bin" / "python")
                run_uv("pip", "sync", WHEELS_ONLY, "--require-hashes", "--python", python, str(pinned))
                (scratch / "new").rename(folder)
    return Interpreter(folder / "bin" / "python", folder)


def run_uv(*arguments: str, stdin: str | None = None) -> str:
    bundled = Path(sys.executable).parent / "uv"
    uv = str(bundled) if bundled.exists() else shutil.which("uv")
    if uv is None:
        raise EnvironmentNotMadeError("uv makes environments for tests and is not installed: pip install uv")
    completed = subprocess.run(  # nosec B603
        [uv, "--quiet", *arguments], input=stdin, capture_output=True, text=True, check=False
    )
    if completed.returncode:
        words = completed.stderr.strip()[-_LAST_WORDS:]
        raise EnvironmentNotMadeError(f"`uv {' '.join(arguments[:2])}` failed: {words}")
    return completed.stdout


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
    requirements, skipped = set(), set()
    own_name = canonicalize_name(project_name(texts) or "")
    for line in _declared(texts):
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            skipped.add(line)
            continue
        marker, requirement.marker = requirement.marker, None
        if requirement.url or canonicalize_name(requirement.name) == own_name:
            skipped.add(line)
        elif marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *_TESTING)):
            requirements.add(str(requirement))
    return sorted(requirements), sorted(skipped)


def project_name(texts: Mapping[str, str]) -> str | None:
    name = _metadata(texts).get("Name") or _project(texts).get("name")
    return name if isinstance(name, str) else None


def module_place(path: str, texts: Mapping[str, str]) -> tuple[str, str]:
    """Folder from which a file is imported, and the module's name."""
    folder = PurePosixPath(path).parent
    while str(folder) != "." and f"{folder}/__init__.py" in texts:
        folder = folder.parent
    module = PurePosixPath(path).relative_to(folder).with_suffix("")
    parts = module.parts[:-1] if module.name == "__init__" else module.parts
    return "" if str(folder) == "." else str(folder), ".".join(parts)


def write_project(folder: Path, texts: Mapping[str, str]) -> None:
    """Write a project's files into ``project`` of a sandbox's folder, with the metadata by which it is found."""
    for path, text in {**own_metadata(dict(texts)), **texts}.items():
        if ".." not in PurePosixPath(path).parts:
            target = folder / "project" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())


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
    extras = _table(project.get("optional-dependencies"))
    for value in (project.get("dependencies"), *(extras.get(name) for name in _TESTING)):
        yield from (item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
    groups = _table(_pyproject(texts).get("dependency-groups"))
    waiting = [name for name in _TESTING if name in groups]
    visited: set[str] = set()
    while waiting:
        name = waiting.pop()
        entries = () if name in visited else groups.get(name)
        visited.add(name)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, str):
                yield entry
            elif isinstance(entry, dict) and isinstance(entry.get("include-group"), str):
                waiting.append(entry["include-group"])
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    with contextlib.suppress(configparser.Error, ValueError):
        parser.read_string(texts.get("setup.cfg", ""))
        options = [("options", "install_requires"), ("options", "tests_require")]
        for section, name in (*options, *(("options.extras_require", name) for name in _TESTING)):
            yield from _lines(parser.get(section, name, fallback=""))
    for path in sorted(texts):
        if _LISTS.match(path):
            yield from _lines(texts[path])


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        requirement = _COMMENT.sub("", line).strip()
        if requirement and not requirement.startswith("-"):
            yield requirement


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
