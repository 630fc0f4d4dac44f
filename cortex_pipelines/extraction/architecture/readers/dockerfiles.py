"""Read images from Dockerfiles."""

import json
import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import Fact, detail
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile

_NAME = re.compile(r"(?i)^(dockerfile|containerfile)([._-].+)?$|\.(dockerfile|containerfile)$")
_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.DOTALL)
_FROM = re.compile(r"(?:--\w+=\S+\s+)*(\S+)(?:\s+[Aa][Ss]\s+(\S+))?")
_COPIED = re.compile(r"--from=(\S+)")
_MAX_HEREDOC = 1_000  # lines
# Folders that name no service.
_PLAIN = frozenset({"src", "app", "docker", "build", "deploy", "image", "images", "container"})
_HEREDOC = re.compile(r"<<-?[\"']?(\w+)[\"']?")
_RELATIONS = {"EXPOSE": "port", "CMD": "command", "ENTRYPOINT": "command", "VOLUME": "volume",
              "HEALTHCHECK": "healthcheck", "USER": "user"}  # fmt: skip


def reads(file: SourceFile) -> bool:
    """Whether the file is one of these, by its name."""
    return bool(_NAME.search(file.name)) and not file.name.endswith((".md", ".py", ".go", ".ts"))


def facts(file: SourceFile) -> Iterator[Fact]:
    """Base image, ports and command of each build stage."""
    stage, number = file.path, 0
    if file.folder:  # what is built on its own is deployed on its own
        names = [part for part in file.folder.split("/") if part not in _PLAIN] or [file.folder]
        yield Fact(1, 1, "service", names[-1], "rooted-at", file.folder, "dockerfile",
                   detail=detail(guessed=True))  # fmt: skip
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
            about = file.comment_above(start)
            yield _fact(start, end, stage, relation, match[1], about)
        elif word == "COPY" and (copied := _COPIED.search(value)):
            source = copied[1]
            yield _fact(start, end, stage, "stage" if source in stages else "image", source, None)
        elif word in _RELATIONS and number:
            for part in _values(word, value):
                yield _fact(start, end, stage, _RELATIONS[word], part, None)
    if first:
        yield _fact(first, last, file.path, "builds", base, file.comment_above(first))


def _fact(start: int, end: int, stage: str, relation: str, value: str, about: str | None) -> Fact:
    return Fact(start, end, "deployment", stage, relation, value[:500], "dockerfile", about,
                "comment" if about else None)  # fmt: skip


def _values(word: str, value: str) -> list[str]:
    if word in ("EXPOSE", "VOLUME") and not value.startswith("["):
        return value.split()
    if value.startswith("["):
        try:
            parts = json.loads(value)
        except (ValueError, RecursionError):
            return [value]
        words = [str(part) for part in parts] if isinstance(parts, list) else [value]
        return words if word in ("EXPOSE", "VOLUME") else [" ".join(words)]
    return [" ".join(value.split())]


def _instructions(lines: list[str]) -> Iterator[tuple[int, int, str, str]]:
    """First and last line, word and value of each instruction, continued lines joined."""
    at = 0
    while at < len(lines):
        start = at
        parts: list[str] = []
        while at < len(lines):
            line = lines[at].rstrip()
            at += 1
            if line.lstrip().startswith("#") or (parts and not line.strip()):
                if not parts:
                    break
                continue
            parts.append(line.removesuffix("\\"))
            if not line.endswith("\\"):
                break
        match = _INSTRUCTION.match(" ".join(parts))
        if match:
            here = _HEREDOC.search(match[2])
            if here:
                stop = next(
                    (
                        n
                        for n in range(at, min(at + _MAX_HEREDOC, len(lines)))
                        if lines[n].strip() == here[1]
                    ),
                    at,
                )
                at = stop + 1 if stop > at else at
            yield start + 1, at, match[1].upper(), match[2].strip()
