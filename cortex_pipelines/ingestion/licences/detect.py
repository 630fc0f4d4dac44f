"""Detect each file's licence: from its own header, else from the nearest folder above."""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from cortex_pipelines.ingestion.licences.expressions import NOT_UNDERSTOOD, all_of, families, spdx
from cortex_pipelines.ingestion.licences.manifests import declared_licence
from cortex_pipelines.ingestion.licences.texts import licence_of_header, licence_of_text

_TOML, _DEP5 = "REUSE.toml", ".reuse/dep5"
CLOSEST, AGGREGATE, OVERRIDE = "closest", "aggregate", "override"
"""Whether the file's own header, both, or the annotation counts."""

_TOKENS = re.compile(r"\\(.)|(\*\*|\*|\?)|(.)", re.DOTALL)
_ANYTHING, _IN_FOLDER = ".*", "[^/]*"
_OF_TOML = {"**": _ANYTHING, "*": _IN_FOLDER}
_OF_DEP5 = {"**": _ANYTHING, "*": _ANYTHING, "?": "."}
_FIELD = re.compile(r"^(Files|License):[ \t]*(.*(?:\n[ \t]+.*)*)", re.MULTILINE)
_LONGEST = 1_000_000


@dataclass(frozen=True)
class Annotation:
    """A licence for the files below ``folder`` that match a pattern; precedence as REUSE names it."""

    folder: str
    pattern: re.Pattern[str]
    licence: str
    precedence: str

    def applies_to(self, path: str) -> bool:
        below = f"{self.folder}/" if self.folder else ""
        return path.startswith(below) and bool(self.pattern.fullmatch(path, len(below)))


def is_reuse(path: str) -> bool:
    return path == _DEP5 or PurePosixPath(path).name == _TOML


def annotations(files: Iterable[tuple[str, str]]) -> list[Annotation]:
    entries: list[Annotation] = []
    for path, text in sorted(files, key=lambda file: (file[0].count("/"), file[0])):
        if len(text) <= _LONGEST:
            entries += _dep5(text) if path == _DEP5 else _toml(path, text)
    return entries


def annotated_licence(path: str, header: str | None, candidates: Iterable[Annotation]) -> str | None:
    """Licence of a file by its annotations and header; None if they state none."""
    matching = [annotation for annotation in candidates if annotation.applies_to(path)]
    overriding = [annotation for annotation in matching if annotation.precedence == OVERRIDE]
    if overriding:
        return [annotation for annotation in overriding if annotation.folder == overriding[0].folder][-1].licence
    if not matching:
        return header
    nearest = matching[-1]
    if header is None:
        return nearest.licence
    return all_of([header, nearest.licence]) if nearest.precedence == AGGREGATE else header


def _toml(path: str, text: str) -> Iterator[Annotation]:
    try:
        entries = tomllib.loads(text).get("annotations", [])
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    for entry in entries if isinstance(entries, list) else []:
        licences = _strings(entry, "SPDX-License-Identifier")
        precedence = entry.get("precedence", CLOSEST) if isinstance(entry, dict) else CLOSEST
        if licences:
            for pattern in _strings(entry, "path"):
                yield Annotation(_parent(path), _regex(pattern, _OF_TOML), _expression(licences), str(precedence))


def _dep5(text: str) -> Iterator[Annotation]:
    for paragraph in re.split(r"\n[ \t]*\n", text.replace("\r", "")):
        fields = {match[1]: match[2] for match in _FIELD.finditer(paragraph)}
        licence = fields.get("License", "").split("\n")[0].strip()
        if licence:
            for pattern in fields.get("Files", "").split():
                yield Annotation("", _regex(pattern, _OF_DEP5), _expression([licence]), AGGREGATE)


def _expression(licences: list[str]) -> str:
    return all_of(spdx(licence) or NOT_UNDERSTOOD for licence in licences) or NOT_UNDERSTOOD


