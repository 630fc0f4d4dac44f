"""What a source brings, in words, as `cortex add` says it: read from the listing of its files at the pin, and from
notebooks."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path
from typing import Any

from cortex_pipelines.config import load_parameters
from cortex_pipelines.ingestion.entries import FileRef, SkippedFile
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.ingestion.files.notebooks import NotebookError, read_notebook
from cortex_pipelines.ingestion.git.history import commits_without_parents
from cortex_pipelines.ingestion.git.repository import git_mirrors
from cortex_pipelines.ingestion.licences.expressions import NOT_UNDERSTOOD, permitted
from cortex_pipelines.ingestion.licences.manifests import declared_licence
from cortex_pipelines.ingestion.licences.texts import licence_of_text
from cortex_pipelines.ingestion.project_sources import DirectorySource, ProjectSource, matching_pins, parse_source
from cortex_pipelines.ingestion.readers.open import OpenSource, open_source
from cortex_pipelines.projects.create import add_project
from cortex_pipelines.syntax.grammars import PARSED
from cortex_pipelines.versioning.project import look_up, peek_yaml
from cortex_pipelines.versioning.root import ProjectError

_SHOWN = 5
_LICENCE_NAMES = ("license", "licence", "copying", "notice")
_MANIFESTS = ("pyproject.toml", "package.json", "Cargo.toml", "setup.cfg", "setup.py", "pom.xml", "PKG-INFO")
_NO_LICENCE = {
    True: "none found; files without one are trained on (`ingestion.trainable_without_licence` in params.yaml)",
    False: "none found; files without one are not trained on: set `licence` of the project in params.yaml",
}
"""What is said without a licence, by whether the kinds of all sources may be trained on without one."""

CONTROL = "other_code"
"""Project added as the control: it represents all other code."""

_CONTROLS = {
    "go": "pypi:dockerfile==3.4.0",
    "java": "pypi:jpype1==1.7.1",
    "javascript": "pypi:lektor==3.2.3",
    "python": "pypi:flask==3.1.3",
    "rust": "pypi:rpds-py==2026.9.1",
    "typescript": "pypi:jupyterlab-widgets==3.0.17",
}
"""Package whose code is the control, by language."""


@dataclass(frozen=True)
class AddedProject:
    """``words``: text by label; ``language``: that of most files, None if none is parsed; ``size``: bytes of code."""

    words: Mapping[str, str]
    language: str | None
    size: int


def add_control(root: Path, project: str, language: str | None) -> str | None:
    """Add a package in the language of a project as the control, where none is named; returns its source.

    The gate promotes an adapter only if it saves more on its own project than on other code. Raises ProjectError: the
    package cannot be read, or is the project itself; SourceError.
    """
    params = load_parameters(root)
    if params.general.project is not None or language not in _CONTROLS:
        return None
    source = _CONTROLS[language]
    if parse_source(source, root) in [entry.declaration for entry in params.projects[project].sources]:
        raise ProjectError(f"{source} is {project} itself")
    if CONTROL in params.projects:
        raise ProjectError(f"{CONTROL} is already a project")
    add_project(root, CONTROL, source, control=True)
    return source


def describe_project(root: Path, name: str) -> AddedProject:
    """What a project's sources bring: files, languages, licence, history, and what will be trained on."""
    params = load_parameters(root)
    settings: Any = params.projects[name]
    ingestion = settings.ingestion or params.ingestion
    files: list[FileRef] = []
    licences = dict.fromkeys(filter(None, [settings.licence]))
    parsed: Counter[str] = Counter()
    submodules: list[str] = []
    commits, size, is_silent_allowed = 0, 0, True
    for opened, source_files, source_commits in _source_files(root, name):
        files += source_files
        skipped = (entry for entry in opened.entries() if isinstance(entry, SkippedFile))
        submodules += [entry.path for entry in skipped if entry.reason == "submodule"]
        for language, code_bytes in _code(opened, source_files):
            parsed[language] += 1
            size += code_bytes
        licences |= dict.fromkeys(_licences(opened, source_files))
        commits += source_commits
        is_silent_allowed &= opened.kind in ingestion.trainable_without_licence
    languages = Counter(language_of(file.path, "") for file in files)
    refused = [licence for licence in licences if not permitted(licence, ingestion.trainable_licences)]
    words = {
        "source": "; ".join(", ".join(map(str, source.declaration.values())) for source in settings.sources),
        "files": f"{len(files):,}, {sum(file.size for file in files) / 1e6:,.1f} MB",
        "languages": _language_words(languages) or "none recognised by file name",
        "licence": ", ".join(licences) + _refusal(name, refused) or _NO_LICENCE[is_silent_allowed],
        "history": _history_words(root, name, commits),
        "trains on": _training_words(parsed, commits),
    }
    if submodules:
        words["left out"] = f"{_first(submodules)}: submodules; to learn from them, add their repositories"
    return AddedProject(words, max(parsed, key=parsed.__getitem__, default=None), size)


