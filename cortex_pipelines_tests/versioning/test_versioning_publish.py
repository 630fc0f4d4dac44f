import ctypes
import errno
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cortex_pipelines.atomic import replace_folder


def folder(path: Path, text: str) -> Path:
    path.mkdir(parents=True)
    (path / f"{text}.txt").write_text(text)
    return path


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


class System:
    """A C library whose renameat2 fails with a code, or is not there."""

    def __init__(self, code: int) -> None:
        self.code = code

    def renameat2(self, *_: Any) -> int:
        ctypes.set_errno(self.code)
        return -1


def test_the_first_output_is_renamed(tmp_path: Path) -> None:
    replace_folder(folder(tmp_path / "new", "a"), tmp_path / "data" / "words")
    assert (names(tmp_path / "data" / "words"), names(tmp_path)) == (["a.txt"], ["data"])


@pytest.mark.parametrize("system", [None, System(errno.EINVAL), object()], ids=["here", "no exchange", "not Linux"])
def test_an_output_is_replaced_by_the_new_one(tmp_path: Path, system: Any) -> None:
    new, target = folder(tmp_path / "new", "b"), folder(tmp_path / "words", "a")
    with mock.patch("ctypes.CDLL", return_value=system or ctypes.CDLL(None, use_errno=True)):
        replace_folder(new, target)
    assert names(target) == ["b.txt"]


def test_a_failing_exchange_changes_nothing(tmp_path: Path) -> None:
    new, target = folder(tmp_path / "new", "b"), folder(tmp_path / "words", "a")
    with (
        mock.patch("ctypes.CDLL", return_value=System(errno.ENOSPC)),
        pytest.raises(OSError, match="No space left on device"),
    ):
        replace_folder(new, target)
    assert (names(target), names(new)) == (["a.txt"], ["b.txt"])
