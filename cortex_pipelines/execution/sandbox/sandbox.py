"""Run untrusted code in a sandbox.

The command gets namespaces of its own (user, network, mounts, processes, IPC, host name): no
network at all; a root folder of its own with nothing but the system's programs and libraries and
this Python, all read-only, and a copy of one folder in memory, the only place it can write to;
when its first process ends, the time is up or this process ends, the kernel ends all the others. A
filter refuses the system calls that no test needs (``seccomp``), and the keys of the host's user
are out of reach. Limits bound processor time, memory, processes, files and output.

There are two doors with the same guarantees: bubblewrap, where it is installed, for the last steps,
and otherwise this package's own. Only Linux (5.12 or newer) that lets users make namespaces can do
this; elsewhere ``unavailable`` says why, and nothing is run.
"""

import base64
import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess  # nosec B404
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import RawIOBase
from pathlib import Path
from typing import Literal

from cortex_pipelines.atomic import temporary_folder
from cortex_pipelines.execution.sandbox import filesystem_view, memory, seccomp
from cortex_pipelines.execution.sandbox.settings import ResourceLimits

Door = Literal["bubblewrap", "own"]
DOORS: tuple[Door, ...] = ("bubblewrap", "own")
"""Ways to enter a sandbox, in order of preference."""

REMEDY = (
    "let users make namespaces (sysctl user.max_user_namespaces above 0; on Ubuntu also "
    "kernel.apparmor_restrict_unprivileged_userns=0; in a container --security-opt "
    "seccomp=unconfined), on Linux 5.12 or newer, x86_64 or aarch64"
)
"""What to do where no sandbox is available."""

_STAGE = Path(filesystem_view.__file__)
_NOBODY = 65534
_CHUNK = 65536
_SECONDS_TO_END = 10.0


class SandboxError(RuntimeError):
    """The sandbox could not be set up, and the command was not run."""


@dataclass(frozen=True)
class CommandResult:
    """Result of a command.

    Args:
        status: Exit status; 128 and more: the signal that ended it, plus 128. -1 if stopped.
        stdout: Its standard output, cut at the limit.
        stderr: Its standard error, likewise.
        stopped: ``time``, ``output`` or ``memory`` if the sandbox ended it for that, else None.
    """

    status: int
    stdout: bytes
    stderr: bytes
    stopped: str | None


def unavailable() -> str | None:
    """Reason why no sandbox works on this machine, found by trying; None if one does."""
    return None if _door() else f"no sandbox on this machine: {trouble('own')}"


@cache
def trouble(door: Door) -> str | None:
    """Reason why a door does not work on this machine, found by trying; None if it does."""
    if door == "bubblewrap" and _bubblewrap() is None:
        return "bwrap is not on the PATH"
    limits = ResourceLimits(
        wall_seconds=20,
        cpu_seconds=10,
        memory_bytes=1 << 30,
        address_bytes=1 << 30,
        processes=16,
        folder_bytes=1 << 20,
        output_bytes=1 << 16,
    )
    try:
        with temporary_folder("probe") as folder:
            result = run([sys.executable, "-I", "-c", "print(1)"], folder, limits, door=door)
    except (SandboxError, OSError) as error:
        return str(error)
    if result.stdout.strip() != b"1":
        words = result.stderr.decode(errors="replace").strip()[-200:] or f"status {result.status}"
        return f"a first command failed: {words}"
    return None


def _door() -> Door | None:
    return next((door for door in DOORS if trouble(door) is None), None)


@cache
def _bubblewrap() -> str | None:
    return shutil.which("bwrap")


def run(
    command: Sequence[str],
    folder: Path,
    limits: ResourceLimits,
    environment: Mapping[str, str] | None = None,
    readable: Sequence[Path] = (),
    door: Door | None = None,
) -> CommandResult:
    """Run a command on a copy of a folder; only its output comes back.

    Args:
        command: Program and arguments. Relative paths are those of the folder.
        folder: Folder whose copy is the working folder. The original does not change.
        limits: Resource limits.
        environment: Variables in addition to PATH, HOME, LANG and TMPDIR.
        readable: Readable folders in addition to the system's and Python's.
        door: Default: the first of ``DOORS`` that works on this machine.

    Raises:
        SandboxError: the sandbox could not be set up, or the program is missing. The command is
            never run without a sandbox.
    """
    if not sys.platform.startswith("linux"):
        raise SandboxError(f"namespaces require Linux, this is {sys.platform}")
    variables = _environment(environment or {})
    readable_paths = _readable_paths(readable)
    _check_program(command[0], folder, variables["PATH"], readable_paths)
    door = door or _door() or "own"
    with temporary_folder("sandbox") as root:
        plan: dict[str, object] = {
            "command": list(command),
            "folder": str(folder.resolve()),
            "root": str(root),
            "readable": readable_paths,
            "environment": variables,
            "limits": vars(limits),
            **_filter(),
        }
        if door == "bubblewrap":
            plan["bubblewrap"] = _bubblewrap()
        return _Run(plan, limits, door).result()


@cache
def _filter() -> dict[str, object]:
    try:
        code = base64.b64encode(seccomp.program()).decode()
    except seccomp.UnknownMachineError as error:
        raise SandboxError(str(error)) from error
    return {"filter": code, "join_session_keyring": seccomp.numbers()["keyctl"]}


