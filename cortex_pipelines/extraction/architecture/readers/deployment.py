"""Read deployment: Dockerfiles, Compose, Kubernetes and Helm, CI jobs of GitHub and GitLab."""

import json
import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import GUESSED, Fact
from cortex_pipelines.extraction.architecture.index import join_path
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
        for name, lines, service in document.children("services"):
            context = service.scalar("build", "context") or service.scalar("build") or "."
            folder = join_path(file.folder, context)
            context = context if folder is None else folder or "."
            image, comment = service.scalar("image") or f"build {context}", file.comment_above(lines[0])
            yield Fact(*lines, "deployment", name, "service", image, "compose", comment, "comment")
            for entry, entry_lines, value in service.children():
                if entry == "image":
                    yield Fact(*entry_lines, "deployment", name, "image", value.value, "compose")
                elif entry == "build":
                    yield Fact(*entry_lines, "deployment", name, "built-from", context, "compose")
                elif entry in ("command", "entrypoint"):
                    command = " ".join([item.value for item in value.items] or [value.value])[:500]
                    yield Fact(*entry_lines, "deployment", name, "command", command, "compose")
                for item in _compose_items(value) if entry in _COMPOSE_LISTS else ():
                    # only names of environment variables: values may be secret
                    text = item.value.partition("=")[0] if entry == "environment" else item.value
                    yield Fact(*item.lines, "deployment", name, _COMPOSE_LISTS[entry], text, "compose")


def _compose_items(value: Yaml) -> Iterator[Yaml]:
    """Scalars of a list or keys of a mapping; for the long syntax, the main field."""
    for name, lines, _ in value.children():
        yield Yaml(*lines, name)
    for item in value.items:
        parts = [item.scalar("published"), item.scalar("target") or item.scalar("source")]
        text = ":".join(part for part in parts if part) if item.is_map else item.value
        yield from [Yaml(*item.lines, text)] if text else []


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
    if file.folder:  # a folder with its own image is deployed separately
        names = [part for part in file.folder.split("/") if part not in _GENERIC_FOLDERS] or [file.folder]
        yield Fact(1, 1, "service", names[-1], "rooted-at", file.folder, "dockerfile", detail=GUESSED)
    stage, stages = file.path, list[str]()
    first, last, base = 0, 0, ""
    for first_line, last, word, value in _instructions(file.lines):
        relation, values, comment = _RELATIONS.get(word, ""), list[str](), None
        match = _FROM.match(value) if word == "FROM" else None
        if match:
            relation, values = "stage" if match[1] in stages else "image", [match[1]]
            stages.append(match[2] or "")
            stage = f"{file.path}#{match[2] or len(stages)}"
            first, base = first or first_line, match[1]
            comment = file.comment_above(first_line)
        elif word == "COPY" and (copied := _COPY_SOURCE.search(value)):
            relation, values = "stage" if copied[1] in stages else "image", [copied[1]]
        elif relation and stages:
            values = _instruction_values(word, value)
        for part in values:
            yield Fact(first_line, last, "deployment", stage, relation, part[:500], "dockerfile", comment, "comment")
    if first:
        comment = file.comment_above(first)
        yield Fact(first, last, "deployment", file.path, "builds", base[:500], "dockerfile", comment, "comment")


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
            if line.lstrip().startswith("#") or (parts and not line):
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
        if file.name != "Chart.yaml":
            for manifest in document.list("items") if document.scalar("kind") == "List" else [document]:
                yield from _object(file, manifest)
        elif name := document.scalar("name"):
            chart, version, description = f"Chart/{name}", document.scalar("version"), document.scalar("description")
            yield Fact(*document.lines, "deployment", chart, "object", version, "helm", description, "summary")
            for needed in document.list("dependencies"):
                yield Fact(*needed.lines, "deployment", chart, "depends-on", needed.scalar("name"), "helm")


def _object(file: SourceFile, node: Yaml) -> Iterator[Fact]:
    kind, name, version = node.scalar("kind"), node.scalar("metadata", "name"), node.scalar("apiVersion")
    if not kind or not version:
        return
    subject = f"{kind}/{name or '?'}"
    description = node.scalar("metadata", "annotations", "description") or file.comment_above(node.start_line)
    yield Fact(*node.lines, "deployment", subject, "object", version, "kubernetes", description, "comment")
    shown: list[tuple[Yaml | None, str, str]] = []  # evidence, relation and object
    for path in _POD_SPECS:
        for container in (*node.list(*path, "containers"), *node.list(*path, "initContainers")):
            shown.append((container.get("image"), "image", container.scalar("image")))
            shown += [(p.get("containerPort"), "port", p.scalar("containerPort")) for p in container.list("ports")]
            shown += [(entry, "environment", entry.scalar("name")) for entry in container.list("env")]
    for port in node.list("spec", "ports"):
        number, target = port.scalar("port"), port.scalar("targetPort")
        shown.append((port, "port", f"{number}:{target}" if number and target else number))
    for label, lines, value in node.children("spec", "selector"):
        shown.append((Yaml(*lines), "selects", f"{label}={value.value}" if value.value else ""))
    for rule in node.list("spec", "rules"):
        for route in rule.list("http", "paths"):
            service = route.scalar("backend", "service", "name") or route.scalar("backend", "serviceName")
            backend = f"{rule.scalar('host')}{route.scalar('path') or '/'} -> {service}" if service else ""
            shown.append((route, "routes-to", backend))
    for evidence, relation, text in shown:
        if evidence is not None and text:
            yield Fact(*evidence.lines, "deployment", subject, relation, text, "kubernetes")


_PATHS = {
    "github-actions": re.compile(r"(^|/)\.(github|gitea|forgejo)/workflows/[^/]+\.ya?ml$"),
    "gitlab-ci": re.compile(r"(^|/)\.gitlab-ci(\.[\w-]+)?\.ya?ml$|(^|/)\.gitlab/ci/.*\.ya?ml$"),
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
        workflow, jobs = file.path, document.children("jobs")
        if kind == "github-actions":
            workflow = document.scalar("name") or file.name
            # YAML 1.1 reads the key `on` as true; here keys are texts
            for event in document.strings("on"):
                yield Fact(*event.lines, "deployment", workflow, "trigger", event.value, kind)
        else:
            jobs = [child for child in document.children() if child[0] not in _NOT_JOBS and child[2].is_map]
        for name, lines, job in jobs:
            subject, title = f"{workflow}/{name}", job.scalar("name") or job.scalar("stage") or name
            comment = file.comment_above(lines[0])
            yield Fact(*lines, "deployment", subject, "job", title, kind, comment, "comment")
            for node, relation, value in _job_parts(job):
                yield Fact(*node.lines, "deployment", subject, relation, value, kind)


def _job_parts(job: Yaml) -> Iterator[tuple[Yaml, str, str]]:
    for relation, nodes in (
        ("runs-on", [*job.strings("runs-on"), *job.strings("image")]),
        ("needs", job.strings("needs")),
        ("service", job.strings("services")),
    ):
        for node in nodes:
            yield node, relation, node.value
    steps = [(step, step.scalar("uses"), step.scalar("run")) for step in job.list("steps")]
    for node, action, script in (*steps, *((line, "", line.value) for line in job.strings("script"))):
        if action:
            yield node, "uses", action
        elif script:
            yield node, "runs", next(filter(None, map(str.strip, script.splitlines())), "")[:200]
