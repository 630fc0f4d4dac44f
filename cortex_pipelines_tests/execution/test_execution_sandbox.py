import dataclasses
import os
import sys
from pathlib import Path

import pytest

from cortex_pipelines.atomic import temporary_files
from cortex_pipelines.execution.sandbox import first_process, sandbox
from cortex_pipelines.execution.sandbox.sandbox import CommandResult, SandboxError, run
from cortex_pipelines.execution.sandbox.settings import ResourceLimits
from cortex_pipelines_tests.messages import refusal
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
COMMANDS = CASES["COMMANDS"]
SECONDS, SIZES = {"wall_seconds": 20, "cpu_seconds": 10}, {"memory_bytes": 1 << 29, "address_bytes": 1 << 29}
LIMITS = ResourceLimits(**SECONDS, **SIZES, processes=24, folder_bytes=1 << 24, output_bytes=10_000)
pytestmark = pytest.mark.skipif(sandbox.unavailable() is not None, reason=str(sandbox.unavailable()))


def python(folder: Path, code: str, **changes: float) -> CommandResult:
    limits = dataclasses.replace(LIMITS, **changes)
    return run([sys.executable, "-c", code], folder, limits)


def test_a_command_sees_a_copy_of_its_folder_even_if_only_its_owner_may_enter(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("hello")
    (tmp_path / "sub").mkdir()
    code = "print(open('in.txt').read()); open('in.txt', 'w').write('x'); open('sub/new', 'w')"
    result = python(tmp_path, code)
    assert result == CommandResult(0, b"hello\n", b"", None)
    assert ((tmp_path / "in.txt").read_text(), list((tmp_path / "sub").iterdir())) == ("hello", [])
    with temporary_files():
        assert python(tmp_path, "print('here')") == CommandResult(0, b"here\n", b"", None)


@pytest.mark.parametrize(("code", "status", "out", "err"), COMMANDS.values(), ids=COMMANDS)
def test_a_command_in_the_sandbox(tmp_path: Path, code: str, status: int, out: str, err: str) -> None:
    assert python(tmp_path, code) == CommandResult(status, out.encode(), err.encode(), None)


def test_nothing_can_be_written_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    box = tmp_path / "box"
    for folder in (outside, box):
        folder.mkdir()
    targets = [str(outside), sys.prefix, "/usr", "/etc", "/"]
    code = (
        "import os\n"
        f"for place in {targets!r}:\n"
        "    try: open(os.path.join(place, 'written'), 'w'); print('wrote', place)\n"
        "    except OSError: pass\n"
    )
    result = python(box, code)
    assert (result.stdout, list(outside.iterdir())) == (b"", [])
    assert ((Path(sys.prefix) / "written").exists(), Path("/written").exists()) == (False, False)


def test_files_of_others_cannot_be_read_and_shared_ones_not_written(tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / "secret").write_text("x")
    result = python(tmp_path / "box", f"open({str(tmp_path / 'secret')!r})")
    assert b"FileNotFoundError" in result.stderr
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "a").write_text("data")
    code = f"print(open({str(shared / 'a')!r}).read()); open({str(shared / 'b')!r}, 'w')"
    result = run([sys.executable, "-c", code], tmp_path / "box", LIMITS, readable=[shared])
    assert result.stdout == b"data\n"
    assert b"Read-only file system" in result.stderr


def test_forks_memory_processor_time_and_output_are_limited(tmp_path: Path) -> None:
    result = python(tmp_path, CASES["FORK_BOMB"])
    assert result.status == 0
    assert 0 < int(result.stdout) < LIMITS.processes
    result = python(tmp_path, "bytearray(1 << 30)")
    assert result.status == 1
    assert b"MemoryError" in result.stderr
    assert python(tmp_path, "while True: pass", cpu_seconds=1).status >= 128
    result = python(tmp_path, "while True: print('x' * 1000)")
    assert (result.stopped, len(result.stdout)) == ("output", LIMITS.output_bytes)


def test_time_is_limited(tmp_path: Path) -> None:
    code = "import time; print(1, flush=True); time.sleep(600)"
    for seconds in (1, 5, 25):  # a busy machine may need longer until the command begins
        result = python(tmp_path, code, wall_seconds=seconds)
        if result.stdout:
            break
    assert result == CommandResult(-1, b"1\n", b"", "time")


@pytest.mark.parametrize("size", ["(1 << 25,)", "[1 << 20] * 40"])
def test_the_disk_is_limited(tmp_path: Path, size: str) -> None:
    code = f"for n, size in enumerate({size}): open(str(n), 'wb').write(bytes(size))"
    result = python(tmp_path, code)
    assert result.status != 0


def test_grandchildren_end_with_the_command(tmp_path: Path) -> None:
    marker = f"cortex-sandbox-grandchild-{os.getpid()}"  # others may run this test, too
    code = CASES["GRANDCHILD"].replace("MARKER", marker)
    assert python(tmp_path, code).status == 0
    assert python(tmp_path, code + "time.sleep(600)\n", wall_seconds=1).stopped == "time"
    running = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            running.append(entry.read_bytes())
        except OSError:
            continue
    assert not [line for line in running if marker.encode() in line and b"time.sleep" in line]


def test_the_environment_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "secret")
    code = "import os; print('SOME_TOKEN' in os.environ, os.environ['EXTRA'], os.getcwd())"
    result = run([sys.executable, "-c", code], tmp_path, LIMITS, {"EXTRA": "1"})
    assert result.stdout == f"False 1 {first_process.BOX}\n".encode()


def test_without_namespaces_or_the_program_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no-such-program cannot be run" in refusal(SandboxError, run, ["no-such-program"], tmp_path, LIMITS)
    (tmp_path / "large").write_bytes(bytes(1 << 20))
    with pytest.raises(SandboxError, match="cannot be copied"):
        run([sys.executable, "-c", ""], tmp_path, dataclasses.replace(LIMITS, folder_bytes=4096))

    def refuse(process: int) -> None:
        raise SandboxError("user ids cannot be mapped: no")

    monkeypatch.setattr(sandbox, "_map_ids", refuse)
    with pytest.raises(SandboxError, match="user ids cannot be mapped"):
        run([sys.executable, "-c", "print(1)"], tmp_path, LIMITS)
    assert sandbox.unavailable.__wrapped__() == "no sandbox on this machine: user ids cannot be mapped: no"
