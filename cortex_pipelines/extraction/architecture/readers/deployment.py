"""Read deployment: Dockerfiles, Compose, Kubernetes and Helm, CI jobs of six services, Terraform blocks."""

import json
import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import Fact, detail
from cortex_pipelines.extraction.architecture.resolvers.index import join_path
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile, fact_reader
from cortex_pipelines.extraction.architecture.yaml_tree import Yaml

_COMPOSE_NAME = re.compile(r"(^|[-._])compose([-._][\w.-]*)?\.ya?ml$|^docker-stack.*\.ya?ml$")
_COMPOSE_LISTS = {
    **{"ports": "port", "expose": "port", "depends_on": "depends-on", "links": "depends-on"},
    **{"volumes": "volume", "networks": "network", "environment": "environment", "secrets": "secret"},
}


@fact_reader(lambda file: bool(_COMPOSE_NAME.search(file.name)))
def compose(file: SourceFile) -> Iterator[Fact]:
    for document in file.yaml:
        for name, key, service in document.children("services"):
            lines = (key.start_line, service.end_line)
            image = service.scalar("image") or f"build {_build_context(file, service)}"
            comment = file.comment_above(key.start_line)
            yield Fact(*lines, "deployment", name, "service", image, "compose", comment, "comment")
            yield from _service_properties(file, name, service)


def _build_context(file: SourceFile, service: Yaml) -> str:
    context = service.scalar("build", "context") or service.scalar("build") or "."
    folder = join_path(file.folder, context)
    return context if folder is None else folder or "."


def _service_properties(file: SourceFile, name: str, service: Yaml) -> Iterator[Fact]:
    for key, key_node, value in service.entries:
        lines = (key_node.start_line, max(value.end_line, key_node.start_line))
        if key == "image":
            yield Fact(*lines, "deployment", name, "image", value.value, "compose")
        elif key == "build":
            yield Fact(*lines, "deployment", name, "built-from", _build_context(file, service), "compose")
        elif key in _COMPOSE_LISTS:
            for item in _compose_items(value):
                # only names of environment variables: values may be secret
                text = item.value.partition("=")[0] if key == "environment" else item.value
                lines = (item.start_line, max(item.end_line, item.start_line))
                yield Fact(*lines, "deployment", name, _COMPOSE_LISTS[key], text, "compose")
        elif key in ("command", "entrypoint"):
            command = " ".join([item.value for item in value.items] or [value.value])[:500]
            yield Fact(*lines, "deployment", name, "command", command, "compose")


def _compose_items(value: Yaml) -> Iterator[Yaml]:
    """Scalars of a list or keys of a mapping; for the long syntax, the main field."""
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


_DOCKERFILE = re.compile(r"(?i)^(dockerfile|containerfile)([._-].+)?$|\.(dockerfile|containerfile)$")
_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.DOTALL)
_FROM = re.compile(r"(?:--\w+=\S+\s+)*(\S+)(?:\s+[Aa][Ss]\s+(\S+))?")
_COPY_SOURCE = re.compile(r"--from=(\S+)")
_HEREDOC = re.compile(r"<<-?[\"']?(\w+)[\"']?")
_MAX_HEREDOC = 1_000  # lines
# Folders whose names do not identify a service.
_GENERIC_FOLDERS = frozenset({"src", "app", "docker", "build", "deploy", "image", "images", "container"})
_RELATIONS = {
    **{"EXPOSE": "port", "VOLUME": "volume", "CMD": "command", "ENTRYPOINT": "command"},
    **{"HEALTHCHECK": "healthcheck", "USER": "user"},
}


@fact_reader(lambda file: bool(_DOCKERFILE.search(file.name)) and not file.name.endswith((".md", ".py", ".go", ".ts")))
def dockerfiles(file: SourceFile) -> Iterator[Fact]:
    stage, number = file.path, 0
    if file.folder:  # a folder with its own image is deployed separately
        names = [part for part in file.folder.split("/") if part not in _GENERIC_FOLDERS] or [file.folder]
        guess = detail(guessed=True)
        yield Fact(1, 1, "service", names[-1], "rooted-at", file.folder, "dockerfile", detail=guess)
    stages: set[str] = set()
    first, last, base = 0, 0, ""
    for start, end, word, value in _instructions(file.lines):
        match = _FROM.match(value) if word == "FROM" else None
        last = end
        if match:
            number += 1
            stage = f"{file.path}#{match[2] or number}"
            relation = "stage" if match[1] in stages else "image"
            stages |= {match[2]} if match[2] else set()
            first, base = first or start, match[1]
            yield _image_fact(start, end, stage, relation, match[1], file.comment_above(start))
        elif word == "COPY" and (copied := _COPY_SOURCE.search(value)):
            yield _image_fact(start, end, stage, "stage" if copied[1] in stages else "image", copied[1])
        elif word in _RELATIONS and number:
            for part in _instruction_values(word, value):
                yield _image_fact(start, end, stage, _RELATIONS[word], part)
    if first:
        yield _image_fact(first, last, file.path, "builds", base, file.comment_above(first))


