"""Read images from Dockerfiles."""

import json
import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import Fact, detail
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile

_NAME = re.compile(r"(?i)^(dockerfile|containerfile)([._-].+)?$|\.(dockerfile|containerfile)$")
_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.DOTALL)
_FROM = re.compile(r"(?:--\w+=\S+\s+)*(\S+)(?:\s+[Aa][Ss]\s+(\S+))?")
_COPY_SOURCE = re.compile(r"--from=(\S+)")
_MAX_HEREDOC = 1_000  # lines
# Folders whose names do not identify a service.
_GENERIC_FOLDERS = frozenset({"src", "app", "docker", "build", "deploy", "image", "images", "container"})
_HEREDOC = re.compile(r"<<-?[\"']?(\w+)[\"']?")
_RELATIONS = {"EXPOSE": "port", "CMD": "command", "ENTRYPOINT": "command", "VOLUME": "volume",
              "HEALTHCHECK": "healthcheck", "USER": "user"}  # fmt: skip


def applies_to(file: SourceFile) -> bool:
    return bool(_NAME.search(file.name)) and not file.name.endswith((".md", ".py", ".go", ".ts"))


def facts(file: SourceFile) -> Iterator[Fact]:
    """Base image, ports and command of each build stage."""
    stage, number = file.path, 0
    if file.folder:  # a folder with its own image is deployed separately
        names = [part for part in file.folder.split("/") if part not in _GENERIC_FOLDERS] or [file.folder]
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
            comment = file.comment_above(start)
            yield _fact(start, end, stage, relation, match[1], comment)
        elif word == "COPY" and (copied := _COPY_SOURCE.search(value)):
            source = copied[1]
            yield _fact(start, end, stage, "stage" if source in stages else "image", source, None)
        elif word in _RELATIONS and number:
            for part in _values(word, value):
                yield _fact(start, end, stage, _RELATIONS[word], part, None)
    if first:
        yield _fact(first, last, file.path, "builds", base, file.comment_above(first))


def _fact(start: int, end: int, stage: str, relation: str, value: str, comment: str | None) -> Fact:
    return Fact(start, end, "deployment", stage, relation, value[:500], "dockerfile", comment,
                "comment" if comment else None)  # fmt: skip


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
                stop = next(
                    (n for n in range(index, min(index + _MAX_HEREDOC, len(lines))) if lines[n].strip() == heredoc[1]),
                    index,
                )
                index = stop + 1 if stop > index else index
            yield start + 1, index, match[1].upper(), match[2].strip()
