from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex_pipelines.ingestion.entries import File, SourceError
from cortex_pipelines.ingestion.files.content import content_of, is_generated
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.ingestion.git import command
from cortex_pipelines.ingestion.licences.detect import stated_licences
from cortex_pipelines.ingestion.licences.manifests import declared_licence
from cortex_pipelines_tests.parameters import load_cases

GIT = {"git": "repository", "ref": "main"}
EXECUTED = (
    *("core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.askPass"),
    *("core.gitProxy", "core.alternateRefsCommand", "diff.external", "diff.trap.command"),
    *("diff.trap.textconv", "filter.trap.clean", "filter.trap.smudge", "filter.trap.process"),
    *("merge.trap.driver", "gpg.program", "credential.helper", "uploadpack.packObjectsHook"),
    *("remote.origin.uploadpack", "log.pager", "pager.log", "sequence.editor"),
    *("interactive.diffFilter", "sendemail.smtpServer", "man.trap.cmd", "browser.trap.cmd"),
)
HOOKS = (
    *("post-checkout", "post-merge", "pre-auto-gc", "reference-transaction", "post-index-change"),
    *("fsmonitor-watchman", "pre-receive", "update", "post-update", "proc-receive", "post-rewrite"),
)


@pytest.fixture
def trapped(repository: Any) -> Any:
    """A repository in which whatever git could be made to run leaves a trace."""
    trap = repository.folder.parent / "sprung"
    repository.commit(
        {
            ".gitattributes": "* filter=trap diff=trap merge=trap export-subst ident\n",
            ".gitmodules": '[submodule "m"]\npath = m\nurl = ext::sh -c "touch '
            f'{trap}"\nupdate = !touch {trap}\n[submodule "f"]\npath = f\nurl = file:///etc\n',
            ".lfsconfig": "[lfs]\nurl = ext::sh\n",
            "a.py": "a = 1  # $Id$ $Format:%H$\n",
        },
        "Begin",
    )
    repository("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},m")
    repository("commit", "--quiet", "-m", "submodule")
    included = repository.folder.parent / "included"
    lines = [f"[alias]\n\tlog = !touch {trap}\n\tfetch = !touch {trap}\n"]
    for name in EXECUTED:
        section, _, key = name.rpartition(".")
        top, _, sub = section.partition(".")
        heading = f'[{top} "{sub}"]' if sub else f"[{top}]"
        lines.append(f"{heading}\n\t{key} = touch {trap}\n")
    included.write_text("".join(lines))
    with (repository.folder / ".git/config").open("a") as config:
        config.write(f"[include]\n\tpath = {included}\n")
    for name in HOOKS:
        hook = repository.folder / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
        hook.chmod(0o755)
    trap.unlink(missing_ok=True)
    return trap


def test_nothing_of_a_repository_is_run_or_applied(trapped: Path, read: Any, history: Any) -> None:
    tables = read(GIT)
    assert history().height == 2
    # neither filtered nor expanded: the bytes of the blob
    assert (tables.texts["a.py"], tables.reasons) == ("a = 1  # $Id$ $Format:%H$\n", {"m": "submodule"})
    assert not trapped.exists()


def test_objects_that_a_promisor_would_bring_are_not_fetched_by_its_command(repository: Any, take: Any) -> None:
    trap = repository.folder.parent / "sprung"
    repository.commit({"a.py": "a = 1\n"})
    blob = repository("rev-parse", "HEAD:a.py")
    (repository.folder / f".git/objects/{blob[:2]}/{blob[2:]}").unlink()
    for key, value in (
        ("remote.p.url", f"ext::sh -c 'touch {trap}'"),
        ("remote.p.promisor", "true"),
        ("remote.p.uploadpack", f"touch {trap};"),
        ("extensions.partialClone", "p"),
        ("core.repositoryFormatVersion", "1"),
        ("protocol.ext.allow", "always"),
    ):
        repository("config", key, value)
    with pytest.raises(SourceError, match="cannot be fetched"):
        take(GIT)
    assert not trap.exists()


