"""Read Java modules from ``pom.xml`` and Gradle build files.

The XML is read tag by tag: no entity is expanded and nothing is fetched.
"""

import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import Fact, detail
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile

_HIDDEN = re.compile(r"<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<\?.*?(?:\?>|\Z)", re.DOTALL)
_TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]*)((?:[\s/][^<>]*)?)>([^<]*)")
_MAX_DEPTH = 64
_GRADLE_DEPENDENCY = re.compile(
    r"^\s*(?:api|implementation|compile|compileOnly|runtimeOnly|testImplementation|kapt|"
    r"annotationProcessor|developmentOnly|testRuntimeOnly|runtime)\s*\(?\s*"
    r"(?:platform\()?(?:[\"']([\w.-]+):([\w.-]+)|project\(\s*[\"'](:[\w:.-]+))"
)
_GRADLE_NAME = re.compile(r"^\s*rootProject\.name\s*=\s*[\"']([^\"']+)")


def applies_to(file: SourceFile) -> bool:
    gradle = (".gradle", ".gradle.kts")
    return file.name == "pom.xml" or file.name.endswith(gradle)


def facts(file: SourceFile) -> Iterator[Fact]:
    """The module and its dependencies as ``group:artifact``."""
    yield from _pom(file) if file.name == "pom.xml" else _gradle(file)


def _pom(file: SourceFile) -> Iterator[Fact]:
    name, description, name_line = "", "", 1
    dependencies: list[tuple[int, int, str]] = []
    group, artifact, start = "", "", 1
    for path, line, value in _elements(file.text):
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
        yield Fact(name_line, name_line, "service", name, "rooted-at", file.folder, "maven",
                   description or None, "manifest" if description else None)  # fmt: skip
    for first, last, dependency in dependencies:
        yield Fact(first, last, "service-dependency", name, "depends-on", dependency, "maven")


def _elements(text: str) -> Iterator[tuple[str, int, str]]:
    """Path, line and text of each element; a path with a slash at its end closes it."""
    blank = _HIDDEN.sub(lambda match: "\n" * match[0].count("\n"), text)
    path: list[str] = []
    line, offset = 1, 0
    for match in _TAG.finditer(blank):
        line += blank.count("\n", offset, match.start())
        offset = match.start()
        closing, tag, attributes, value = match.groups()
        if closing:
            if path and path[-1] == tag:
                yield "/".join(path) + "/", line, ""
                path.pop()
        else:
            if len(path) >= _MAX_DEPTH:
                return
            path.append(tag)
            yield "/".join(path), line, value.strip()
            if attributes.endswith("/"):
                path.pop()


def _gradle(file: SourceFile) -> Iterator[Fact]:
    name = file.folder.rsplit("/", 1)[-1]
    settings = file.name.startswith("settings.")
    if file.name.startswith("build.") and name:
        yield Fact(1, 1, "service", name, "rooted-at", file.folder, "gradle",
                   detail=detail(guessed=True))  # fmt: skip
    for number, line in enumerate(file.lines, 1):
        match = _GRADLE_NAME.match(line)
        if settings and match:
            yield Fact(number, number, "service", match[1], "rooted-at", file.folder, "gradle")
        dependency = _GRADLE_DEPENDENCY.match(line)
        if dependency:
            target = f"{dependency[1]}:{dependency[2]}" if dependency[1] else dependency[3].rsplit(":", 1)[-1]
            yield Fact(number, number, "service-dependency", "", "depends-on", target, "gradle")
