"""Mirrors of git repositories: resolve refs and fetch pinned history.

A mirror is a bare repository in the cache; nothing is checked out, and it can be deleted at any time.
"""

import hashlib
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cortex_pipelines.atomic import lock_file
from cortex_pipelines.ingestion.cache import CACHE
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.git.command import run_git, stream
from cortex_pipelines.ingestion.project_sources import (
    GitSource,
    ProjectSource,
    is_bundle,
    is_url,
    matching_pins,
    without_password,
)

_LOG = logging.getLogger(__name__)
_FETCHED_REF = "refs/cortex/taken"
_EVERYTHING = ("+refs/heads/*:refs/cortex/heads/*", "+refs/tags/*:refs/cortex/tags/*")
_COMMIT_ID = re.compile(r"^[0-9a-f]{7,64}$")


def fetch_revision(source: GitSource, root: Path, cache: Path) -> tuple[str, int]:
    """Fetch a source and resolve its ref: commit id and number of commits."""
    mirror = mirror_folder(source, root, cache)
    with _locked(mirror), _refreshed(mirror) as fresh:
        refs = _list_refs(source, root)
        name = _full_name(source.ref, refs)
        revision = None
        if name:
            _fetch(source, root, fresh, f"+{name}:{_FETCHED_REF}")
            revision = _commit_in(fresh, _FETCHED_REF)
        elif _COMMIT_ID.match(source.ref):
            _fetch(source, root, fresh, *_EVERYTHING)
            revision = _commit_in(fresh, source.ref)
            if revision is None and _fetch_id(source, root, fresh, source.ref):
                revision = _commit_in(fresh, source.ref)
        if revision is None:
            heads = [ref.removeprefix("refs/heads/") for ref in refs if ref.startswith("refs/heads/")]
            raise SourceError(
                f"{source.label}: no branch, tag or commit {source.ref!r}; branches are "
                f"{', '.join(sorted(heads)[:20]) or 'none'}; correct `ref` in params.yaml"
            )
        run_git(fresh, "update-ref", f"refs/cortex/pins/{revision}", revision)
        return revision, count_commits(fresh, revision)


def git_mirrors(source: ProjectSource, project: str, root: Path) -> dict[str, tuple[Path, str]]:
    """Mirror and pinned revision of a project's git sources, by label."""
    return {
        entry.label: (open_revision(entry, pin, root, root / CACHE), pin["revision"])
        for entry, pin in matching_pins(source, project)
        if isinstance(entry, GitSource)
    }


def open_revision(source: GitSource, pin: dict[str, Any], root: Path, cache: Path) -> Path:
    """The mirror of a source, with the pinned revision and all its history."""
    mirror = mirror_folder(source, root, cache)
    revision, commits = str(pin["revision"]), pin["commits"]
    with _locked(mirror):
        if _holds(mirror, revision, commits):
            return mirror
        with _refreshed(mirror) as fresh:
            name = _full_name(source.ref, _list_refs(source, root))
            if name:
                _fetch(source, root, fresh, f"+{name}:{_FETCHED_REF}")
            if not _commit_in(fresh, revision) and not _fetch_id(source, root, fresh, revision):
                _fetch(source, root, fresh, *_EVERYTHING)
            if _holds(fresh, revision, commits):
                run_git(fresh, "update-ref", f"refs/cortex/pins/{revision}", revision)
        if _holds(mirror, revision, commits):
            return mirror
    raise SourceError(
        f"{source.label}: commit {revision} with {commits} commits of history, as pinned in "
        "sources.lock, no longer exists (rewritten, or cloned to another depth); "
        "`cortex update` pins the current commit"
    )


def mirror_folder(source: GitSource, root: Path, cache: Path) -> Path:
    digest = hashlib.sha256(_address(source, root).encode()).hexdigest()[:32]
    return cache.resolve() / "git" / digest


def count_commits(mirror: Path, revision: str) -> int:
    return int(run_git(mirror, "rev-list", "--count", "--end-of-options", revision))


def _holds(mirror: Path, revision: str, commits: object) -> bool:
    try:
        return count_commits(mirror, revision) == commits
    except SourceError:
        return False


@contextmanager
def _locked(mirror: Path) -> Iterator[None]:
    """Lock a mirror for one process; removes locks that a killed git left."""
    mirror.parent.mkdir(parents=True, exist_ok=True)
    with mirror.with_suffix(".lock").open("w") as lock:
        lock_file(lock)
        for stale in [*mirror.glob("*.lock"), *mirror.glob("refs/**/*.lock")]:
            stale.unlink()
        yield


