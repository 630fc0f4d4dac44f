"""Join the files that git left in conflict, and the driver that joins lock files."""

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Any

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.versioning import damaged_files
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dvc.quick_yaml import stage_texts
from cortex_pipelines.versioning.dvc.stages import HEADER, WIDTH
from cortex_pipelines.versioning.dvc.yaml_files import YamlTextError, look_up, parse_yaml, read_values, yaml_text
from cortex_pipelines.versioning.merging.conflicts import (
    GENERATED,
    RESOLVED,
    Conflict,
    ConflictError,
    Versions,
    find_conflicts,
    is_resolvable,
    split_versions,
)
from cortex_pipelines.versioning.merging.pin_locks import (
    ABSENT,
    choose,
    join_keys,
    join_releases_locks,
    join_sources_locks,
    join_values,
)
from cortex_pipelines.versioning.parameters import ENTRY, FILE, json_text
from cortex_pipelines.versioning.root import ProjectError, ask_git, git_text

Entries = Mapping[str, Any]  # entry of each stage, by address
Fits = Callable[[Mapping[str, Any]], bool]  # whether the inputs that an entry names are those of the workspace


def join_dvc_locks(
    base: Mapping[str, Any] | None, ours: Mapping[str, Any], theirs: Mapping[str, Any], fits: Fits | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Returns the joined content, and what was decided, in sentences. Without a common ancestor ``base`` is None; by
    default an entry fits whose parameters are what those of the three versions join to.

    An entry says what an output was made from, so an entry of either side is true wherever it ends up: if its inputs
    are not those of the workspace, DVC runs the stage again. Where both sides ran a stage with different results, the
    entry is taken whose inputs are the ones that the joined lock (and, once the merge is over, the workspace) has. An
    entry that fits neither is taken out.
    """
    other_keys = [{k: v for k, v in (each or {}).items() if k != "stages"} for each in (base, ours, theirs)]
    entries = [dict((each or {}).get("stages") or {}) for each in (base, ours, theirs)]
    stages, notes = _join_stages(entries[0], entries[1], entries[2], fits)
    return {**join_values(*other_keys), "stages": stages}, notes


def _join_stages(base: Entries, ours: Entries, theirs: Entries, fits: Fits | None) -> tuple[dict[str, Any], list[str]]:
    notes: list[str] = []
    merged: dict[str, Any] = {}
    versions: dict[str, str] = {}
    names = join_keys(base, ours, theirs)
    recorded = [_Recorded(entries) for entries in (base, ours, theirs)]

    def is_consistent(entry: Mapping[str, Any], entries: Entries) -> bool:
        outputs = _outputs(entries)
        for dep in entry.get("deps") or ():
            path = str(dep["path"])
            if path in versions:
                if versions[path] != dep.get("md5"):
                    return False
            # a fan-in stage reads the outputs of all projects, below a folder
            elif any(
                outputs.get(out) != versions.get(out) for out in {*outputs, *versions} if out.startswith(f"{path}/")
            ):
                return False
        return True

    for name in _upstream_first(names, ours, theirs):
        both = False

        def decide(our_entry: Any, their_entry: Any, name: str = name) -> Any:
            nonlocal both
            both = True
            candidates = ((our_entry, ours), (their_entry, theirs))
            fitting = fits or partial(_fits_joined, name, recorded)
            return next((e for e, entries in candidates if is_consistent(e, entries) and fitting(e)), ABSENT)

        entry = choose(decide, *(each.get(name, ABSENT) for each in (base, ours, theirs)))
        if both and entry is ABSENT:
            notes.append(f"{name}: both branches ran it, on inputs that neither has now; it is run again")
        elif both:
            branch = "this branch" if entry == ours.get(name) else "the other branch"
            notes.append(f"{name}: both branches ran it; the entry of {branch} is taken")
        if entry is not ABSENT:
            merged[name] = entry
            versions |= _outputs({name: entry})
    return {name: merged[name] for name in names if name in merged}, notes


class _Recorded:
    """Parameters as a lock records them: of the stage itself, else of another one, else of another project's."""

    def __init__(self, entries: Entries) -> None:
        self._of_stage = {name: entry.get("params") or {} for name, entry in entries.items()}
        self._of_file: dict[tuple[str, str], Any] = {}
        self._of_folder: dict[tuple[PurePosixPath, str], Any] = {}
        for files in self._of_stage.values():
            for file, parameters in files.items():
                folder = PurePosixPath(file).parent
                for key, value in parameters.items():
                    self._of_file.setdefault((file, key), value)
                    if key != ENTRY and folder != PurePosixPath():
                        self._of_folder.setdefault((folder, key), value)

    def parameter(self, name: str, file: str, key: str) -> Any:
        own = self._of_stage.get(name, {}).get(file) or {}
        if key in own:
            return own[key]
        others = self._of_folder.get((PurePosixPath(file).parent, key), ABSENT)
        return self._of_file.get((file, key), others)


def _fits_joined(name: str, versions: Sequence[_Recorded], entry: Mapping[str, Any]) -> bool:
    """Whether an entry of a stage has the parameters and pins to which those of the base, ours and theirs join."""

    def joined_input(file: str, key: str) -> Any:
        values = [recorded.parameter(name, file, key) for recorded in versions]
        if file != "sources.lock":
            return join_values(*values)
        section, _, project = key.partition(".")
        locks = ({section: {} if pin is ABSENT else {project: pin}} for pin in values)
        return join_sources_locks(*locks)[0][section].get(project, ABSENT)

    return all(
        joined_input(file, key) == value
        for file, parameters in (entry.get("params") or {}).items()
        if file != "releases.lock"  # joined by its history, which no entry has
        for key, value in parameters.items()
    )


def _outputs(entries: Entries) -> dict[str, Any]:
    return {str(out["path"]): out.get("md5") for entry in entries.values() for out in entry.get("outs") or ()}


def _upstream_first(names: list[str], *versions: Entries) -> Iterator[str]:
    made_by: dict[str, set[str]] = {}
    for entries in versions:
        for name, entry in entries.items():
            for out in _outputs({name: entry}):
                # the folder of all projects, too: a fan-in stage reads that
                for path in (out, out.rpartition("/")[0]):
                    made_by.setdefault(path, set()).add(name)
    upstream = {
        name: {
            maker
            for entries in versions
            for dep in (entries.get(name) or {}).get("deps") or ()
            for maker in made_by.get(str(dep["path"]), ())
            if maker != name
        }
        for name in names
    }
    try:
        yield from TopologicalSorter(upstream).static_order()
    except CycleError:  # of stages that changed places between the branches
        yield from names


def join_file(file: str, versions: Versions, fits: Fits | None = None) -> tuple[str, list[str]]:
    """Returns the joined text, and what was decided, in sentences. Raises ConflictError if a version cannot be read."""
    name = PurePosixPath(file).name
    ours, theirs = _read(name, versions.ours, "ours"), _read(name, versions.theirs, "theirs")
    try:
        base = None if versions.base is None else _read(name, versions.base, "the base")
    except ConflictError:
        base = None  # in style zdiff3 the base is incomplete
    if name == "dvc.lock":
        merged, notes = join_dvc_locks(base, ours, theirs, fits)
        return _lock_text(merged, versions), notes
    if join := {"sources.lock": join_sources_locks, "releases.lock": join_releases_locks}.get(name):
        merged, notes = join(base, ours, theirs)
        return yaml_text(merged), notes
    generated = join_values(base or {}, ours, theirs)
    if name.endswith(".json"):
        return json_text(generated), []
    # dvc.yaml: stages first, as the graph writes it
    parts = [{key: generated[key]} for key in ("stages", "metrics", "plots") if generated.get(key)]
    return HEADER + "".join(yaml_text(part, WIDTH) for part in parts), []


def _read(name: str, text: str, branch: str) -> dict[str, Any]:
    try:
        loaded = (
            json.loads(text or "{}")
            if name.endswith(".json")
            else parse_yaml(text.replace("\r\n", "\n").encode(), name)
        )
    except (YamlTextError, ValueError) as error:
        raise ConflictError(
            f"{name}: the version of {branch} cannot be read ({error}); keep one side by `git "
            f"checkout --ours {name}` or `--theirs`"
        ) from error
    if loaded is not None and not isinstance(loaded, dict):
        raise ConflictError(f"{name}: the version of {branch} has no keys and values at the top")
    return loaded or {}


def _lock_text(merged: Mapping[str, Any], versions: Versions) -> str:
    """The text of a ``dvc.lock``, each stage as the side that it is from wrote it."""
    texts: dict[str, list[tuple[Any, str]]] = {}
    for text in (versions.ours, versions.theirs):
        for name, (entry, stage_text) in (stage_texts(text.replace("\r\n", "\n")) or {}).items():
            texts.setdefault(name, []).append((entry, stage_text))
    stages = merged.get("stages") or {}
    parts = [
        next((stage_text for of, stage_text in texts.get(name, ()) if of == entry), None)
        for name, entry in stages.items()
    ]
    if None in parts or not stages:
        return yaml_text(merged)
    other_keys = {key: value for key, value in merged.items() if key != "stages"}
    return yaml_text(other_keys) + "stages:\n" + "".join(filter(None, parts))


DRIVER = "cortex"
"""Name of the merge driver in ``.gitattributes`` and in git's configuration."""
ATTRIBUTES = ".gitattributes"
SET_UP = "git joins lock files of two branches by `cortex merge-driver` (merge.cortex.driver)"
_KEY = f"merge.{DRIVER}.driver"
_LINES = tuple(f"/{pattern} merge={DRIVER}" for pattern in (*RESOLVED, f"{GENERATED}/**"))
_PLAIN = "git merge-file -L ours -L base -L theirs %A %O %B"
"""What git does without a driver; the driver's last resort, or git would keep ours silently."""


def missing_attributes(root: Path) -> list[str]:
    path = root / ATTRIBUTES
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [line for line in _LINES if line not in lines]


def write_attributes(root: Path) -> bool:
    path, missing = root / ATTRIBUTES, missing_attributes(root)
    if missing:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        write_whole(path, "\n".join([*lines, *missing]) + "\n")
    return bool(missing)


def is_repository(root: Path) -> bool:
    return git_text(root, "rev-parse", "--is-inside-work-tree") == "true"


def has_driver(root: Path) -> bool:
    words = shlex.split(git_text(root, "config", "--get", _KEY))
    return bool(words) and shutil.which(words[0]) is not None


def set_driver(root: Path) -> bool:
    """Configure the driver in this clone if it lacks it, as git takes none from a checked-in file; whether it did."""
    # git starts it where the environment may not be active, hence the path
    executable = Path(sys.executable).with_name("cortex")
    program = str(executable) if executable.exists() else shutil.which("cortex")
    if program is None or missing_attributes(root) or has_driver(root) or not is_repository(root):
        return False
    command = f"{shlex.quote(program)} merge-driver %O %A %B %P || {_PLAIN}"
    ask_git(root, "config", f"merge.{DRIVER}.name", "join lock files of cortex-pipelines")
    ask_git(root, "config", _KEY, command)
    return has_driver(root)


def unmerged_versions(root: Path) -> dict[str, Versions]:
    """The versions of each unmerged file in git's index, by path in the project; a missing one is empty."""
    blobs: dict[str, dict[str, str]] = {}
    listing = git_text(root, "ls-files", "--unmerged", "-z")
    for entry in filter(None, listing.split("\0")):
        facts, _, path = entry.partition("\t")
        _, blob, stage = facts.split()
        blobs.setdefault(path, {})[stage] = blob
    unmerged = {}
    for path, stages in blobs.items():
        texts = {
            stage: ask_git(root, "cat-file", "blob", blob).stdout.decode("utf-8", "replace")
            for stage, blob in stages.items()
        }
        unmerged[path] = Versions(texts.get("1"), texts.get("2", ""), texts.get("3", ""))
    return unmerged


@dataclass(frozen=True)
class Resolution:
    """``staged``: the files that git held as unmerged, now in its index; ``remaining``: conflicts for a person."""

    files: tuple[str, ...]
    notes: tuple[str, ...]
    staged: tuple[str, ...]
    remaining: tuple[Conflict, ...]


def resolve(root: Path, generate: Callable[[], None]) -> Resolution:
    """Join lock files and generated files in conflict.

    The versions are those of git's index, else the sides of the conflict markers. Raises ConflictError: a version
    cannot be read, or markers do not belong together. Raises ProjectError: git refuses to mark a file as resolved;
    gives its words.
    """
    unmerged = {file: v for file, v in unmerged_versions(root).items() if is_resolvable(file)}
    marked = {conflict.file for conflict in find_conflicts(root) if is_resolvable(conflict.file)}
    files = sorted({*unmerged, *marked})
    # read before anything is written: an error leaves all as it was
    versions = {
        file: unmerged.get(file) or split_versions((root / file).read_bytes().decode("utf-8", "replace"))
        for file in files
    }
    texts = {file: join_file(file, each) for file, each in versions.items()}
    for file in files:
        _write(root, file, texts[file][0], versions[file])
    remaining = find_conflicts(root)
    if files and all(conflict.file != FILE for conflict in remaining):
        generate()
        if (lock := damaged_files.DVC_LOCK) in versions:
            # now that the inputs are those of the merge
            texts[lock] = join_file(lock, versions[lock], lambda entry: fits_workspace(root, entry))
            _write(root, lock, texts[lock][0], versions[lock])
    staged = [file for file in files if file in unmerged]
    if staged:  # as resolved: `git add`, or `git rm` of one that is gone
        process = ask_git(root, "add", "--all", "--", *staged)
        if process.returncode:
            raise ProjectError(f"`git add` failed: {process.stderr.decode(errors='replace').strip()}")
    notes = tuple(note for file in files for note in texts[file][1])
    return Resolution(tuple(files), notes, tuple(staged), tuple(remaining))


def fits_workspace(root: Path, entry: Mapping[str, Any]) -> bool:
    """Whether an entry of ``dvc.lock`` names the workspace's code and parameters; data is compared within the lock."""
    return all(
        content_md5(root / dep["path"]) == dep.get("md5")
        for dep in entry.get("deps") or ()
        if not str(dep["path"]).startswith("data/")
    ) and all(
        look_up(read_values(root / file), key) == value
        for file, values in (entry.get("params") or {}).items()
        for key, value in values.items()
    )


def _write(root: Path, file: str, text: str, versions: Versions) -> None:
    removed = not versions.ours or not versions.theirs
    if removed and file.startswith(f"{GENERATED}/") and not (root / file).exists():
        return  # of a project that one side removed; it is generated again if it is still there
    write_whole(root / file, text)
    if file in RESOLVED and file in damaged_files.BY_MACHINE:
        damaged_files.keep(root, file)
