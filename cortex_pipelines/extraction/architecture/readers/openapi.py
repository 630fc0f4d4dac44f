"""Read operations and schemas of OpenAPI and Swagger documents (YAML or JSON)."""

import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.route import METHODS
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.yaml_tree import Yaml

_VERSION_KEY = re.compile(r"^[ \t]*[{]?[ \t]*[\"']?(openapi|swagger)[\"']?[ \t]*:[ \t]*[\"']?[123]\.", re.MULTILINE)


def applies_to(file: SourceFile) -> bool:
    return file.language in ("yaml", "json") and bool(_VERSION_KEY.search(file.text[:4000]))


def facts(file: SourceFile) -> Iterator[Fact]:
    """The API, its operations and their schemas."""
    for document in file.yaml[:1]:
        title = document.scalar("info", "title") or file.name
        description = document.scalar("info", "description") or None
        yield Fact(1, document.end_line, "api", title, "api", document.scalar("info", "version"),
                   "openapi", description, "summary" if description else None)  # fmt: skip
        base = document.scalar("basePath").rstrip("/")
        for path, _, operations in document.children("paths"):
            for method, key, operation in operations.entries:
                if method.upper() in METHODS:
                    yield _operation(base + path, method.upper(), key, operation)
        for name, key, schema in (
            *document.children("components", "schemas"), *document.children("definitions")
        ):  # fmt: skip
            yield from _schema(name, key, schema)


def _operation(path: str, method: str, key: Yaml, operation: Yaml) -> Fact:
    description = operation.scalar("summary") or operation.scalar("description") or None
    return Fact(
        key.start_line, operation.end_line, "api", f"{method} {path}", "operation",
        operation.scalar("operationId"), "openapi", description, "summary" if description else None,
    )  # fmt: skip


def _schema(name: str, key: Yaml, schema: Yaml) -> Iterator[Fact]:
    description = schema.scalar("description") or None
    yield Fact(key.start_line, schema.end_line, "api", name, "message", schema.scalar("type"),
               "openapi", description, "summary" if description else None)  # fmt: skip
    for field_name, key_node, value in schema.children("properties"):
        kind = value.scalar("type") or value.scalar("$ref").rsplit("/", 1)[-1]
        declaration = f"{field_name} {kind}".strip()
        yield Fact(key_node.start_line, value.end_line, "api", name, "field", declaration,
                   "openapi")  # fmt: skip
