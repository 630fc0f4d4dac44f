"""Read Java: routes of Spring, JAX-RS and Micronaut, entities of JPA and Spring Data."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import METHODS, ColumnDefinition, Fact, route, table_facts
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile, fact_reader
from cortex_pipelines.extraction.architecture.syntax import (
    child,
    child_text,
    first_line,
    head_end,
    lines_of,
    name_of,
    named_children,
    string_or_name,
    string_value,
    text,
)


def _annotations(node: Node) -> dict[str, Node]:
    """Annotations of a declaration by simple name; the first of each."""
    annotations: dict[str, Node] = {}
    for part in node.children:
        for modifier in part.children if part.type == "modifiers" else ():
            if modifier.type in ("annotation", "marker_annotation"):
                annotations.setdefault(name_of(modifier).rsplit(".", 1)[-1], modifier)
    return annotations


def _element(annotation: Node | None, *names: str) -> Node | None:
    """Value of the first element with one of the names; ``value`` also is the only argument."""
    for argument in named_children(child(annotation, "arguments")):
        if argument.type == "element_value_pair":
            if child_text(argument, "key") in names:
                return argument.child_by_field_name("value")
        elif "value" in names and "comment" not in argument.type:
            return argument
    return None


def _texts(annotation: Node | None, *names: str) -> list[str]:
    """Strings of an element: one or several, or names of constants in braces."""
    value = _element(annotation, *names)
    is_array = value is not None and value.type == "element_value_array_initializer"
    parts = named_children(value) if is_array else [value] if value is not None else []
    return [string_or_name(part) for part in parts]


def _members(node: Node, kind: str) -> list[Node]:
    return [member for member in named_children(child(node, "body")) if member.type == kind]


_LINKS = ("ManyToOne", "OneToOne", "OneToMany", "ManyToMany", "DBRef")
_ENTITIES = {
    **{"Entity": "jpa", "MappedSuperclass": "jpa"},
    **{"Document": "spring-data-mongodb", "Table": "spring-data-jdbc"},
}


@fact_reader(lambda file: file.language == "java" and any(f"@{name}" in file.text for name in _ENTITIES))
def java_models(file: SourceFile) -> Iterator[Fact]:
    for node in file.nodes("class"):
        annotations = _annotations(node)
        technology = next((kind for name, kind in _ENTITIES.items() if name in annotations), None)
        if technology is None:
            continue
        table_names = _texts(annotations.get("Table"), "name", "value")
        table_names = table_names or _texts(annotations.get("Document"), "collection", "value")
        model = name_of(node)
        columns = []
        for member in _members(node, "field_declaration"):
            on_member = _annotations(member)
            words = text(next((c for c in member.children if c.type == "modifiers"), None)).split()
            if "static" in words or "transient" in words or "Transient" in on_member:
                continue
            kind = child_text(member, "type")
            column_names = _texts(on_member.get("Column") or on_member.get("JoinColumn"), "name")
            is_link = any(name in on_member for name in _LINKS)
            link = kind.rsplit("<", 1)[-1].split(",")[-1].strip("> ") if is_link else ""
            name = column_names[0] if column_names else name_of(child(member, "declarator"))
            columns.append(ColumnDefinition(name, kind, lines_of(member), link))
        name, comment = next(iter(table_names), "") or model, file.comment_above(first_line(node))
        yield from table_facts(name, "model", technology, lines_of(node), columns, comment, model)


_SPRING = {"GetMapping": "GET", "PostMapping": "POST", "PutMapping": "PUT",
           "PatchMapping": "PATCH", "DeleteMapping": "DELETE", "RequestMapping": ""}  # fmt: skip
_MICRONAUT = {"Get": "GET", "Post": "POST", "Put": "PUT", "Patch": "PATCH", "Delete": "DELETE"}
# Clients: they declare routes of other services.
_CLIENTS = frozenset({"FeignClient", "Client", "RegisterRestClient", "HttpExchange"})


@fact_reader(lambda file: file.language == "java")
def java_routes(file: SourceFile) -> Iterator[Fact]:
    for node in file.nodes("class"):
        class_annotations = _annotations(node)
        if _CLIENTS.intersection(class_annotations):
            continue
        for method in _members(node, "method_declaration"):
            annotations = _annotations(method)
            summary = string_value(_element(annotations.get("Operation"), "summary", "description"))
            lines, handler = (first_line(method), head_end(method)), f"{name_of(node)}.{name_of(method)}"
            for verb, path, technology in _paths(file, class_annotations, annotations):
                path, comment = path.rstrip("/") or "/", file.comment_above(lines[0])
                yield route(lines, verb, path, handler, technology, summary=summary, comment=comment)


def _paths(
    file: SourceFile, class_annotations: dict[str, Node], annotations: dict[str, Node]
) -> Iterator[tuple[str, str, str]]:
    """Method of HTTP, path and framework of each route of a method of a class."""
    prefixes = _texts(class_annotations.get("RequestMapping"), "value", "path") or [""]
    verbs, technology = _SPRING, "spring"
    if "Controller" in class_annotations and "micronaut" in file.text:
        prefixes = _texts(class_annotations["Controller"], "value") or [""]
        verbs, technology = _MICRONAUT, "micronaut"
    for name in [name for name in verbs if name in annotations]:
        constants = re.sub(r"[{},]", " ", text(_element(annotations[name], "method"))).split()
        methods = [constant.rsplit(".", 1)[-1] for constant in constants] or ["ANY"]
        for path in _texts(annotations[name], "value", "path", "uri") or [""]:
            for http_method in [verbs[name]] if verbs[name] else methods:
                for prefix in prefixes:
                    yield http_method, f"{prefix}/{path}", technology
    http_method = next((name for name in annotations if name in METHODS), "")
    if http_method and ("Path" in class_annotations or "Path" in annotations):
        paths = [_texts(names.get("Path"), "value") or [""] for names in (class_annotations, annotations)]
        yield http_method, f"{paths[0][0]}/{paths[1][0]}", "jax-rs"