def _image_fact(start: int, end: int, stage: str, relation: str, value: str, comment: str | None = None) -> Fact:
    return Fact(start, end, "deployment", stage, relation, value[:500], "dockerfile", comment, "comment")


def _instruction_values(word: str, value: str) -> list[str]:
    is_list = word in ("EXPOSE", "VOLUME")
    if not value.startswith("["):
        return value.split() if is_list else [" ".join(value.split())]
    try:
        parts = json.loads(value)
    except (ValueError, RecursionError):
        return [value]
    words = [str(part) for part in parts] if isinstance(parts, list) else [value]
    return words if is_list else [" ".join(words)]


def _instructions(lines: list[str]) -> Iterator[tuple[int, int, str, str]]:
    """First and last line, word and value of each instruction, continued lines joined."""
    index = 0
    while index < len(lines):
        start = index
        parts: list[str] = []
        while index < len(lines):
            line = lines[index].rstrip()
            index += 1
            if line.lstrip().startswith("#") or (parts and not line.strip()):
                if not parts:
                    break
                continue
            parts.append(line.removesuffix("\\"))
            if not line.endswith("\\"):
                break
        match = _INSTRUCTION.match(" ".join(parts))
        if match:
            heredoc = _HEREDOC.search(match[2])
            if heredoc:
                ends = range(index, min(index + _MAX_HEREDOC, len(lines)))
                stop = next((number for number in ends if lines[number].strip() == heredoc[1]), index)
                index = stop + 1 if stop > index else index
            yield start + 1, index, match[1].upper(), match[2].strip()


_REQUIRED_KEY = re.compile(r"^[ \t]*[\"']?(apiVersion|kind)[\"']?[ \t]*:", re.MULTILINE)
_POD_SPECS = (("spec",), ("spec", "template", "spec"), ("spec", "jobTemplate", "spec", "template", "spec"))


@fact_reader(
    lambda file: (
        file.language in ("yaml", "json")
        and (file.name == "Chart.yaml" or len(set(_REQUIRED_KEY.findall(file.text))) == 2)
    )
)
def kubernetes(file: SourceFile) -> Iterator[Fact]:
    """Each object with its images, ports and references; a chart with its dependencies."""
    for document in file.yaml:
        if file.name == "Chart.yaml":
            yield from _chart(document)
        else:
            for manifest in document.list("items") if document.scalar("kind") == "List" else [document]:
                yield from _object(file, manifest)


def _object(file: SourceFile, node: Yaml) -> Iterator[Fact]:
    kind, name, version = node.scalar("kind"), node.scalar("metadata", "name"), node.scalar("apiVersion")
    if not kind or not version:
        return
    subject = f"{kind}/{name or '?'}"
    description = node.scalar("metadata", "annotations", "description") or file.comment_above(node.start_line)
    yield Fact(*node.lines, "deployment", subject, "object", version, "kubernetes", description, "comment")
    for spec_path in _POD_SPECS:
        yield from _pod(subject, node.get(*spec_path))
    for port in node.list("spec", "ports"):
        if port.scalar("port"):
            target = port.scalar("targetPort")
            yield _object_fact(port, subject, "port", port.scalar("port") + (f":{target}" if target else ""))
    for label, key, value in node.children("spec", "selector"):
        if value.value:
            lines = (key.start_line, value.end_line)
            yield Fact(*lines, "deployment", subject, "selects", f"{label}={value.value}", "kubernetes")
    for rule in node.list("spec", "rules"):
        for path in rule.list("http", "paths"):
            service = path.scalar("backend", "service", "name") or path.scalar("backend", "serviceName")
            if service:
                backend = f"{rule.scalar('host')}{path.scalar('path') or '/'} -> {service}"
                yield _object_fact(path, subject, "routes-to", backend)


def _pod(subject: str, spec: Yaml | None) -> Iterator[Fact]:
    for container in (*spec.list("containers"), *spec.list("initContainers")) if spec is not None else ():
        image = container.get("image")
        if image is not None and image.value:
            yield _object_fact(image, subject, "image", image.value)
        for port in container.list("ports"):
            number = port.get("containerPort")
            if number is not None:
                yield _object_fact(number, subject, "port", number.value)
        for entry in container.list("env"):
            if entry.scalar("name"):
                yield _object_fact(entry, subject, "environment", entry.scalar("name"))


def _chart(document: Yaml) -> Iterator[Fact]:
    name, version = document.scalar("name"), document.scalar("version")
    if name:
        subject, description = f"Chart/{name}", document.scalar("description")
        yield Fact(*document.lines, "deployment", subject, "object", version, "helm", description, "summary")
        for needed in document.list("dependencies"):
            yield Fact(*needed.lines, "deployment", subject, "depends-on", needed.scalar("name"), "helm")


def _object_fact(node: Yaml, subject: str, relation: str, value: str) -> Fact:
    return Fact(*node.lines, "deployment", subject, relation, value, "kubernetes")


