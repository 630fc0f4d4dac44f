"""Read services from Docker Compose files."""

import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.resolvers.index import join_path
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.yaml_tree import Yaml

_NAME = re.compile(r"(^|[-._])compose([-._][\w.-]*)?\.ya?ml$|^docker-stack.*\.ya?ml$")
_LISTS = {"ports": "port", "depends_on": "depends-on", "volumes": "volume", "networks": "network",
          "environment": "environment", "expose": "port", "secrets": "secret",
          "links": "depends-on"}  # fmt: skip


def applies_to(file: SourceFile) -> bool:
    return bool(_NAME.search(file.name))


def facts(file: SourceFile) -> Iterator[Fact]:
    """Each service with its image or build context and its dependencies."""
    for document in file.yaml:
        for name, key, service in document.children("services"):
            comment = file.comment_above(key.start_line)
            lines = (key.start_line, service.end_line)
            image = service.scalar("image") or f"build {_context(file, service)}"
            yield Fact(*lines, "deployment", name, "service", image, "compose", comment,
                       "comment" if comment else None)  # fmt: skip
            yield from _properties(file, name, service)


def _context(file: SourceFile, service: Yaml) -> str:
    context = service.scalar("build", "context") or service.scalar("build") or "."
    folder = join_path(file.folder, context)
    return context if folder is None else folder or "."


def _properties(file: SourceFile, name: str, service: Yaml) -> Iterator[Fact]:
    for key, key_node, value in service.entries:
        if key == "image":
            yield _fact(key_node, value, name, "image", value.value)
        elif key == "build":
            yield _fact(key_node, value, name, "built-from", _context(file, service))
        elif key in _LISTS:
            for item in _items(value):
                yield _fact(item, item, name, _LISTS[key], _without_value(key, item.value))
        elif key in ("command", "entrypoint"):
            words = [item.value for item in value.items] or [value.value]
            yield _fact(key_node, value, name, "command", " ".join(words)[:500])


def _items(value: Yaml) -> Iterator[Yaml]:
    if value.is_map:
        for name, key, inner in value.entries:
            yield Yaml(key.start_line, inner.end_line, name)
    for item in value.items:
        if item.is_map:
            parts = [item.scalar("published"), item.scalar("target") or item.scalar("source")]
            text = ":".join(part for part in parts if part)
            yield from [Yaml(item.start_line, item.end_line, text)] if text else []
        elif item.value:
            yield item


def _without_value(key: str, value: str) -> str:
    return value.partition("=")[0] if key == "environment" else value


def _fact(start: Yaml, end: Yaml, name: str, relation: str, value: str) -> Fact:
    return Fact(start.start_line, max(end.end_line, start.start_line), "deployment", name, relation,
                value, "compose")  # fmt: skip
