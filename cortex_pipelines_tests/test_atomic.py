import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortex_pipelines.atomic import atomic_file, discard, publish, scratch_folder, sweep, temporary_files, write_whole
from cortex_pipelines.jsonl import open_for_append
from cortex_pipelines_tests.messages import refusal
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
LIVING = CASES["LIVING"]


def living(folder: Path) -> "subprocess.Popen[str]":
    options = {"cwd": Path(__file__).parents[1], "env": {**os.environ, "CORTEX_TEMPORARY_BASE": str(folder)}}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", LIVING, str(folder)], **pipes, **options)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def test_what_the_living_hold_stays_and_what_the_dead_left_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lock").write_text("whole")
    (tmp_path / "notes").write_text("not ours to sweep")
    process = living(tmp_path)
    scratch_files = sorted(tmp_path.glob("*.aside"))
    assert (len(scratch_files), sweep(tmp_path)) == (3, 0)
    assert sorted(tmp_path.glob("*.aside")) == scratch_files
    process.send_signal(signal.SIGKILL)
    process.wait()
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)  # root may write everywhere
        assert sweep(tmp_path) == 0  # left to the user whose folder it is
    assert (sweep(tmp_path), sorted(entry.name for entry in tmp_path.iterdir())) == (3, ["lock", "notes"])
    assert (tmp_path / "lock").read_text() == "whole"
    (tmp_path / "lock").unlink()
    (tmp_path / "notes").unlink()
    living(tmp_path).communicate()
    assert ([entry.name for entry in tmp_path.iterdir()], (tmp_path / "lock").read_text()) == (["lock"], "ha")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EBADF, errno.EOPNOTSUPP])
def test_without_locks_nothing_is_begun_and_a_person_is_told(number: int, tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    for enter in (atomic_file(tmp_path / "lock"), scratch_folder(tmp_path), open_for_append(tmp_path / "events")):
        assert "cannot be locked here" in refusal(OSError, enter.__enter__)
    assert [entry.name for entry in tmp_path.iterdir()] == ["events"]


def test_scratch_files_that_belong_to_the_mount_are_made_and_left_to_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    write_whole(tmp_path / "lock", "whole")
    with scratch_folder(tmp_path) as scratch:
        assert scratch.is_dir()
    (tmp_path / "left.aside").touch()
    assert (sweep(tmp_path), sorted(entry.name for entry in tmp_path.iterdir())) == (0, ["left.aside", "lock"])


def test_an_error_leaves_a_file_and_who_may_read_it_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    write_whole(path, "whole")

    def fail() -> None:
        with atomic_file(path) as scratch:
            scratch.write_text("ha")
            raise RuntimeError("stopped")

    assert "stopped" in refusal(RuntimeError, fail)
    assert (path.read_text(), [entry.name for entry in tmp_path.iterdir()]) == ("whole", ["lock"])
    path = tmp_path / "key"
    path.touch(mode=0o600)
    write_whole(path, b"secret")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_folder_is_removed_whole_and_scratch_goes_after_an_error(tmp_path: Path) -> None:
    (tmp_path / "words" / "deep").mkdir(parents=True)
    discard(tmp_path / "words")

    def fail() -> None:
        with scratch_folder(tmp_path) as scratch:
            (scratch / "half").touch()
            raise RuntimeError("stopped")

    assert "stopped" in refusal(RuntimeError, fail)
    assert list(tmp_path.iterdir()) == []


def test_temporary_files_of_programs_lie_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_TEMPORARY_BASE", str(tmp_path))
    before = tempfile.gettempdir()
    with temporary_files(), temporary_files():
        (owned,) = tmp_path.iterdir()
        assert (Path(tempfile.mkdtemp()).parent, os.environ["TMPDIR"]) == (owned, str(owned))
    assert (tempfile.gettempdir(), os.environ["CORTEX_TEMPORARY_BASE"]) == (before, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(params=[0o022, 0o027])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def private(path: Path) -> None:
    """Write like safetensors: a temporary file that only its owner may read, renamed into place."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    os.write(handle, b"x")
    os.close(handle)
    Path(name).replace(path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_a_library_wrote_for_its_owner_alone_follows_the_umask(tmp_path: Path, umask: int) -> None:
    with atomic_file(tmp_path / "file") as scratch:
        private(scratch)
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    private(folder / "weights")
    (folder / "run").touch(0o700)
    (folder / "read_only").touch(0o400)
    (folder / "link").symlink_to(tmp_path / "nowhere")
    publish(folder, tmp_path / "folder")
    names = {"file": 0o666, "folder/weights": 0o666, "folder": 0o777, "folder/run": 0o777, "folder/read_only": 0o444}
    assert [mode(tmp_path / name) for name in names] == [each & ~umask for each in names.values()]


def test_a_file_made_private_on_purpose_stays_so(tmp_path: Path, umask: int) -> None:
    for _ in range(2):  # new, and replaced
        with atomic_file(tmp_path / "key") as scratch:
            scratch.chmod(0o600)
            scratch.write_text("secret")
        assert mode(tmp_path / "key") == 0o600
