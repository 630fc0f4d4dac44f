"""Read packages and services with their dependencies from manifests."""

import configparser
import json
import re
import tomllib
from collections.abc import Iterator
from itertools import islice
from posixpath import basename
from typing import Any

from cortex_pipelines.extraction.architecture.facts import CONFIG, GUESSED, Fact, detail
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile, fact_reader, numbered_matches
from cortex_pipelines.extraction.architecture.syntax import first_line, keyword, lines_of, string_value, strings_in

_MAX_DEPENDENCIES = 1000  # each is searched for in the whole manifest


def _package(
    file: SourceFile, name: str, kind: str, name_line: str, description: object, needs: list[str], details: str = ""
) -> Iterator[Fact]:
    """A package at the first line that matches a pattern, and each dependency at its line."""
    line, summary = file.line_with(name_line), description if isinstance(description, str) else ""
    yield Fact(line, line, "service", name, "rooted-at", file.folder, kind, summary, "manifest", details)
    for need in islice(dict.fromkeys(needs), _MAX_DEPENDENCIES):
        line = file.line_with(rf"(?<![\w.@/-]){re.escape(need)}(?![\w-])")
        yield Fact(line, line, "service-dependency", name, "depends-on", need, kind)


def _toml(file: SourceFile) -> dict[str, Any]:
    try:
        return tomllib.loads(file.text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _table(data: object, *keys: str) -> dict[str, Any]:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


@fact_reader(lambda file: file.name == "Cargo.toml")
def cargo_manifests(file: SourceFile) -> Iterator[Fact]:
    data = _toml(file)
    package, targets = _table(data, "package"), data.get("bin")
    name = package.get("name")
    if not isinstance(name, str):
        return
    keys = ("dependencies", "build-dependencies", "dev-dependencies")
    needs = [need for key in keys for need in _table(data, key)]
    library = _table(data, "lib").get("path", "src/lib.rs")
    paths = [library, *(target.get("path") for target in targets or () if isinstance(target, dict))]
    details = detail(roots=[str(path) for path in paths if path])
    yield from _package(file, name, "cargo", r"^\s*name\s*=", package.get("description"), needs, details)


_GO_MODULE = re.compile(r"\s*module\s+\"?([^\s\"]+)")
_GO_REQUIRE = re.compile(r"\s*(?:require\s+)?\"?([^\s\"()]+)\"?\s+v\d")


@fact_reader(lambda file: file.name == "go.mod")
def go_modules(file: SourceFile) -> Iterator[Fact]:
    """The module and its direct requirements."""
    name, block = "", ""
    for number, line in enumerate(file.lines, 1):
        code, _, remark = line.partition("//")
        words = code.split()
        block = words[0] if words[1:] == ["("] else "" if words == [")"] else block
        if match := _GO_MODULE.match(code):
            name = match[1]
            yield Fact(number, number, "service", name, "rooted-at", file.folder, "go")
        required = block == "require" or words[:1] == ["require"]
        match = _GO_REQUIRE.match(code)
        if required and match and "indirect" not in remark:
            yield Fact(number, number, "service-dependency", name, "depends-on", match[1], "go")


_XML_HIDDEN = re.compile(r"<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<\?.*?(?:\?>|\Z)", re.DOTALL)
_XML_TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]*)((?:[\s/][^<>]*)?)>([^<]*)")
_MAX_DEPTH = 64
_GRADLE_DEPENDENCY = re.compile(
    r"^\s*(?:api|implementation|compile|compileOnly|runtimeOnly|testImplementation|kapt|"
    r"annotationProcessor|developmentOnly|testRuntimeOnly|runtime)\s*\(?\s*"
    r"(?:platform\()?(?:[\"']([\w.-]+):([\w.-]+)|project\(\s*[\"'](:[\w:.-]+))"
)
_GRADLE_NAME = re.compile(r"^\s*rootProject\.name\s*=\s*[\"']([^\"']+)")


