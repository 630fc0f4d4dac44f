"""Read annotated Java routes: Spring, JAX-RS, Micronaut."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.annotations import annotations, element, members, texts
from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.route import METHODS, route
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import first_line, head_end, name_of, string_value, text

_SPRING = {"GetMapping": "GET", "PostMapping": "POST", "PutMapping": "PUT",
           "PatchMapping": "PATCH", "DeleteMapping": "DELETE", "RequestMapping": ""}  # fmt: skip
_MICRONAUT = {"Get": "GET", "Post": "POST", "Put": "PUT", "Patch": "PATCH", "Delete": "DELETE"}
# Clients: they declare routes of other services.
_CLIENTS = frozenset({"FeignClient", "Client", "RegisterRestClient", "HttpExchange"})


def applies_to(file: SourceFile) -> bool:
    return file.language == "java"


def facts(file: SourceFile) -> Iterator[Fact]:
    """A route for each annotated method."""
    for node in file.nodes("class"):
        class_annotations = annotations(node)
        if _CLIENTS.intersection(class_annotations):
            continue
        for method in members(node, "method_declaration"):
            yield from _spring(file, node, class_annotations, method)
            yield from _jax(file, node, class_annotations, method)


def _spring(file: SourceFile, node: Node, class_annotations: dict[str, Node], method: Node) -> Iterator[Fact]:
    prefixes = texts(element(class_annotations.get("RequestMapping"), "value", "path")) or [""]
    verbs, technology = _SPRING, "spring"
    if "Controller" in class_annotations and "micronaut" in file.text:
        prefixes = texts(element(class_annotations["Controller"], "value")) or [""]
        verbs, technology = _MICRONAUT, "micronaut"
    method_annotations = annotations(method)
    for name, verb in verbs.items():
        if name not in method_annotations:
            continue
        for path in texts(element(method_annotations[name], "value", "path", "uri")) or [""]:
            for http_method in [verb] if verb else _methods(method_annotations[name]):
                for prefix in prefixes:
                    yield _fact(file, node, method, method_annotations, http_method, f"{prefix}/{path}", technology)


def _methods(annotation: Node) -> list[str]:
    value = text(element(annotation, "method"))
    constants = value.replace("{", " ").replace("}", " ").replace(",", " ").split()
    return [name.rsplit(".", 1)[-1] for name in constants] or ["ANY"]


def _jax(file: SourceFile, node: Node, class_annotations: dict[str, Node], method: Node) -> Iterator[Fact]:
    method_annotations = annotations(method)
    verb = next((name for name in method_annotations if name in METHODS), None)
    if verb is None or ("Path" not in class_annotations and "Path" not in method_annotations):
        return
    prefix = (texts(element(class_annotations.get("Path"), "value")) or [""])[0]
    path = (texts(element(method_annotations.get("Path"), "value")) or [""])[0]
    yield _fact(file, node, method, method_annotations, verb, f"{prefix}/{path}", "jax-rs")


def _fact(
    file: SourceFile,
    node: Node,
    method: Node,
    method_annotations: dict[str, Node],
    verb: str,
    path: str,
    technology: str,
) -> Fact:
    summary = string_value(element(method_annotations.get("Operation"), "summary", "description"))
    description = summary or file.comment_above(first_line(method))
    return route(
        method,
        verb,
        path.rstrip("/") or "/",
        f"{name_of(node)}.{name_of(method)}",
        technology,
        end_line=head_end(method),
        description=description,
        description_source="summary" if summary else "comment",
    )
