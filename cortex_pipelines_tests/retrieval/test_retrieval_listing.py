import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortex_pipelines.api import load_parameters
from cortex_pipelines.retrieval.index import read_folder
from cortex_pipelines.retrieval.listing import list_files
from cortex_pipelines.retrieval.open_index import index_folder, reading_limits

PARAMETERS = load_parameters()
CODE = "def alpha():\n    return 1\n"


def committed(folder: Path) -> str:
    person = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    git = ["git", "-C", str(folder), *person, "-c", "advice.addEmbeddedRepo=false"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *arguments], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def test_a_file_and_a_folder_that_vanish_while_they_are_listed_are_not_there(tmp_path, monkeypatch) -> None:
    (tmp_path / "below").mkdir()
    for name in ("kept.py", "gone.py"):
        (tmp_path / name).write_text(CODE)
    scanned = os.scandir

    def scan(folder: Path) -> Iterator[os.DirEntry[str]]:
        entries = list(scanned(folder))
        if (tmp_path / "gone.py").exists():
            (tmp_path / "gone.py").unlink()
            (tmp_path / "below").rmdir()
        return iter(entries)

    monkeypatch.setattr(os, "scandir", scan)
    assert [(file.path, file.left_out) for file in list_files(tmp_path)] == [("kept.py", "")]


def test_unsafe_names_and_folders_that_may_not_be_listed_are_counted(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "code"
    for name in ("locked", "C:"):
        (folder / name).mkdir(parents=True)
    for name in ("a.py", "locked/b.py", "C:/drive.py", "x" * 250 + ".py"):
        (folder / name).write_text(CODE)
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.py")).write_text(CODE)
    scanned = os.scandir

    def scan(folder: Path) -> Iterator[os.DirEntry[str]]:
        if str(folder).endswith("locked"):  # by hand, as root may list everything
            raise PermissionError(13, "Permission denied")
        return scanned(folder)

    monkeypatch.setattr(os, "scandir", scan)
    indexing = index_folder(folder, tmp_path / "out", PARAMETERS, "none")
    assert indexing.files == 1
    assert indexing.left_out == {
        "a name of 253 bytes; at most 240 can be written anywhere": 1,
        "the path is absolute": 1,
        "the path is not UTF-8": 1,
        "unreadable folder": 1,
    }


def test_only_what_a_commit_has_is_of_that_commit(tmp_path: Path) -> None:
    nested = tmp_path / "nested"
    nested.mkdir()
    for path in (tmp_path / "same.py", tmp_path / "edited.py", nested / "own.py"):
        path.write_text(CODE)
    committed(nested)
    (tmp_path / ".gitignore").write_text("")
    head = committed(tmp_path)
    (tmp_path / "edited.py").write_text(CODE + "\n")
    (tmp_path / "new.py").write_text(CODE)
    (tmp_path / "module").mkdir()
    (tmp_path / "module" / ".git").write_text("gitdir: ../.git/modules/module\n")
    files = read_folder(tmp_path, reading_limits(PARAMETERS))
    expected = dict.fromkeys((".gitignore", "same.py"), head)
    assert {file.path: file.commit for file in files} == {
        **dict.fromkeys(("edited.py", "new.py", "nested/own.py")),
        **expected,
    }
    (below,) = read_folder(nested, reading_limits(PARAMETERS))
    assert below.commit not in (None, head)


def test_files_that_a_repository_marks_are_listed_as_marked(tmp_path) -> None:
    for name in ("vendor/copy.py", "src/made.py", "src/own.py", "src/gen/a.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(CODE)
    (tmp_path / ".gitattributes").write_text("vendor/* linguist-vendored\nsrc/gen/** gitlab-generated\n")
    (tmp_path / "src" / ".gitattributes").write_text("made.py linguist-generated=true\n")
    committed(tmp_path)
    assert [file.path for file in list_files(tmp_path) if file.marked] == [
        "src/gen/a.py",
        "src/made.py",
        "vendor/copy.py",
    ]
    assert [file.path for file in list_files(tmp_path / "src") if file.marked] == ["gen/a.py", "made.py"]
    read = {file.path: file.generated for file in read_folder(tmp_path, reading_limits(PARAMETERS))}
    assert (read["vendor/copy.py"], read["src/own.py"]) == (True, False)
