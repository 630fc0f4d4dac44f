"""Read CI jobs (GitHub Actions, GitLab, CircleCI, Azure, Travis, Bitbucket) and Terraform blocks."""

import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile, reads
from cortex_pipelines.extraction.architecture.yaml_tree import Yaml

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


@reads(lambda file: file.language == "yaml" and _kind(file.path) is not None)
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


@reads(lambda file: file.name.endswith((".tf", ".tofu")))
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
            written = (description, "summary") if description else (file.comment_above(start), "comment")
            yield Fact(start, number, "deployment", name, kind, source, "terraform", *written)
            start = 0