def _strings(entry: Any, key: str) -> list[str]:
    value = entry.get(key) if isinstance(entry, dict) else None
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def _regex(glob: str, signs: dict[str, str]) -> re.Pattern[str]:
    """Convert a glob to a regular expression that takes at most quadratic time.

    What stands between two stars is best found as early as it can be, so nothing is tried again
    (atomic groups); plain backtracking over eight stars would be for ever.
    """
    segments: list[list[str]] = [[""]]  # parted by what crosses folders, and by what does not
    for escaped, sign, plain in _TOKENS.findall(glob):
        meaning = signs.get(sign)
        if meaning == _ANYTHING:
            segments.append([""])
        elif meaning == _IN_FOLDER:
            segments[-1].append("")
        else:
            segments[-1][-1] += meaning or re.escape(escaped or sign or plain)
    *early, last = segments
    parts = [_segment_pattern(segment, last=False) for segment in early] + [_segment_pattern(last, last=True)]
    middle = "".join(f"(?>{_ANYTHING}?{part})" for part in parts[1:-1])
    pattern = parts[0] + (middle + _ANYTHING + parts[-1] if early else "")
    return re.compile(pattern, re.DOTALL)


def _segment_pattern(literals: list[str], *, last: bool) -> str:
    first, *following = literals
    early, final = (following[:-1], following[-1:]) if last else (following, [])
    pattern = first + "".join(f"(?>{_IN_FOLDER}?{literal})" for literal in early)
    return pattern + "".join(_IN_FOLDER + literal for literal in final)


_LICENCE_FILE = re.compile(
    r"(?:(?:un)?licen[cs]e|copying|copyright|(?:mit|apache|bsd|[al]?gpl|mpl)[-_.]licen[cs]e)s?"
    r"(?:[-_.][\w.+-]*)?",
    re.IGNORECASE,
)
_PROSE = frozenset({None, "text", "markdown", "restructuredtext", "html"})
# REUSE (reuse.software) keeps the texts of all licences that any file may name here.
_COLLECTED = "LICENSES"
_LONGEST_TEXT = 200_000


def stated_licences(
    path: str, language: str | None, text: str, head_lines: int
) -> tuple[str | None, str | None, str | None]:
    """Licences that one file states for itself and for its folder, the latter as licence ``file`` or ``manifest``."""
    *folders, name = path.split("/")
    if folders and folders[-1] == _COLLECTED:
        return None, None, None
    if language in _PROSE and _LICENCE_FILE.fullmatch(name):
        licence = licence_of_text(text[:_LONGEST_TEXT])
        # a page on copyright need not be about licences
        if licence == NOT_UNDERSTOOD and name.lower().startswith("copyright"):
            licence = None
        return None, licence, "file" if licence else None
    head = "\n".join(line[:400] for line in text.split("\n", head_lines)[:head_lines])
    declared = declared_licence(path, text)
    return licence_of_header(head), declared, "manifest" if declared else None


def folder_licences(statements: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """Licence of each folder that states one, from path, licence and kind (``file`` or ``manifest``) of statements.

    A text that was recognised counts more than a manifest, which is often left as a tool made it;
    but a manifest that names all of the texts says how they go together (MIT OR Apache-2.0).
    """
    texts: dict[str, list[str]] = defaultdict(list)
    manifests: dict[str, list[str]] = defaultdict(list)
    for path, licence, kind in sorted(statements):
        (texts if kind == "file" else manifests)[_parent(path)].append(licence)
    licences = {}
    for folder in {*texts, *manifests}:
        recognised = [licence for licence in texts[folder] if licence != NOT_UNDERSTOOD]
        recognised_families = frozenset[str]().union(*map(families, recognised))
        declared = sorted(set(manifests[folder]) - {NOT_UNDERSTOOD})
        covering = [licence for licence in declared if recognised_families <= families(licence)]
        licences[folder] = covering[0] if covering else all_of(texts[folder]) or NOT_UNDERSTOOD
    return licences


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def licences_of(
    paths: Iterable[str],
    headers: Mapping[str, str],
    folders: Mapping[str, str],
    project_licence: str | None,
    annotations: Sequence[Annotation],
) -> list[str | None]:
    """Licence of each path: its header's, REUSE's, its nearest folder's, or the project's."""
    nearest: dict[str, str | None] = {"": None, **folders}
    licences: list[str | None] = []
    for path in paths:
        header = headers.get(path)
        licence = annotated_licence(path, header, annotations) if annotations else header
        if licence is None:
            folder, visited = _parent(path), []
            while folder not in nearest:
                visited.append(folder)
                folder = _parent(folder)
            licence = nearest[folder]
            nearest.update(dict.fromkeys(visited, licence))
        licences.append(project_licence if project_licence and licence in (None, NOT_UNDERSTOOD) else licence)
    return licences