@fact_reader(lambda file: file.name == "pom.xml")
def maven_manifests(file: SourceFile) -> Iterator[Fact]:
    """The module and its dependencies as ``group:artifact``."""
    name, description, name_line = "", "", 1
    dependencies: list[tuple[int, int, str]] = []
    group, artifact, start = "", "", 1
    for path, line, value in _xml_elements(file.text):
        if path == "project/artifactId":
            name, name_line = value, line
        elif path == "project/description":
            description = " ".join(value.split())
        elif path.endswith("dependencies/dependency"):
            group, artifact, start = "", "", line
        elif path.endswith("dependencies/dependency/groupId"):
            group = value
        elif path.endswith("dependencies/dependency/artifactId"):
            artifact = value
        elif path == "project/dependencies/dependency/" and artifact:
            dependencies.append((start, line, f"{group}:{artifact}"))
    if name:
        yield Fact(name_line, name_line, "service", name, "rooted-at", file.folder, "maven", description, "manifest")
    for first, last, dependency in dependencies:
        yield Fact(first, last, "service-dependency", name, "depends-on", dependency, "maven")


def _xml_elements(text: str) -> Iterator[tuple[str, int, str]]:
    """Path, line and text of each element; a path with a slash at its end closes it.

    Read tag by tag: no entity is expanded and nothing is fetched.
    """
    blank = _XML_HIDDEN.sub(lambda match: "\n" * match[0].count("\n"), text)
    path: list[str] = []
    for line, match in numbered_matches(_XML_TAG, blank):
        closing, tag, attributes, value = match.groups()
        if closing:
            if path and path[-1] == tag:
                yield "/".join(path) + "/", line, ""
                path.pop()
        elif len(path) >= _MAX_DEPTH:
            return
        else:
            path.append(tag)
            yield "/".join(path), line, value.strip()
            if attributes.endswith("/"):
                path.pop()


@fact_reader(lambda file: file.name.endswith((".gradle", ".gradle.kts")))
def gradle_manifests(file: SourceFile) -> Iterator[Fact]:
    """The module and its dependencies as ``group:artifact`` or the project's own."""
    name = file.folder.rsplit("/", 1)[-1]
    if file.name.startswith("build.") and name:
        yield Fact(1, 1, "service", name, "rooted-at", file.folder, "gradle", detail=GUESSED)
    for number, line in enumerate(file.lines, 1):
        match = _GRADLE_NAME.match(line)
        if match and file.name.startswith("settings."):
            yield Fact(number, number, "service", match[1], "rooted-at", file.folder, "gradle")
        dependency = _GRADLE_DEPENDENCY.match(line)
        if dependency:
            target = f"{dependency[1]}:{dependency[2]}" if dependency[1] else dependency[3].rsplit(":", 1)[-1]
            yield Fact(number, number, "service-dependency", "", "depends-on", target, "gradle")


_TSCONFIG = re.compile(r"^[tj]sconfig(\.[\w.-]+)?\.json$")
# strings first, so that what looks like a comment in one is left alone
_JSON_COMMENTS = re.compile(r'("(?:\\.|[^"\\\n])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING_COMMA = re.compile(r'("(?:\\.|[^"\\\n])*")|,(?=\s*[}\]])')
_NPM_DEPENDENCIES = ("dependencies", "peerDependencies", "optionalDependencies", "devDependencies")


def _json(file: SourceFile) -> dict[str, Any] | None:
    """The object in a file of JSON with comments and trailing commas; None without one."""
    try:
        plain = _JSON_COMMENTS.sub(lambda match: match[1] or " ", file.text)
        data = json.loads(_TRAILING_COMMA.sub(lambda match: match[1] or "", plain))
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


