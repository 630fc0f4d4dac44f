"""Read annotated Java routes: Spring, JAX-RS, Micronaut."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.annotations import (
    annotations,
    element,
    members,
    texts,
)
from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.route import METHODS, route
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import (
    first_line,
    head_end,
    name_of,
    string_value,
    text,
)

_SPRING = {"GetMapping": "GET", "PostMapping": "POST", "PutMapping": "PUT",
           "PatchMapping": "PATCH", "DeleteMapping": "DELETE", "RequestMapping": ""}  # fmt: skip
_MICRONAUT = {"Get": "GET", "Post": "POST", "Put": "PUT", "Patch": "PATCH", "Delete": "DELETE"}
# Declares what is called elsewhere, not what is answered here.
_CLIENTS = frozenset({"FeignClient", "Client", "RegisterRestClient", "HttpExchange"})


def reads(file: SourceFile) -> bool:
    """Whether the file is Java."""
    return file.language == "java"


def facts(file: SourceFile) -> Iterator[Fact]:
    """A route for each annotated method."""
    for node in file.nodes("class"):
        marks = annotations(node)
        if _CLIENTS.intersection(marks):
            continue
        for method in members(node, "method_declaration"):
            yield from _spring(file, node, marks, method)
            yield from _jax(file, node, marks, method)


def _spring(file: SourceFile, node: Node, marks: dict[str, Node], method: Node) -> Iterator[Fact]:
    prefixes = texts(element(marks.get("RequestMapping"), "value", "path")) or [""]
    verbs, technology = _SPRING, "spring"
    if "Controller" in marks and "micronaut" in file.text:
        prefixes = texts(element(marks["Controller"], "value")) or [""]
        verbs, technology = _MICRONAUT, "micronaut"
    own = annotations(method)
    for name, verb in verbs.items():
        if name not in own:
            continue
        for path in texts(element(own[name], "value", "path", "uri")) or [""]:
            for known in [verb] if verb else _methods(own[name]):
                for prefix in prefixes:
                    yield _fact(file, node, method, own, known, f"{prefix}/{path}", technology)


def _methods(annotation: Node) -> list[str]:
    value = text(element(annotation, "method"))
    named = value.replace("{", " ").replace("}", " ").replace(",", " ").split()
    return [name.rsplit(".", 1)[-1] for name in named] or ["ANY"]


def _jax(file: SourceFile, node: Node, marks: dict[str, Node], method: Node) -> Iterator[Fact]:
    own = annotations(method)
    verb = next((name for name in own if name in METHODS), None)
    if verb is None or ("Path" not in marks and "Path" not in own):
        return
    prefix = (texts(element(marks.get("Path"), "value")) or [""])[0]
    path = (texts(element(own.get("Path"), "value")) or [""])[0]
    yield _fact(file, node, method, own, verb, f"{prefix}/{path}", "jax-rs")


def _fact(
    file: SourceFile, node: Node, method: Node, own: dict[str, Node], verb: str, path: str,
    technology: str,
) -> Fact:  # fmt: skip
    summary = string_value(element(own.get("Operation"), "summary", "description"))
    about = summary or file.comment_above(first_line(method))
    return route(
        method, verb, path.rstrip("/") or "/", f"{name_of(node)}.{name_of(method)}", technology,
        end_line=head_end(method), about=about, about_source="summary" if summary else "comment",
    )  # fmt: skip