def test_names_that_some_systems_take_for_one_are_kept_apart(repository: Any, read: Any) -> None:
    names = ("A.py", "a.py", "é.py", "e\u0301.py", "aux.py", "con")
    blobs = {name: repository("hash-object", "-w", "--stdin", stdin=name.encode()) for name in names}
    for name, blob in blobs.items():
        repository("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
    repository("commit", "--quiet", "-m", "collide")
    assert read(GIT).texts == {name: name for name in names}


def bomb(repository: Any, leaf: bytes, levels: int) -> None:
    """A commit whose few trees unfold to ten to the power of ``levels`` entries."""

    def tree(entries: bytes) -> bytes:
        return bytes.fromhex(repository("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=entries))

    subtree = tree(leaf)
    for _ in range(levels):
        subtree = tree(b"".join(b"40000 d%d\0" % number + subtree for number in range(10)))
    repository("update-ref", "refs/heads/main", repository("commit-tree", subtree.hex(), "-m", "bomb"))


def test_a_tree_that_unfolds_without_end_is_cut_off(repository: Any, read: Any, monkeypatch) -> None:
    blob = bytes.fromhex(repository("hash-object", "-w", "--stdin", stdin=b"x = 1\n"))
    bomb(repository, b"100644 x.py\0" + blob, 9)
    monkeypatch.setattr(command, "_MAX_MEMORY_BYTES", 12 << 20)
    tables = read(GIT, max_files=50)
    assert (tables.files.height, set(tables.reasons.values())) == (50, {"too_many_files"})
    assert tables.files["author"].null_count() == 50


@pytest.mark.parametrize(("leaf", "limit"), [(b"100644 x.py\0", "_MAX_MEMORY_BYTES"), (b"", "_MAX_CPU_SECONDS")])
def test_the_history_of_such_a_tree_is_given_up(repository: Any, history: Any, monkeypatch, leaf, limit: str) -> None:
    monkeypatch.setattr(command, limit, {"_MAX_MEMORY_BYTES": 12 << 20, "_MAX_CPU_SECONDS": 1}[limit])
    blob = bytes.fromhex(repository("hash-object", "-w", "--stdin", stdin=b"x = 1\n"))
    bomb(repository, leaf and leaf + blob, 9)
    with pytest.raises(SourceError, match=r"git log needs more memory or time.*leave the repo"):
        history()


def test_folders_without_end_and_without_files_are_cut_off(repository: Any, read: Any) -> None:
    bomb(repository, b"", 9)
    with pytest.raises(SourceError, match="1 too_many_folders"):
        read(GIT, max_files=50)


def test_a_project_has_a_limit_of_its_own(plain, repository: Any, read: Any) -> None:
    repository.commit({"a.py": "x" * 100, "b.py": "x" * 100})
    plain({"c.py": "x" * 100})
    tables = read(GIT, {"directory": "plain"}, max_project_bytes=250)
    assert (list(tables.texts), tables.reasons) == (["a.py", "b.py"], {"c.py": "project_too_large"})
    assert tables.skipped["detail"].item() == "this and all later entries: ingestion.max_project_bytes is 250"


IN_ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@IN_ONE_FOLDER
@given(name=st.sampled_from(load_cases(__file__)["MANIFESTS"]), data=st.binary(max_size=200))
def test_random_bytes_are_a_row_or_left_out(settings: Any, privacy: Any, name: str, data: bytes) -> None:
    row = content_of(File(name, data), settings, privacy, b"key")
    assert (row["text"] is None) is (row["reason"] is not None)


DEEP = 200_000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("package.json", "[" * DEEP),
        ("package.json", '{"license":' * DEEP),
        ("pyproject.toml", "a=" + "[" * DEEP),
        ("pyproject.toml", "[" + "a." * DEEP + "a]"),
        ("Cargo.toml", "[package]\nlicense = " + '"' * DEEP),
        ("setup.cfg", "[metadata]\nlicense = " + "%(license)s" * 1000),
        ("pom.xml", "<licenses>" * DEEP),
        ("setup.py", "license=" * DEEP),
        ("PKG-INFO", "License: " + "x\n " * DEEP),
        ("LICENSE", "neither the name of " * DEEP),
        ("x.py", "# " + "SPDX-License-Identifier: " * DEEP),
    ],
)
def test_deep_and_long_manifests_end_soon(settings: Any, name: str, text: str) -> None:
    assert declared_licence(name, text) in (None, "NOASSERTION")
    language = language_of(name, text)
    _, licence, _ = stated_licences(name, language, text, settings.licence_head_lines)
    assert licence in (None, "NOASSERTION")
    assert not is_generated(name, language, text, settings)