@contextmanager
def _refreshed(mirror: Path) -> Iterator[Path]:
    """The mirror to fetch into; a shallow one is cloned again beside it.

    Its source may have become deeper since. What is there stays until the new one is complete.
    """
    if not (mirror / "shallow").exists():
        yield mirror
        return
    fresh_clone = mirror.with_suffix(".new")
    shutil.rmtree(fresh_clone, ignore_errors=True)
    yield fresh_clone
    shutil.rmtree(mirror)
    fresh_clone.rename(mirror)


def _address(source: GitSource, root: Path) -> str:
    return source.git if is_url(source.git) else str((root / source.git).resolve())


def _full_name(ref: str, refs: list[str]) -> str | None:
    heads = [name for name in refs if name.startswith("refs/heads/")]
    if ref == "HEAD" and "HEAD" not in refs and len(heads) == 1:
        return heads[0]  # a bundle need not say which branch is the default one
    names = (f"refs/heads/{ref}", f"refs/tags/{ref}", ref)
    return next((name for name in names if name in refs), None)


def _commit_in(mirror: Path, name: str) -> str | None:
    commit = f"{name}^{{commit}}"
    try:
        return run_git(mirror, "rev-parse", "--verify", "--end-of-options", commit).strip()
    except SourceError:
        return None


def _list_refs(source: GitSource, root: Path) -> list[str]:
    address = _address(source, root)
    if not is_url(source.git) and not Path(address).exists():
        raise SourceError(f"{source.label}: no repository at {address}; correct the path in params.yaml")
    try:
        lines = run_git(None, "ls-remote", "--end-of-options", address, network=True).splitlines()
    except SourceError as error:
        raise _unreachable(source, address, error) from None
    if not lines:
        raise SourceError(f"{source.label}: the repository has no commits yet; commit something")
    return [line.partition("\t")[2] for line in lines]


def _fetch(source: GitSource, root: Path, mirror: Path, *refspecs: str) -> None:
    address = _address(source, root)
    _LOG.info("Fetching %s", source.label)
    try:
        run_git(None, "init", "--quiet", "--bare", "--template=", str(mirror))
        if is_bundle(Path(address)):
            # git refuses a bundle made in a shallow clone, as it lacks the parents of its first commits
            run_git(mirror, "bundle", "unbundle", address)
            first = _first_commits(mirror)
            if first:
                (mirror / "shallow").write_text("".join(f"{commit}\n" for commit in first))
        _fetch_quietly(address, mirror, *refspecs)
    except SourceError as error:
        raise _unreachable(source, address, error) from None


def _fetch_quietly(url: str, mirror: Path, *specs: str) -> None:
    options = ("--quiet", "--prune", "--no-tags", "--update-shallow", "--end-of-options")
    run_git(mirror, "fetch", *options, url, *specs, network=True)


def _fetch_id(source: GitSource, root: Path, mirror: Path, commit: str) -> bool:
    """Fetch a commit by id, on no branch; some servers refuse this."""
    try:
        run_git(None, "init", "--quiet", "--bare", "--template=", str(mirror))
        _fetch_quietly(_address(source, root), mirror, f"+{commit}:{_FETCHED_REF}")
    except SourceError:
        return False
    return True


def _first_commits(mirror: Path) -> list[str]:
    """Commits whose parents are not in a mirror."""
    listing = ("--batch-all-objects", "--unordered", "--batch-check=%(objecttype) %(objectname)")
    objects = run_git(mirror, "cat-file", *listing).split()
    commits = [name for kind, name in zip(objects[::2], objects[1::2], strict=True) if kind == "commit"]
    present_commits, first = set(commits), []
    with stream(mirror, "cat-file", "--batch") as (ask, answer):
        for commit in commits:
            ask.write(commit.encode() + b"\n")
            ask.flush()
            size = int(answer.readline().split()[2])
            head = answer.read(size + 1).partition(b"\n\n")[0].decode("ascii", "replace")
            parents = [line[7:] for line in head.splitlines() if line.startswith("parent ")]
            if not present_commits.issuperset(parents):
                first.append(commit)
    return sorted(first)


def _unreachable(source: GitSource, url: str, error: SourceError) -> SourceError:
    message = str(error).replace(url, without_password(url))
    remedy = "check the address in params.yaml, the network and your access, then run `cortex update`"
    if "mismatched algorithms" in message:
        remedy = "repositories with SHA-256 object names are not read; add a `git archive` of it instead"
    return SourceError(f"{source.label}: cannot be fetched: {message}; {remedy}")
