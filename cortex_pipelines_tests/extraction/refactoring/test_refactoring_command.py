"""The contract command on real folders and real git repositories."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cortex_pipelines.cli.main import main
from cortex_pipelines.extraction.refactoring.refactoring import CONTRACT
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings
from cortex_pipelines.extraction.refactoring.versions import commit_versions, folder_version
from cortex_pipelines.ingestion.entries import SourceError

BEFORE = """
def area(width, height):
    size = width * height
    check(size, "area")
    return size
"""
AFTER = BEFORE.replace("size", "result")


def _git(folder: Path, *arguments: str) -> str:
    environment = os.environ | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{role}_NAME": "A" for role in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{role}_EMAIL": "a@example.org" for role in ("AUTHOR", "COMMITTER")},
    }
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def _commit(folder: Path, files: dict[str, str | bytes | None]) -> str:
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            file.unlink()
        else:
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", "Change")
    return _git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    _git(folder, "init", "-q", "-b", "main")
    _commit(folder, {"shapes/area.py": BEFORE, "README.md": "# Shapes\n", "broken.py": b"\xff\xfe\x00"})
    return folder


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["refactorings", *arguments])


def test_two_folders_as_json(tmp_path: Path) -> None:
    for name, text in (("before", BEFORE), ("after", AFTER)):
        folder = tmp_path / name
        (folder / ".git").mkdir(parents=True)
        (folder / ".git" / "hook.py").write_text(name)
        (folder / "area.py").write_text(text)
        (folder / "notes.txt").write_text(name)
        (folder / "link.py").symlink_to("area.py")
        (folder / "tool").write_text("#!/usr/bin/env python\n" + text)
    result = _run(str(tmp_path / "before"), str(tmp_path / "after"), "--json")
    assert result.exit_code == 0
    rows = json.loads(result.stdout)
    assert ([row["path_after"] for row in rows], tuple(rows[0])) == (["area.py", "tool"], CONTRACT)
    assert list(rows[0].values()) == [
        *("Rename Variable", "size", "result", "area", "area", "area.py", "area.py", 3, 3),
        *("The variable size was renamed to result in the function area.", "pure"),
    ]
    assert "2 refactorings" in result.stderr


def test_a_commit_as_json_and_as_a_table(repository: Path) -> None:
    commit = _commit(repository, {"shapes/area.py": AFTER, "README.md": "# Forms\n"})
    rows = json.loads(_run(str(repository), "--commit", commit, "--json").stdout)
    assert [(row["type"], row["name_after"]) for row in rows] == [("Rename Variable", "result")]
    assert json.loads(_run(str(repository), "--commit", "HEAD~1", "--json").stdout) == []
    table = _run(str(repository), "--commit", commit[:10])
    assert "Rename Variable" in table.stdout
    assert "pure" in table.stdout


def test_a_bare_repository_and_a_work_tree(repository: Path, tmp_path: Path, settings: RefactoringSettings) -> None:
    commit = _commit(repository, {"shapes/area.py": AFTER})
    bare, tree = tmp_path / "bare", tmp_path / "tree"
    _git(repository, "clone", "-q", "--bare", str(repository), str(bare))
    _git(repository, "worktree", "add", "-q", str(tree))
    for folder in (repository, bare, tree):
        assert commit_versions(folder, commit, settings) == ({"shapes/area.py": BEFORE}, {"shapes/area.py": AFTER})


def test_a_moved_file_is_followed_through_a_commit(repository: Path) -> None:
    moved_code = "\n\ndef edge(shape):\n    total = sum(shape.sides)\n    return total\n"
    _commit(repository, {"shapes/area.py": BEFORE + moved_code})
    commit = _commit(repository, {"shapes/area.py": None, "forms/area.py": AFTER + moved_code})
    rows = json.loads(_run(str(repository), "--commit", commit, "--json").stdout)
    assert [(row["type"], row["path_before"], row["path_after"]) for row in rows] == [
        ("Rename Variable", "shapes/area.py", "forms/area.py")
    ]


def test_a_merge_is_compared_with_its_first_parent(repository: Path, settings: RefactoringSettings) -> None:
    _git(repository, "checkout", "-q", "-b", "side")
    _commit(repository, {"side.py": "x = 1\n"})
    _git(repository, "checkout", "-q", "main")
    _commit(repository, {"shapes/area.py": AFTER})
    _git(repository, "merge", "-q", "--no-ff", "side", "-m", "Merge")
    assert commit_versions(repository, "HEAD", settings) == ({}, {"side.py": "x = 1\n"})


def test_what_is_too_large_or_no_code_is_left_out(repository: Path, settings: RefactoringSettings) -> None:
    big = "x = 1\n" * (settings.max_file_bytes // 6 + 1)
    _commit(repository, {"big.py": big, "small.py": "x = 1\n", "junk.py": b"\xff", "a.txt": "x"})
    (repository / "link.py").symlink_to("small.py")
    assert commit_versions(repository, _commit(repository, {"bigger.py": big + big}), settings) == ({}, {})
    assert commit_versions(repository, "HEAD~1", settings) == ({}, {"small.py": "x = 1\n"})
    assert sorted(folder_version(repository, settings)) == ["shapes/area.py", "small.py"]


def test_blobs_that_are_not_there_are_left_out(repository: Path, settings: RefactoringSettings) -> None:
    commit = _commit(repository, {"shapes/area.py": AFTER})
    blob = _git(repository, "rev-parse", "HEAD:shapes/area.py")
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    assert commit_versions(repository, commit, settings) == ({"shapes/area.py": BEFORE}, {})


def test_errors_say_what_to_do(repository: Path, tmp_path: Path, settings: RefactoringSettings) -> None:
    for name in ("nowhere", "--all"):
        with pytest.raises(SourceError, match=f"no commit '{name}'"):
            commit_versions(repository, name, settings)
    with pytest.raises(SourceError, match="not a git repository"):
        commit_versions(tmp_path, "HEAD", settings)
    with pytest.raises(NotADirectoryError, match="give two folders"):
        folder_version(tmp_path / "nothing", settings)
    assert _run(str(repository)).exit_code == 2
    assert _run(str(repository), str(repository), "--commit", "HEAD").exit_code == 2
    failed = _run(str(tmp_path / "none"), str(tmp_path / "none"))
    assert failed.exit_code == 1
    assert "not a folder" in failed.stderr


def test_no_configuration_of_the_repository_runs(repository: Path, tmp_path: Path) -> None:
    commit = _commit(repository, {"shapes/area.py": AFTER, ".gitattributes": "*.py diff=evil\n"})
    trap = tmp_path / "ran"
    for key in ("diff.evil.command", "diff.evil.textconv", "core.fsmonitor", "diff.external"):
        _git(repository, "config", key, f"touch {trap}")
    assert len(json.loads(_run(str(repository), "--commit", commit, "--json").stdout)) == 1
    assert not trap.exists()
