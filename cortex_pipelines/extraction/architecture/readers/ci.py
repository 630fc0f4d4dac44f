"""Read CI jobs: GitHub Actions, GitLab, CircleCI, Azure, Travis, Bitbucket."""

import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
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
    [
        "stages",
        "variables",
        "include",
        "default",
        "workflow",
        "image",
        "services",
        "cache",
        "before_script",
        "after_script",
        "pages-settings",
        "spec",
    ]
)


def applies_to(file: SourceFile) -> bool:
    return file.language == "yaml" and _kind(file.path) is not None


def facts(file: SourceFile) -> Iterator[Fact]:
    """Triggers, jobs, runners, job dependencies and actions."""
    kind = str(_kind(file.path))
    for document in file.yaml[:1]:
        if kind == "github-actions":
            yield from _github(file, document)
        elif kind == "gitlab-ci":
            jobs = [e for e in document.entries if e[0] not in _NOT_JOBS and e[2].is_map]
            yield from _jobs(file, file.path, kind, jobs)
        elif kind == "circleci":
            yield from _jobs(file, file.path, kind, document.children("jobs"))
        elif kind == "azure-pipelines":
            named_jobs = [(j.scalar("job") or "job", j, j) for j in document.list("jobs")]
            yield from _jobs(file, file.path, kind, named_jobs)
        else:
            yield Fact(1, document.end_line, "deployment", file.path, "job", "build", kind)


def _kind(path: str) -> str | None:
    return next((kind for kind, pattern in _PATHS.items() if pattern.search(path)), None)


def _github(file: SourceFile, document: Yaml) -> Iterator[Fact]:
    name = document.scalar("name") or file.name
    # YAML 1.1 reads the key `on` as true; here keys are texts
    for event in document.strings("on"):
        yield _fact(event, name, "trigger", event.value, "github-actions")
    yield from _jobs(file, name, "github-actions", document.children("jobs"))


def _jobs(file: SourceFile, workflow: str, kind: str, jobs: list[tuple[str, Yaml, Yaml]]) -> Iterator[Fact]:
    for name, key, job in jobs:
        subject = f"{workflow}/{name}"
        comment = file.comment_above(key.start_line)
        title = job.scalar("name") or job.scalar("stage") or name
        yield Fact(key.start_line, job.end_line, "deployment", subject, "job", title, kind, comment,
                   "comment" if comment else None)  # fmt: skip
        for runner in (*job.strings("runs-on"), *job.strings("image"), *_executor(job)):
            yield _fact(runner, subject, "runs-on", runner.value, kind)
        for needed_job in (*job.strings("needs"), *job.strings("dependsOn")):
            yield _fact(needed_job, subject, "needs", needed_job.value, kind)
        for service in job.strings("services"):
            yield _fact(service, subject, "service", service.value, kind)
        for step in job.list("steps"):
            action = step.get("uses")
            if action is not None and action.value:
                yield _fact(step, subject, "uses", action.value, kind)
            elif step.scalar("run"):
                yield _fact(step, subject, "runs", _first(step.scalar("run")), kind)
        for line in (*job.strings("script"),):
            yield _fact(line, subject, "runs", _first(line.value), kind)


def _executor(job: Yaml) -> list[Yaml]:
    return [image for item in job.list("docker") if (image := item.get("image")) is not None]


def _first(command: str) -> str:
    lines = [line.strip() for line in command.splitlines() if line.strip()]
    return (lines[0] if lines else "")[:200]


def _fact(node: Yaml, subject: str, relation: str, value: str, kind: str) -> Fact:
    return Fact(node.start_line, node.end_line, "deployment", subject, relation, value, kind)
