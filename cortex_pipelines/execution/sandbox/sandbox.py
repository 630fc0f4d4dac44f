"""Run untrusted code in a sandbox.

bubblewrap gives the command namespaces of its own (user, network, mounts, processes, IPC, host name): no network at
all; a root folder with nothing but the system's programs and libraries and this Python, all read-only, and a copy of
one folder in memory, the only one it can write to; when its first process ends, the time is up or this process ends,
the kernel ends all the others. A filter refuses the system calls that no test needs (``seccomp``), and the keys of
the host's user are out of reach. Limits bound processor time, memory, processes, files and output.

Only Linux with bubblewrap that lets users make namespaces can do this; elsewhere ``unavailable`` says why, and
nothing is run.
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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cortex_pipelines.atomic import temporary_folder
from cortex_pipelines.execution.sandbox import first_process, memory, seccomp
from cortex_pipelines.execution.sandbox.settings import ResourceLimits

REMEDY = (
    "install bubblewrap (`apt-get install bubblewrap`) and let users make namespaces (sysctl "
    "user.max_user_namespaces above 0; on Ubuntu also kernel.apparmor_restrict_unprivileged_userns=0; "
    "in a container --security-opt seccomp=unconfined --security-opt systempaths=unconfined), on Linux, "
    "x86_64 or aarch64"
)
"""What to do where no sandbox is available."""

_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"),
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime"),
)
# what maps /dev/zero has memory that counts for nobody; /dev/full gives zeros and cannot be mapped
_DEVICES = {"null": "null", "zero": "full", "full": "full", "random": "random", "urandom": "urandom"}
# of the whole machine: names of keys, addresses in the kernel, its memory
_MASKED = ("keys", "key-users", "kallsyms", "kcore", "timer_list", "sched_debug", "sysrq-trigger")
_NOBODY = 65534
_CHUNK = 65536


class SandboxError(RuntimeError):
    """The sandbox could not be set up, and the command was not run."""


@dataclass(frozen=True)
class CommandResult:
    status: int  # exit status; 128 and more: the signal that ended it, plus 128; -1 if stopped
    stdout: bytes  # cut at the limit
    stderr: bytes
    stopped: str | None  # ``time``, ``output`` or ``memory`` if the sandbox ended it for that


@cache
def unavailable() -> str | None:
    """Reason why no sandbox works on this machine, found by trying; None if one does."""
    sizes = {"memory_bytes": 1 << 30, "address_bytes": 1 << 30, "folder_bytes": 1 << 20, "output_bytes": 1 << 16}
    limits = ResourceLimits(wall_seconds=20, cpu_seconds=10, processes=16, **sizes)
    try:
        with temporary_folder("probe") as folder:
            result = run([sys.executable, "-I", "-c", "print(1)"], folder, limits)
    except (SandboxError, OSError) as error:
        return f"no sandbox on this machine: {error}"
    if result.stdout.strip() == b"1":
        return None
    words = result.stderr.decode(errors="replace").strip()[-200:] or f"status {result.status}"
    return f"no sandbox on this machine: a first command failed: {words}"


def run(
    command: Sequence[str],
    folder: Path,
    limits: ResourceLimits,
    environment: Mapping[str, str] | None = None,
    readable: Sequence[Path] = (),
) -> CommandResult:
    """Run a command on a copy of a folder, which is its working folder; only its output comes back.

    The environment is in addition to PATH, HOME, LANG and TMPDIR; readable folders are in addition to the system's and
    Python's. Raises ``SandboxError`` if the sandbox could not be set up, or the program is missing: a command is never
    run without a sandbox.
    """
    if not sys.platform.startswith("linux"):
        raise SandboxError(f"namespaces require Linux, this is {sys.platform}")
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxError("bubblewrap is not installed (bwrap is not on the PATH)")
    try:
        code = base64.b64encode(seccomp.program()).decode()
    except seccomp.UnknownMachineError as error:
        raise SandboxError(str(error)) from error
    readable_paths = _existing_paths(readable)
    variables = {
        "PATH": ":".join((str(Path(sys.prefix) / "bin"), "/usr/local/bin", "/usr/bin", "/bin")),
        **{"HOME": first_process.BOX, "PWD": first_process.BOX, "LANG": "C.UTF-8", "TMPDIR": first_process.SCRATCH},
        **{"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"},
    }
    plan = {
        "command": list(command),
        "readable": list(map(str, readable_paths)),
        "environment": {**variables, **(environment or {})},
        "limits": vars(limits),
        "filter": code,
        "join_session_keyring": seccomp.numbers()["keyctl"],
    }
    return _run_plan(list(_bubblewrap(program, folder, readable_paths)), plan, limits)


def _existing_paths(extra: Sequence[Path]) -> list[Path]:
    prefix, interpreter = Path(sys.prefix), Path(sys.executable).resolve().parent.parent
    paths = {*map(Path, _SYSTEM), prefix, prefix.resolve(), Path(sys.base_prefix), interpreter}
    paths.update(path.resolve() for path in extra)
    outermost: list[Path] = []
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):
        if path.exists() and not any(path.is_relative_to(above) and not above.is_symlink() for above in outermost):
            outermost.append(path)
    return outermost


def _bubblewrap(program: str, folder: Path, readable: Sequence[Path]) -> Iterator[str]:
    """Command line that makes the namespaces and shows what is visible inside."""
    user = "0" if os.geteuid() == 0 else str(first_process.USER)
    yield from (program, "--unshare-all", "--unshare-user", "--uid", user, "--gid", user, "--hostname", "sandbox")
    yield from ("--as-pid-1", "--cap-add", "ALL")  # of the first process alone
    for path in readable:
        for above in reversed(path.parents[:-1]):  # bubblewrap would make them so that others cannot enter them
            yield from ("--dir", str(above))
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        else:
            yield from ("--ro-bind", str(path), str(path))
    yield from ("--dir", "/dev")
    for name, device in _DEVICES.items():
        yield from ("--dev-bind", f"/dev/{device}", f"/dev/{name}")
    yield from ("--proc", "/proc")
    for name in _MASKED:
        if Path("/proc", name).exists():
            yield from ("--ro-bind", "/dev/null", f"/proc/{name}")
    yield from ("--ro-bind", str(folder.resolve()), first_process.ORIGINAL)
    yield from ("--ro-bind", first_process.__file__, first_process.SCRIPT)
    for name in (first_process.BOX, first_process.SCRATCH, first_process.SPACE):
        yield from ("--dir", name)
    yield from ("--remount-ro", "/")


def _run_plan(bubblewrap: list[str], plan: Mapping[str, object], limits: ResourceLimits) -> CommandResult:
    plan_read, plan_write = os.pipe()
    news_read, news_write = os.pipe()
    info_read, info_write = os.pipe()
    block_read, block_write = os.pipe()
    inner = (plan_read, news_write, info_write, block_read, os.pidfd_open(os.getpid()))
    bubblewrap += ["--info-fd", str(info_write), "--userns-block-fd", str(block_read), "--"]
    script = [sys.executable, "-I", "-S", first_process.SCRIPT, *map(str, (plan_read, news_write, inner[-1]))]
    output = {"stdout": bytearray(), "stderr": bytearray()}
    first, watch, stopped = None, None, None
    with contextlib.ExitStack() as stack:
        outer = (plan_write, "wb"), (news_read, "rb"), (info_read, "rb"), (block_write, "wb")
        plan_file, news, info, block = (stack.enter_context(os.fdopen(end, mode, 0)) for end, mode in outer)
        try:
            process = subprocess.Popen(  # nosec B603
                [*bubblewrap, *script],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=inner,
                start_new_session=True,
                env={},
            )
        finally:
            for end in inner:
                os.close(end)
        with process:
            try:
                text = b""  # with the id, outside of the sandbox, of its first process
                while b"}" not in text and (chunk := info.read(_CHUNK)):
                    text += chunk
                if text:
                    first = int(json.loads(text)["child-pid"])
                    _map_ids(first)
                    watch = memory.watch(first, limits)
                    with contextlib.suppress(BrokenPipeError):  # then the news or bubblewrap say why
                        block.write(b"1")
                        plan_file.write(json.dumps(plan).encode())
                    plan_file.close()
                stopped = _collect(process, watch, limits, output)
            finally:
                plan_file.close()  # without a plan, or with half of it, nothing is run
                block.close()
                if first is not None and process.poll() is None:
                    with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                        os.kill(first, signal.SIGKILL)  # bubblewrap waits for it, and it for all others to end
                status = process.wait()
                if watch is not None:
                    stopped = stopped or ("memory" if watch.exceeded() else None)
                    watch.close()
        words = news.read(_CHUNK).decode(errors="replace")
    out, err = (bytes(output[name]) for name in ("stdout", "stderr"))
    if not stopped and words != first_process.READY.decode():
        reason = words[1:] or err.decode(errors="replace").strip()[-300:]
        raise SandboxError(reason or "bubblewrap ended before the command started")
    return CommandResult(-1 if stopped else status, out, err, stopped)


def _map_ids(process: int) -> None:
    """Map root to set up and nobody to run, so that the process limit applies."""
    folder, user, group, inner = Path("/proc") / str(process), os.geteuid(), os.getegid(), first_process.USER
    try:
        if user == 0:
            maps = [f"0 0 1\n{inner} {_NOBODY} 1"] * 2
        else:
            maps = [f"{inner} {user} 1", f"{inner} {group} 1"]
            (folder / "setgroups").write_text("deny")
        (folder / "gid_map").write_text(maps[1])
        (folder / "uid_map").write_text(maps[0])
    except OSError as error:
        raise SandboxError(f"user ids cannot be mapped: {error}") from error


def _collect(
    process: subprocess.Popen[bytes],
    watch: memory.ControlGroup | memory.ProcessTreeMemory | None,
    limits: ResourceLimits,
    output: Mapping[str, bytearray],
) -> str | None:
    """Collect output until the command ends; returns why it was stopped, if it was."""
    end = time.monotonic() + limits.wall_seconds
    look = time.monotonic() + memory.SECONDS_BETWEEN
    with selectors.DefaultSelector() as selector:
        for name in output:
            selector.register(getattr(process, name), selectors.EVENT_READ, name)
        while process.poll() is None or selector.get_map():
            current_time = time.monotonic()
            if current_time >= end:
                return "time"
            if current_time >= look:
                if watch is not None and watch.exceeded():
                    return "memory"
                look = time.monotonic() + memory.SECONDS_BETWEEN
            wait = max(0.0, min(end, look) - current_time)
            if not selector.get_map():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(wait)
                continue
            for key, _ in selector.select(wait):
                chunk = os.read(key.fd, _CHUNK)
                room = limits.output_bytes - sum(map(len, output.values()))
                output[key.data].extend(chunk[:room])
                if len(chunk) > room:
                    return "output"
                if not chunk:
                    selector.unregister(key.fileobj)
    return None
