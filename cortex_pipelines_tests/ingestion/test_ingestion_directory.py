import errno
import os
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.readers.files import content_hash

PLAIN = {"directory": "plain"}


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    folder = tmp_path / "plain"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.py").write_text("a = 1\n")
    (folder / "sub/b.go").write_text("package b\n")
    return folder


def test_a_pin_is_a_hash_of_paths_and_content(plain: Path, take: Any, read_pinned: Any) -> None:
    pinned = take(PLAIN)
    assert set(pinned.pins[0]) == {"directory", "sha256"}
    (plain / "a.py").touch()
    (plain / "a.py").chmod(0o755)
    (plain / "empty").mkdir()
    assert read_pinned(pinned).texts == {"a.py": "a = 1\n", "sub/b.go": "package b\n"}


@pytest.mark.parametrize("name", ["a.py", "sub"])
def test_what_may_not_be_read_is_an_error_of_the_source(plain: Path, take: Any, monkeypatch, name: str) -> None:
    def refused(path: Path, *_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open" if name == "a.py" else "exists", refused)
    with pytest.raises(SourceError, match=rf"cannot read .*/{name}.*: Permission denied; grant read access"):
        take(PLAIN)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a.py").write_text("a = 2\n"),
        lambda folder: (folder / "a.py").unlink(),
        lambda folder: (folder / "a.py").rename(folder / "c.py"),
        lambda folder: (folder / "new.py").write_text(""),
        lambda folder: (folder / "a.py").write_bytes(bytes(200_000)),
        lambda folder: (folder / "sub/link").symlink_to("elsewhere"),
        lambda folder: os.mkfifo(folder / "pipe"),
    ],
)
def test_any_change_asks_for_an_update(plain: Path, take: Any, read_pinned: Any, change: Any) -> None:
    pinned = take(PLAIN)
    change(plain)
    with pytest.raises(SourceError, match=r"has changed.*cortex update"):
        read_pinned(pinned)
    assert take(PLAIN) != pinned


def test_what_tools_keep_beside_the_sources_does_not_count(plain: Path, read: Any) -> None:
    before = content_hash(plain)
    for name in (".git", "__pycache__", "node_modules", "venv", "sub/cache"):
        (plain / name).mkdir()
        (plain / name / "x.py").write_text("x = 1\n")
    (plain / "venv/pyvenv.cfg").write_text("")
    (plain / "sub/cache/CACHEDIR.TAG").write_text("")
    assert content_hash(plain) == before
    assert list(read(PLAIN).texts) == ["a.py", "sub/b.go"]


def test_links_and_pipes_are_left_out(tmp_path: Path, plain: Path, read: Any) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.py").write_text("x = 1\n")
    (plain / "folder").symlink_to(tmp_path / "outside")
    (plain / "file.py").symlink_to(tmp_path / "outside/secret.py")
    os.mkfifo(plain / "pipe")
    tables = read(PLAIN)
    assert list(tables.texts) == ["a.py", "sub/b.go"]
    assert tables.reasons == {"folder": "link", "file.py": "link", "pipe": "special"}


def test_the_hash_covers_what_the_limits_leave_out(plain: Path, take: Any, read: Any, read_pinned: Any) -> None:
    (plain / "z.bin").write_bytes(bytes(200_000))
    pinned = take(PLAIN)
    assert read(PLAIN).reasons == {"z.bin": "too_large"}
    assert read(PLAIN, max_files=1).reasons == {"sub/b.go": "too_many_files"}
    (plain / "z.bin").write_bytes(bytes(200_001))
    with pytest.raises(SourceError, match="has changed"):
        read_pinned(pinned)


def test_a_missing_folder_is_said(take: Any) -> None:
    with pytest.raises(SourceError, match=r"no such folder.*params\.yaml"):
        take({"directory": "nowhere"})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_said(plain: Path, take: Any) -> None:
    (plain / "sub").chmod(0)
    try:
        with pytest.raises(SourceError, match="grant read access"):
            take(PLAIN)
    finally:
        (plain / "sub").chmod(0o755)