_PATHS = {
    "github-actions": re.compile(r"(^|/)\.(github|gitea|forgejo)/workflows/[^/]+\.ya?ml$"),
    "gitlab-ci": re.compile(r"(^|/)\.gitlab-ci(\.[\w-]+)?\.ya?ml$|(^|/)\.gitlab/ci/.*\.ya?ml$"),
    "circleci": re.compile(r"(^|/)\.circleci/config\.ya?ml$"),
    "azure-pipelines": re.compile(r"(^|/)azure-pipelines[\w.-]*\.ya?ml$"),
    "travis": re.compile(r"(^|/)\.travis\.ya?ml$"),
    "bitbucket": re.compile(r"(^|/)bitbucket-pipelines\.ya?ml$"),
}
# Keys of GitLab's file that are not jobs.
_NOT_JOBS = frozenset(
    {"stages", "variables", "include", "default", "workflow", "image", "services", "cache", "spec"}
    | {"before_script", "after_script", "pages-settings"}
)


def _kind(path: str) -> str | None:
    return next((kind for kind, pattern in _PATHS.items() if pattern.search(path)), None)


@fact_reader(lambda file: file.language == "yaml" and _kind(file.path) is not None)
def ci(file: SourceFile) -> Iterator[Fact]:
    """Triggers, jobs, runners, job dependencies and actions."""
    kind = str(_kind(file.path))
    for document in file.yaml[:1]:
        match kind:
            case "github-actions":
                name = document.scalar("name") or file.name
                # YAML 1.1 reads the key `on` as true; here keys are texts
                for event in document.strings("on"):
                    yield _fact(event, name, "trigger", event.value, kind)
                yield from _jobs(file, name, kind, document.children("jobs"))
            case "gitlab-ci":
                jobs = [e for e in document.entries if e[0] not in _NOT_JOBS and e[2].is_map]
                yield from _jobs(file, file.path, kind, jobs)
            case "circleci":
                yield from _jobs(file, file.path, kind, document.children("jobs"))
            case "azure-pipelines":
                named_jobs = [(j.scalar("job") or "job", j, j) for j in document.list("jobs")]
                yield from _jobs(file, file.path, kind, named_jobs)
            case _:
                yield Fact(1, document.end_line, "deployment", file.path, "job", "build", kind)


def _jobs(file: SourceFile, workflow: str, kind: str, jobs: list[tuple[str, Yaml, Yaml]]) -> Iterator[Fact]:
    for name, key, job in jobs:
        subject, lines = f"{workflow}/{name}", (key.start_line, job.end_line)
        title = job.scalar("name") or job.scalar("stage") or name
        comment = file.comment_above(key.start_line)
        yield Fact(*lines, "deployment", subject, "job", title, kind, comment, "comment")
        executors = [image for item in job.list("docker") if (image := item.get("image")) is not None]
        for relation, nodes in (
            ("runs-on", [*job.strings("runs-on"), *job.strings("image"), *executors]),
            ("needs", [*job.strings("needs"), *job.strings("dependsOn")]),
            ("service", job.strings("services")),
        ):
            for node in nodes:
                yield _fact(node, subject, relation, node.value, kind)
        for step in job.list("steps"):
            if step.scalar("uses"):
                yield _fact(step, subject, "uses", step.scalar("uses"), kind)
            elif step.scalar("run"):
                yield _fact(step, subject, "runs", _first_command(step.scalar("run")), kind)
        for line in job.strings("script"):
            yield _fact(line, subject, "runs", _first_command(line.value), kind)


def _first_command(script: str) -> str:
    return next(filter(None, map(str.strip, script.splitlines())), "")[:200]


def _fact(node: Yaml, subject: str, relation: str, value: str, kind: str) -> Fact:
    return Fact(*node.lines, "deployment", subject, relation, value, kind)


_BLOCK = re.compile(r"^(resource|module|data|provider|variable|output)\s+\"([^\"]+)\"(?:\s+\"([^\"]+)\")?\s*\{")
_SOURCE = re.compile(r"^\s*source\s*=\s*\"([^\"]+)\"")
_DESCRIPTION = re.compile(r"^\s*description\s*=\s*\"([^\"]*)\"")


@fact_reader(lambda file: file.name.endswith((".tf", ".tofu")))
def terraform(file: SourceFile) -> Iterator[Fact]:
    """Each top-level block; it ends at the first closing brace in column one."""
    start, name, kind, source, description = 0, "", "", "", ""
    for number, line in enumerate(file.lines, 1):
        match = _BLOCK.match(line)
        if match:
            start, kind, source, description = number, match[1], match[2], ""
            name = ".".join(part for part in match.groups() if part)
        if start and (attribute := _SOURCE.match(line)) and kind == "module":
            source = attribute[1]
        if start and (attribute := _DESCRIPTION.match(line)):
            description = attribute[1]
        if start and (line.startswith("}") or (match and line.rstrip().endswith("}"))):
            description_and_source = (description, "summary") if description else (file.comment_above(start), "comment")
            yield Fact(start, number, "deployment", name, kind, source, "terraform", *description_and_source)
            start = 0
