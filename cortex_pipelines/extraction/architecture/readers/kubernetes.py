"""Read Kubernetes objects, including Helm charts and templates."""

import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.yaml_tree import Yaml

_REQUIRED_KEY = re.compile(r"^[ \t]*[\"']?(apiVersion|kind)[\"']?[ \t]*:", re.MULTILINE)
_POD_SPECS = (("spec",), ("spec", "template", "spec"),
        ("spec", "jobTemplate", "spec", "template", "spec"))  # fmt: skip


def applies_to(file: SourceFile) -> bool:
    if file.language not in ("yaml", "json"):
        return False
    return file.name == "Chart.yaml" or len(set(_REQUIRED_KEY.findall(file.text))) == 2


def facts(file: SourceFile) -> Iterator[Fact]:
    """Each object with its images, ports and references."""
    for document in file.yaml:
        if file.name == "Chart.yaml":
            yield from _chart(document)
            continue
        objects = document.list("items") if document.scalar("kind") == "List" else [document]
        for manifest in objects:
            yield from _object(file, manifest)


def _object(file: SourceFile, node: Yaml) -> Iterator[Fact]:
    kind, name = node.scalar("kind"), node.scalar("metadata", "name")
    if not kind or not node.scalar("apiVersion"):
        return
    subject = f"{kind}/{name or '?'}"
    description = node.scalar("metadata", "annotations", "description") or file.comment_above(node.start_line)
    yield Fact(node.start_line, node.end_line, "deployment", subject, "object",
               node.scalar("apiVersion"), "kubernetes", description or None,
               "comment" if description else None)  # fmt: skip
    for spec_path in _POD_SPECS:
        yield from _pod(subject, node.get(*spec_path))
    for port in node.list("spec", "ports"):
        if port.scalar("port"):
            target = port.scalar("targetPort")
            port_mapping = port.scalar("port") + (f":{target}" if target else "")
            yield _fact(port, port, subject, "port", port_mapping)
    for label, key, value in node.children("spec", "selector"):
        if value.value:
            yield _fact(key, value, subject, "selects", f"{label}={value.value}")
    yield from _ingress(subject, node)


def _pod(subject: str, spec: Yaml | None) -> Iterator[Fact]:
    if spec is None:
        return
    for container in (*spec.list("containers"), *spec.list("initContainers")):
        image = container.get("image")
        if image is not None and image.value:
            yield _fact(image, image, subject, "image", image.value)
        for port in container.list("ports"):
            number = port.get("containerPort")
            if number is not None:
                yield _fact(number, number, subject, "port", number.value)
        for entry in container.list("env"):
            if entry.scalar("name"):
                yield _fact(entry, entry, subject, "environment", entry.scalar("name"))


def _ingress(subject: str, node: Yaml) -> Iterator[Fact]:
    for rule in node.list("spec", "rules"):
        for path in rule.list("http", "paths"):
            service = path.scalar("backend", "service", "name") or path.scalar("backend", "serviceName")
            if service:
                backend = f"{rule.scalar('host')}{path.scalar('path') or '/'} -> {service}"
                yield _fact(path, path, subject, "routes-to", backend)


def _chart(document: Yaml) -> Iterator[Fact]:
    name = document.scalar("name")
    if not name:
        return
    description = document.scalar("description") or None
    yield Fact(
        document.start_line,
        document.end_line,
        "deployment",
        f"Chart/{name}",
        "object",
        document.scalar("version"),
        "helm",
        description,
        "summary" if description else None,
    )
    for dependency in document.list("dependencies"):
        yield Fact(
            dependency.start_line,
            dependency.end_line,
            "deployment",
            f"Chart/{name}",
            "depends-on",
            dependency.scalar("name"),
            "helm",
        )


def _fact(start: Yaml, end: Yaml, subject: str, relation: str, value: str) -> Fact:
    return Fact(start.start_line, end.end_line, "deployment", subject, relation, value,
                "kubernetes")  # fmt: skip
