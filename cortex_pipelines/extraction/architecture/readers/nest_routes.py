"""Read routes declared by decorators: NestJS and similar frameworks."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.decorators import (
    class_decorators,
    decorated_members,
    decorator_arguments,
    decorator_name,
    option,
)
from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.route import route
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import first_line, head_end, name_of, string_value, strings_in

_CONTROLLERS = ("Controller", "JsonController", "RestController")
_VERBS = {"Get": "GET", "Post": "POST", "Put": "PUT", "Patch": "PATCH", "Delete": "DELETE",
          "Head": "HEAD", "Options": "OPTIONS", "All": "ANY", "Sse": "GET"}  # fmt: skip


def applies_to(file: SourceFile) -> bool:
    return file.language in ("typescript", "javascript") and "Controller(" in file.text


def facts(file: SourceFile) -> Iterator[Fact]:
    """A route for each decorated method of a controller."""
    technology = "nestjs" if "@nestjs/" in file.text else None
    for node in file.nodes("class"):
        for decorator in class_decorators(node):
            if decorator_name(decorator) in _CONTROLLERS:
                for prefix in _paths(decorator):
                    yield from _routes(file, node, prefix, technology)


def _routes(file: SourceFile, node: Node, prefix: str, technology: str | None) -> Iterator[Fact]:
    for member, decorators in decorated_members(node):
        for decorator in decorators:
            method = _VERBS.get(decorator_name(decorator))
            for path in _paths(decorator) if method else ():
                start = min([decorator, member], key=first_line)
                yield route(
                    start, str(method), f"{prefix}/{path}".rstrip("/"),
                    f"{name_of(node)}.{name_of(member)}", technology,
                    end_line=head_end(member), description=_summary(decorators) or
                    file.comment_above(min(map(first_line, decorators))),
                    description_source="summary" if _summary(decorators) else "comment",
                )  # fmt: skip


def _paths(decorator: Node) -> list[str]:
    args = decorator_arguments(decorator)
    if not args:
        return [""]
    value = option(args[0], "path") if args[0].type == "object" else args[0]
    return strings_in(value) or [""]


def _summary(decorators: list[Node]) -> str | None:
    for decorator in decorators:
        if decorator_name(decorator) == "ApiOperation":
            args = decorator_arguments(decorator)
            return string_value(option(args[0] if args else None, "summary", "description"))
    return None