def _check_program(program: str, folder: Path, path: str, readable_paths: Sequence[str]) -> None:
    """Raise if a program is missing, which bubblewrap would report as the program's failure."""
    inside = [Path(root) for root in (*readable_paths, str(folder.resolve()))]
    executable = shutil.which(str(folder / program) if "/" in program else program, path=path)
    if executable is None or not any(Path(executable).is_relative_to(root) for root in inside):
        raise SandboxError(f"{program} cannot be run: not found inside the sandbox")


def _readable_paths(extra: Sequence[Path]) -> list[str]:
    prefixes = [sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parent.parent)]
    return [*filesystem_view.SYSTEM, *prefixes, *(str(path.resolve()) for path in extra)]


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    home = filesystem_view.BOX
    programs = [str(Path(sys.prefix) / "bin"), "/usr/local/bin", "/usr/bin", "/bin"]
    few = {"PATH": ":".join(programs), "HOME": home, "LANG": "C.UTF-8", "TMPDIR": "/tmp"}  # nosec B108
    few["PWD"] = home  # bubblewrap sets it
    return {**few, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", **extra}


class _Run:
    """One command in its sandbox, seen from outside."""

    def __init__(self, plan: dict[str, object], limits: ResourceLimits, door: Door) -> None:
        self._plan = plan
        self._door = door
        self._limits = limits
        self._output = {"stdout": bytearray(), "stderr": bytearray()}

    def result(self) -> CommandResult:
        plan_read, plan_write = os.pipe()
        news_read, news_write = os.pipe()
        ends = (plan_read, news_write, os.getpid())
        with os.fdopen(plan_write, "wb") as plan, os.fdopen(news_read, "rb", buffering=0) as news:
            process = subprocess.Popen(  # nosec B603
                [sys.executable, "-I", "-S", str(_STAGE), *map(str, ends), self._door],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(plan_read, news_write),
                start_new_session=True,
                env={},
            )
            os.close(plan_read)
            os.close(news_write)
            watch: memory.MemoryMonitor | None = None
            stopped: str | None = None
            try:
                self._begin(process, news)
                watch = memory.watch(process.pid, self._limits)
                plan.write(json.dumps(self._plan).encode())
                plan.close()
                stopped = self._watch(process, watch)
            finally:
                status = _wait_for_end(process)
                if watch is not None:
                    stopped = stopped or ("memory" if watch.exceeded() else None)
                    watch.close()
                for stream in (process.stdout, process.stderr):
                    if stream is not None:
                        stream.close()
            trouble = news.read(_CHUNK)
        out, err = (bytes(self._output[name]) for name in ("stdout", "stderr"))
        if trouble and not stopped:
            words = trouble.decode(errors="replace")
            if self._door == "bubblewrap" and err:
                words = f"{words}: {err.decode(errors='replace').strip()[-200:]}"
            raise SandboxError(words)
        return CommandResult(-1 if stopped else status, out, err, stopped)

    def _begin(self, process: "subprocess.Popen[bytes]", news: RawIOBase) -> None:
        """Wait for the namespaces and map user ids."""
        first = news.read(1) or b""
        if first != filesystem_view.READY:
            words = (first + (news.read(_CHUNK) or b"")).decode(errors="replace")
            raise SandboxError(words or "the first process ended before the command started")
        try:
            _map_ids(process.pid)
        except OSError as error:
            raise SandboxError(f"user ids cannot be mapped: {error}") from error

    def _watch(self, process: "subprocess.Popen[bytes]", watch: memory.MemoryMonitor) -> str | None:
        """Collect output until the command ends; returns why it was stopped, if it was."""
        end = time.monotonic() + self._limits.wall_seconds
        look = time.monotonic() + memory.SECONDS_BETWEEN
        with selectors.DefaultSelector() as selector:
            for name in self._output:
                selector.register(getattr(process, name), selectors.EVENT_READ, name)
            while process.poll() is None or selector.get_map():
                current_time = time.monotonic()
                if current_time >= end:
                    return "time"
                if current_time >= look:
                    if watch.exceeded():
                        return "memory"
                    look = time.monotonic() + memory.SECONDS_BETWEEN
                wait = max(0.0, min(end, look) - current_time)
                if not selector.get_map():
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(wait)
                    continue
                for key, _ in selector.select(wait):
                    chunk = os.read(key.fd, _CHUNK)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    elif not self._keep(key.data, chunk):
                        return "output"
        return None

    def _keep(self, name: str, chunk: bytes) -> bool:
        room = self._limits.output_bytes - sum(map(len, self._output.values()))
        self._output[name] += chunk[:room]
        return len(chunk) <= room


def _wait_for_end(process: "subprocess.Popen[bytes]") -> int:
    """Exit status of the first process, once it and all others have ended."""
    process.terminate()  # it ends its namespace and waits for that
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(_SECONDS_TO_END)
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _map_ids(process: int) -> None:
    """Map root to set up and nobody to run, so that the process limit applies."""
    folder = Path("/proc") / str(process)
    user, group = os.geteuid(), os.getegid()
    inner = filesystem_view.USER
    if user == 0:
        maps = [f"0 0 1\n{inner} {_NOBODY} 1"] * 2
    else:
        maps = [f"{inner} {user} 1", f"{inner} {group} 1"]
        (folder / "setgroups").write_text("deny")
    (folder / "gid_map").write_text(maps[1])
    (folder / "uid_map").write_text(maps[0])