def _refusal(name: str, licences: Sequence[str]) -> str:
    remedies = [
        f"set projects.{name}.licence, as what they say is not known"
        if licence == NOT_UNDERSTOOD
        else f"write {licence} to projects.{name}.ingestion.trainable_licences"
        for licence in licences
    ]
    return f"; not trained on unless you {' and '.join(remedies)}" if remedies else ""


def _history_words(root: Path, name: str, commits: int) -> str:
    if not commits:
        repository = next(_repositories_around(root, name), None)
        remedy = f"; add {repository} instead, the git repository that the folder is part of, for its history"
        return "none: reviews and refactorings are not learnt from it" + (remedy if repository else "")
    is_cut = any(commits_without_parents(mirror) for mirror, _ in git_mirrors(_pinned(root, name), name, root).values())
    remedy = f"; it is shallow: `git fetch --unshallow` in it, then `cortex update {name}`, brings the rest"
    return f"{commits:,} commit{'s' * (commits != 1)}{remedy * is_cut}"


def _repositories_around(root: Path, name: str) -> Iterator[str]:
    """Paths of the git repositories around a project's folders, unless this workspace lies in them, too."""
    workspace = root.resolve()
    for source in load_parameters(root).projects[name].sources:
        if isinstance(source, DirectorySource):
            for parent in (workspace / source.directory).resolve().parents:
                if (parent / ".git").exists() and not workspace.is_relative_to(parent):
                    yield relpath(parent, workspace)


def project_size(root: Path, name: str) -> tuple[int, int]:
    """Bytes of code in a project's sources at their pins, and commits of its history; raises SourceError."""
    size = commits = 0
    for opened, files, source_commits in _source_files(root, name):
        size += sum(code_bytes for _, code_bytes in _code(opened, files))
        commits += source_commits
    return size, commits


def _pinned(root: Path, name: str) -> ProjectSource:
    settings: Any = load_parameters(root).projects[name]
    return ProjectSource(settings, tuple(look_up(peek_yaml(root / "sources.lock"), f"projects.{name}") or []))


def _source_files(root: Path, name: str) -> Iterator[tuple[OpenSource, list[FileRef], int]]:
    params, pinned = load_parameters(root), _pinned(root, name)
    settings: Any = params.projects[name].ingestion or params.ingestion
    for source, pin in matching_pins(pinned, name):
        opened = open_source(source, pin, settings, root)
        files = [entry for entry in opened.entries() if isinstance(entry, FileRef)]
        yield opened, files, int(pin.get("commits", 0))


def _code(opened: OpenSource, files: Sequence[FileRef]) -> Iterator[tuple[str, int]]:
    """Language and bytes of each file of code; of a notebook, those of its cells."""
    by_language = {file: language_of(file.path, "") for file in files}
    for file, language in by_language.items():
        if language in PARSED:
            yield language, file.size
    for notebook_file in opened.files([file for file, language in by_language.items() if language == "jupyter"]):
        try:
            notebook = read_notebook(notebook_file.data.decode(errors="replace"))
        except NotebookError:
            continue
        if notebook.language in PARSED:
            yield notebook.language, len(notebook.text.encode())


def _language_words(languages: Mapping[str | None, int]) -> str:
    ranked = sorted(((count, name) for name, count in languages.items() if name), reverse=True)
    return _first([f"{name} {count:,}" for count, name in ranked])


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _training_words(parsed: Mapping[str, int], commits: int) -> str:
    if not parsed:
        return "nothing: no file is in a language that is parsed; `cortex search` still finds its text"
    history = " and the commits that only refactor" if commits > 1 else ""
    names = ", ".join(sorted(parsed))
    count = sum(parsed.values())
    return f"functions and classes of {count:,} file{'s' * (count != 1)} ({names}){history}"


def _licences(opened: OpenSource, files: Sequence[FileRef]) -> list[str]:
    """Licences that the files at the top say, by their texts or else by what the manifests declare."""
    top = min((file.path.count("/") for file in files), default=0)
    at_top = [file for file in files if file.path.count("/") == top and file.size < 200_000]
    licence_files = [file for file in at_top if Path(file.path).name.lower().startswith(_LICENCE_NAMES)]
    manifests = [file for file in at_top if Path(file.path).name in _MANIFESTS]
    texts = {file.path: file.data.decode(errors="replace") for file in opened.files([*licence_files, *manifests])}
    by_text = [licence_of_text(texts[file.path]) for file in licence_files if file.path in texts]
    declared = [declared_licence(file.path, texts[file.path]) for file in manifests if file.path in texts]
    return sorted({licence for licence in by_text if licence} or {licence for licence in declared if licence})
