import json
from pathlib import Path

import pytest

from cortex_pipelines.extraction.refactoring.model import CONTRACT
from cortex_pipelines.extraction.refactoring.versions import commit_versions, folder_version
from cortex_pipelines.extraction.settings import RefactoringSettings
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines_tests.command import cortex
from cortex_pipelines_tests.ingestion.conftest import Repository

BEFORE = """
def area(width, height):
    size = width * height
    check(size, "area")
    return size
"""
AFTER = BEFORE.replace("size", "result")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "repository")
    repository.commit({"shapes/area.py": BEFORE, "README.md": "# Shapes\n", "broken.py": b"\xff\xfe\x00"})
    return repository


def test_two_folders_as_json(tmp_path: Path) -> None:
    for name, text in (("before", BEFORE), ("after", AFTER)):
        folder = tmp_path / name
        (folder / ".git").mkdir(parents=True)
        (folder / ".git" / "hook.py").write_text(name)
        (folder / "area.py").write_text(text)
        (folder / "notes.txt").write_text(name)
        (folder / "link.py").symlink_to("area.py")
        (folder / "tool").write_text("#!/usr/bin/env python\n" + text)
    result = cortex("refactorings", tmp_path / "before", tmp_path / "after", "--json")
    rows = json.loads(result.stdout)
    assert ([row["path_after"] for row in rows], tuple(rows[0])) == (["area.py", "tool"], CONTRACT)
    assert list(rows[0].values()) == [
        *("Rename Variable", "size", "result", "area", "area", "area.py", "area.py", 3, 3),
        *("The variable size was renamed to result in the function area.", "pure"),
    ]
    assert "2 refactorings" in result.stderr


def test_a_commit_as_json_and_as_a_table(repository: Repository) -> None:
    commit = repository.commit({"shapes/area.py": AFTER, "README.md": "# Forms\n"})
    rows = json.loads(cortex("refactorings", repository.folder, "--commit", commit, "--json").stdout)
    assert [(row["type"], row["name_after"]) for row in rows] == [("Rename Variable", "result")]
    assert json.loads(cortex("refactorings", repository.folder, "--commit", "HEAD~1", "--json").stdout) == []
    table = cortex("refactorings", repository.folder, "--commit", commit[:10])
    assert "Rename Variable" in table.stdout
    assert "pure" in table.stdout


def test_a_bare_repository_and_a_work_tree(repository, tmp_path: Path, settings: RefactoringSettings) -> None:
    commit = repository.commit({"shapes/area.py": AFTER})
    bare, tree = tmp_path / "bare", tmp_path / "tree"
    repository("clone", "-q", "--bare", str(repository.folder), str(bare))
    repository("worktree", "add", "-q", str(tree))
    for folder in (repository.folder, bare, tree):
        assert commit_versions(folder, commit, settings) == ({"shapes/area.py": BEFORE}, {"shapes/area.py": AFTER})


def test_a_moved_file_is_followed_through_a_commit(repository: Repository) -> None:
    moved_code = "\n\ndef edge(shape):\n    total = sum(shape.sides)\n    return total\n"
    repository.commit({"shapes/area.py": BEFORE + moved_code})
    commit = repository.commit({"shapes/area.py": None, "forms/area.py": AFTER + moved_code})
    rows = json.loads(cortex("refactorings", repository.folder, "--commit", commit, "--json").stdout)
    assert [(row["type"], row["path_before"], row["path_after"]) for row in rows] == [
        ("Rename Variable", "shapes/area.py", "forms/area.py")
    ]


def test_a_merge_is_compared_with_its_first_parent(repository: Repository, settings: RefactoringSettings) -> None:
    repository("checkout", "-q", "-b", "side")
    repository.commit({"side.py": "x = 1\n"})
    repository("checkout", "-q", "main")
    repository.commit({"shapes/area.py": AFTER})
    repository("merge", "-q", "--no-ff", "side", "-m", "Merge")
    assert commit_versions(repository.folder, "HEAD", settings) == ({}, {"side.py": "x = 1\n"})


def test_what_is_too_large_or_no_code_is_left_out(repository: Repository, settings: RefactoringSettings) -> None:
    big = "x = 1\n" * (settings.max_file_bytes // 6 + 1)
    repository.commit({"big.py": big, "small.py": "x = 1\n", "junk.py": b"\xff", "a.txt": "x"})
    (repository.folder / "link.py").symlink_to("small.py")
    assert commit_versions(repository.folder, repository.commit({"bigger.py": big + big}), settings) == ({}, {})
    assert commit_versions(repository.folder, "HEAD~1", settings) == ({}, {"small.py": "x = 1\n"})
    assert sorted(folder_version(repository.folder, settings)) == ["shapes/area.py", "small.py"]


def test_blobs_that_are_not_there_are_left_out(repository: Repository, settings: RefactoringSettings) -> None:
    commit = repository.commit({"shapes/area.py": AFTER})
    blob = repository("rev-parse", "HEAD:shapes/area.py")
    (repository.folder / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    assert commit_versions(repository.folder, commit, settings) == ({"shapes/area.py": BEFORE}, {})


def test_errors_say_what_to_do(repository: Repository, tmp_path: Path, settings: RefactoringSettings) -> None:
    for name in ("nowhere", "--all"):
        with pytest.raises(SourceError, match=f"no commit '{name}'"):
            commit_versions(repository.folder, name, settings)
    with pytest.raises(SourceError, match="not a git repository"):
        commit_versions(tmp_path, "HEAD", settings)
    with pytest.raises(NotADirectoryError, match="give two folders"):
        folder_version(tmp_path / "nothing", settings)
    cortex("refactorings", repository.folder, status=2)
    cortex("refactorings", repository.folder, repository.folder, "--commit", "HEAD", status=2)
    none = tmp_path / "none"
    assert "not a folder" in cortex("refactorings", none, none, status=1).stderr


def test_no_configuration_of_the_repository_runs(repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit({"shapes/area.py": AFTER, ".gitattributes": "*.py diff=evil\n"})
    trap = tmp_path / "ran"
    for key in ("diff.evil.command", "diff.evil.textconv", "core.fsmonitor", "diff.external"):
        repository("config", key, f"touch {trap}")
    assert len(json.loads(cortex("refactorings", repository.folder, "--commit", commit, "--json").stdout)) == 1
    assert not trap.exists()