@fact_reader(lambda file: file.name == "package.json")
def npm_manifests(file: SourceFile) -> Iterator[Fact]:
    data = _json(file)
    if data is None:
        return
    name = data["name"] if _is_text(data.get("name")) else file.folder.rsplit("/", 1)[-1]
    needs = [need for key in _NPM_DEPENDENCIES for need in _table(data, key)]
    entry = [data[key] for key in ("source", "types", "module", "main") if _is_text(data.get(key))]
    imports: dict[str, str] = {}
    for key, target in _table(data, "imports").items():
        path = next(filter(_is_text, target.values() if isinstance(target, dict) else [target]), None)
        imports |= {key: path} if path else {}
    details = detail(entry=entry, imports=imports)
    if name:
        yield from _package(file, name, "npm", r'^\s*[{]?\s*"name"\s*:', data.get("description"), needs, details)


@fact_reader(lambda file: bool(_TSCONFIG.match(file.name)))
def typescript_aliases(file: SourceFile) -> Iterator[Fact]:
    """The base folder and path aliases of imports."""
    options = _table(_json(file), "compilerOptions")
    base, paths = options.get("baseUrl"), _table(options, "paths")
    aliases = {key: [v for v in value if _is_text(v)] for key, value in paths.items() if isinstance(value, list)}
    if aliases or _is_text(base):
        details = detail(base=base if _is_text(base) else None, paths=aliases)
        yield Fact(1, len(file.lines), CONFIG, file.folder, "aliases", base or "", "typescript", detail=details)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


_REQUIREMENT_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_REQUIREMENTS = re.compile(r"(^|[-_.])(requirements|constraints)([-_.].*)?\.txt$|^requirements/")


@fact_reader(lambda file: bool(_REQUIREMENTS.search(file.name)))
def requirements_files(file: SourceFile) -> Iterator[Fact]:
    for number, line in enumerate(file.lines, 1):
        match = _REQUIREMENT_NAME.match(line)
        if match and not line.lstrip().startswith("-"):
            yield Fact(number, number, "service-dependency", "", "depends-on", match[1], "pip")


@fact_reader(lambda file: file.name == "pyproject.toml")
def pyproject_manifests(file: SourceFile) -> Iterator[Fact]:
    data = _toml(file)
    project, poetry = _table(data, "project"), _table(data, "tool", "poetry")
    lists = [project.get("dependencies"), *_table(project, "optional-dependencies").values()]
    needs = [need for items in lists if isinstance(items, list) for need in items if isinstance(need, str)]
    needs += [need for need in _table(poetry, "dependencies") if need != "python"]
    name = project.get("name") or poetry.get("name")
    if isinstance(name, str):
        description = str(project.get("description") or poetry.get("description") or "")
        names = [_package_name(need) for need in needs]
        yield from _package(file, name, "pyproject", r"^\s*name\s*=", description, names)


@fact_reader(lambda file: file.name == "setup.cfg")
def setup_cfg_manifests(file: SourceFile) -> Iterator[Fact]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(file.text)
    except (configparser.Error, ValueError):
        return
    if parser.has_option("metadata", "name"):
        name, description = parser.get("metadata", "name"), parser.get("metadata", "description", fallback="")
        requirements = parser.get("options", "install_requires", fallback="").split("\n")
        needs = [_package_name(need) for need in requirements if need.strip()]
        yield from _package(file, name, "setuptools", r"^\s*name\s*[=:]", description, needs)


@fact_reader(lambda file: file.name == "setup.py")
def python_install_scripts(file: SourceFile) -> Iterator[Fact]:
    for call in file.nodes("setup"):
        arguments = call.child_by_field_name("arguments")
        name, description = (string_value(keyword(arguments, key)) for key in ("name", "description"))
        if name:
            lines = lines_of(call)
            yield Fact(*lines, "service", name, "rooted-at", file.folder, "setuptools", description, "manifest")
        subject = name or basename(file.folder)
        for requirement in strings_in(keyword(arguments, "install_requires")):
            line, need = file.line_with(re.escape(requirement), first_line(call)), _package_name(requirement)
            yield Fact(line, line, "service-dependency", subject, "depends-on", need, "setuptools")


def _package_name(requirement: str) -> str:
    match = _REQUIREMENT_NAME.match(requirement)
    return match[1] if match else requirement.strip()
