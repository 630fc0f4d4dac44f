"""Running code that nobody here has written, so that it can do no harm.

The command gets namespaces of its own (user, network, mounts, processes, IPC, host name): no
network at all; a root folder of its own with nothing but the system's programs and libraries and
this Python, all read-only, and a copy of one folder in memory, the only place it can write to;
when its first process ends or the time is up, the kernel ends all the others. Resource limits bound
processor time, memory, processes, file sizes and output. Only Linux (5.12 or newer) that lets
users make namespaces can do this; elsewhere ``unavailable`` says why, and nothing is run.

What is not bounded: memory counts a process, so all together may use the limit times the processes.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess  # nosec B404
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import RawIOBase
from pathlib import Path
from typing import IO

from cortex_pipelines import sandbox_stage

_STAGE = Path(sandbox_stage.__file__)
_NOBODY = 65534
_CHUNK = 65536
_SECONDS_TO_END = 10.0


class SandboxError(RuntimeError):
    """The sandbox could not be set up; the command has not been run."""


@dataclass(frozen=True)
class Limits:
    """What a command may use.

    Args:
        wall_seconds: Time until it is ended.
        cpu_seconds: Processor time of one process.
        memory_bytes: Address space of one process.
        processes: Processes and threads at a time.
        folder_bytes: All that it writes, the copy of its folder included.
        output_bytes: Of standard output and error together; it is ended when it writes more.
    """

    wall_seconds: float
    cpu_seconds: int
    memory_bytes: int
    processes: int
    folder_bytes: int
    output_bytes: int


@dataclass(frozen=True)
class Result:
    """How a command ended.

    Args:
        status: Exit status; 128 and more: the signal that ended it, plus 128. -1 if stopped.
        stdout: What it wrote, cut at the limit.
        stderr: Likewise.
        stopped: ``time`` or ``output`` if the sandbox ended it for that, else None.
    """

    status: int
    stdout: bytes
    stderr: bytes
    stopped: str | None


@cache
def unavailable() -> str | None:
    """Why code cannot be run here in a sandbox; None if it can. Found out by trying."""
    limits = Limits(20, 10, 1 << 30, 16, 1 << 20, 1 << 16)
    try:
        with tempfile.TemporaryDirectory() as folder:
            result = run([sys.executable, "-I", "-c", "print(1)"], Path(folder), limits)
    except (SandboxError, OSError) as error:
        return f"no sandbox on this machine: {error}"
    if result.stdout.strip() != b"1":
        words = result.stderr.decode(errors="replace").strip()[-200:] or f"status {result.status}"
        return f"no sandbox on this machine: a first command failed: {words}"
    return None


def run(
    command: Sequence[str],
    folder: Path,
    limits: Limits,
    environment: Mapping[str, str] | None = None,
    readable: Sequence[Path] = (),
) -> Result:
    """Run a command on a copy of a folder. Nothing comes back but what it prints.

    Args:
        command: Program and arguments. Relative paths are those of the folder.
        folder: What it works on; a copy of it is the working folder. It stays as it is.
        limits: What it may use.
        environment: Variables beside the few that are set (PATH, HOME, LANG, TMPDIR).
        readable: Folders it may read beside the system's and Python's.

    Raises:
        SandboxError: the sandbox could not be set up, or the program is not there. Never is the
            command run without one.
    """
    if not sys.platform.startswith("linux"):
        raise SandboxError(f"namespaces are a part of Linux, this is {sys.platform}")
    with tempfile.TemporaryDirectory(prefix="cortex-sandbox-") as root:
        plan: dict[str, object] = {
            "command": list(command),
            "folder": str(folder.resolve()),
            "root": root,
            "readable": _readable(readable),
            "environment": _environment(environment or {}),
            "limits": vars(limits),
        }
        return _Run(plan, limits).result()


def _readable(extra: Sequence[Path]) -> list[str]:
    prefixes = [sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parent.parent)]
    return [*sandbox_stage.SYSTEM, *prefixes, *(str(path.resolve()) for path in extra)]


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    home = sandbox_stage.BOX
    programs = [str(Path(sys.prefix) / "bin"), "/usr/local/bin", "/usr/bin", "/bin"]
    few = {"PATH": ":".join(programs), "HOME": home, "LANG": "C.UTF-8", "TMPDIR": "/tmp"}  # nosec B108
    return {**few, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", **extra}


class _Run:
    """One command in its sandbox: the side that stays outside."""

    def __init__(self, plan: dict[str, object], limits: Limits) -> None:
        self._plan = plan
        self._limits = limits
        self._output = {"stdout": bytearray(), "stderr": bytearray()}

    def result(self) -> Result:
        plan_read, plan_write = os.pipe()
        news_read, news_write = os.pipe()
        with os.fdopen(plan_write, "wb") as plan, os.fdopen(news_read, "rb", buffering=0) as news:
            process = subprocess.Popen(  # nosec B603
                [sys.executable, "-I", "-S", str(_STAGE), str(plan_read), str(news_write)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(plan_read, news_write),
                start_new_session=True,
                env={},
            )
            os.close(plan_read)
            os.close(news_write)
            try:
                self._begin(process, plan, news)
                stopped = self._watch(process)
                trouble = news.read(_CHUNK)
            finally:
                status = _ended(process)
                for stream in (process.stdout, process.stderr):
                    if stream is not None:
                        stream.close()
        if trouble:
            raise SandboxError(trouble.decode(errors="replace"))
        out, err = (bytes(self._output[name]) for name in ("stdout", "stderr"))
        return Result(-1 if stopped else status, out, err, stopped)

    def _begin(self, process: "subprocess.Popen[bytes]", plan: IO[bytes], news: RawIOBase) -> None:
        """Wait for the namespaces, say who is who in them, and hand over the plan."""
        first = news.read(1) or b""
        if first != sandbox_stage.READY:
            words = (first + (news.read(_CHUNK) or b"")).decode(errors="replace")
            raise SandboxError(words or "the first process ended before it began")
        try:
            _map_ids(process.pid)
        except OSError as error:
            raise SandboxError(f"user ids cannot be mapped: {error}") from error
        plan.write(json.dumps(self._plan).encode())
        plan.close()

    def _watch(self, process: "subprocess.Popen[bytes]") -> str | None:
        """Collect what the command writes until it ends; why it was stopped, if it was."""
        end = time.monotonic() + self._limits.wall_seconds
        with selectors.DefaultSelector() as selector:
            for name in self._output:
                selector.register(getattr(process, name), selectors.EVENT_READ, name)
            while selector.get_map():
                left = end - time.monotonic()
                ready = selector.select(left) if left > 0 else []
                if not ready:
                    return "time"
                for key, _ in ready:
                    chunk = os.read(key.fd, _CHUNK)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    elif not self._keep(key.data, chunk):
                        return "output"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end - time.monotonic()))
            return None
        return "time"

    def _keep(self, name: str, chunk: bytes) -> bool:
        room = self._limits.output_bytes - sum(map(len, self._output.values()))
        self._output[name] += chunk[:room]
        return len(chunk) <= room


def _ended(process: "subprocess.Popen[bytes]") -> int:
    """Status of the first process, when it and all others have ended."""
    process.terminate()  # it ends its namespace and waits for that
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(_SECONDS_TO_END)
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _map_ids(process: int) -> None:
    """Root sets up as itself and then becomes nobody, so that the limit of processes holds."""
    folder = Path("/proc") / str(process)
    user, group = os.geteuid(), os.getegid()
    inner = sandbox_stage.USER
    if user == 0:
        maps = [f"0 0 1\n{inner} {_NOBODY} 1"] * 2
    else:
        maps = [f"{inner} {user} 1", f"{inner} {group} 1"]
        (folder / "setgroups").write_text("deny")
    (folder / "gid_map").write_text(maps[1])
    (folder / "uid_map").write_text(maps[0])
