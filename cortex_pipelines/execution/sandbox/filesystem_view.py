"""First process of a sandbox: set up namespaces and root folder, then run the command.

Run as a script by ``sandbox.run``; needs nothing but the standard library. Two pipes connect it to
the outside: one brings the plan once the user ids are mapped, one takes ``READY`` and then, if
something fails before the command starts, the reason. That pipe closes when the command starts.

The last steps are done by one of two doors: ``own`` (process 1 of the namespace is a fork of this
process) or ``bubblewrap``. What the command may do and see is the same through both.
"""

import base64
import contextlib
import ctypes
import json
import os
import resource
import shutil
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

READY = b"u"
BOX = "/box"
USER = 1000
SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
)
# what maps /dev/zero has memory that counts for nobody; /dev/full gives zeros and cannot be mapped
_DEVICES = {"null": "null", "zero": "full", "full": "full", "random": "random"}
_DEVICES["urandom"] = "urandom"
# of the whole machine: names of keys, addresses in the kernel, its memory
_MASKED = ("keys", "key-users", "kallsyms", "kcore", "timer_list", "sched_debug", "sysrq-trigger")
_PROTECTED = ("sys", "bus", "fs", "irq")
_NEW_MOUNTS, _NEW_PROCESSES = 0x00020000, 0x20000000
_OTHER_NAMESPACES = 0x10000000 | 0x40000000 | 0x08000000 | 0x04000000 | 0x02000000
_BIND, _RECURSIVE, _PRIVATE = 4096, 16384, 1 << 18
_NOSUID, _NODEV = 2, 4
_DETACH = 2
_MOVE = 8192
# bubblewrap cannot do without it, and every user can enter it
_SHELF = "/tmp"  # nosec B108
_SET_DEATH_SIGNAL, _SET_SECCOMP, _SET_SUBREAPER, _SET_NO_NEW_PRIVILEGES = 1, 22, 36, 38
_FILTER = 2
_JOIN_SESSION = 1
_HELPERS = 2  # processes of bubblewrap's own
_FILES_OPEN, _SIGNALS_PENDING = 256, 1024
_LEAST_FILES, _FILE_BYTES = 1024, 2048  # twice as many files as there are pages for contents
_MOUNT_SETATTR = 442  # the same on every architecture
_READ_ONLY = 1 | 2 | 4  # with nosuid and nodev
_HERE, _ALL_BELOW = -100, 0x8000

_libc = ctypes.CDLL(None, use_errno=True)


def main(plan_end: int, news_end: int, parent: int, door: str) -> NoReturn:
    """Set up the sandbox, run the command, and exit with its status."""
    try:
        _die_with_parent(parent)
        new_processes = _NEW_PROCESSES if door == "own" else 0
        namespaces = _OTHER_NAMESPACES | _NEW_MOUNTS | new_processes
        _check(_libc.unshare(namespaces), "namespaces are refused (unshare)")
        os.write(news_end, READY)
        with open(plan_end, "rb") as plan_file:
            data = plan_file.read()
        if not data:
            os._exit(1)  # the outside has given up and says why
        plan = json.loads(data)
        _die_with_parent(parent)  # forgotten when the user ids change
        _leave_session_keyring(plan["join_session_keyring"])
        (_through_own_door if new_processes else _through_bubblewrap)(plan, news_end, parent)
    except OSError as error:
        _report(news_end, error)


def _die_with_parent(parent: int, death: signal.Signals = signal.SIGKILL) -> None:
    """Receive a signal when the parent ends; exit if it has ended already."""
    _check(_libc.prctl(_SET_DEATH_SIGNAL, death, 0, 0, 0), "parent's death")
    if os.getppid() != parent:
        os._exit(1)


def _die_with_stage(alive: int) -> None:
    """The same in a fork, which may be in a namespace where its parent has no process id.

    Args:
        alive: End of a pipe whose other end the parent alone holds.
    """
    _check(_libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0), "parent's death")
    os.set_blocking(alive, False)
    with contextlib.suppress(BlockingIOError):
        os.read(alive, 1)
        os._exit(1)


def _leave_session_keyring(keyctl: int) -> None:
    """Join a new, empty keyring; where containers forbid it, the filter suffices."""
    _libc.syscall(keyctl, _JOIN_SESSION, None)


def _through_own_door(plan: dict[str, Any], news_end: int, _: int) -> NoReturn:
    read_end, write_end = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(write_end)
        _first_process(plan, news_end, read_end)
    # the wait below continues until all processes of the namespace have ended
    signal.signal(signal.SIGTERM, lambda *_: os.kill(first, signal.SIGKILL))
    os.close(news_end)
    for stream in (1, 2):
        os.close(stream)
    _end_as(os.waitpid(first, 0)[1])


def _first_process(plan: dict[str, Any], news_end: int, alive: int) -> NoReturn:
    """Process 1 of the namespace: when it ends, the kernel kills all others."""
    try:
        _die_with_stage(alive)
        _make_root(plan)
        _enter_root(plan)
        command = os.fork()
        if command == 0:
            _become_command(plan, news_end)
        os.close(news_end)
        for stream in (1, 2):
            os.close(stream)
    except OSError as error:
        _report(news_end, error)
    while True:
        process, status = os.wait()
        if process == command:
            _end_as(status)


def _through_bubblewrap(plan: dict[str, Any], news_end: int, parent: int) -> NoReturn:
    """Let bubblewrap create the user and process namespace, and its process 1.

    Until that process has asked to die with bubblewrap, it waits for it, and would for ever: a
    parent that is killed then must not kill this process alone, but all of its group.
    """
    _check(_libc.prctl(_SET_SUBREAPER, 1, 0, 0, 0), "waiting for descendants")
    _make_root(plan)
    # a folder that its owner alone may enter lies above it, and bubblewrap runs as nobody
    _mount(plan["root"], _SHELF, None, _MOVE)
    with contextlib.suppress(OSError):  # bubblewrap's own, and no further ones
        Path("/proc/sys/user/max_user_namespaces").write_text("1", encoding="ascii")
    status_end, status_write = os.pipe()
    filter_end = _pipe_with(base64.b64decode(plan["filter"]))
    arguments = _bubblewrap_arguments(plan, filter_end, status_write)
    signal.signal(signal.SIGHUP, lambda *_: os.killpg(0, signal.SIGKILL))
    _die_with_parent(parent, signal.SIGHUP)
    read_end, write_end = os.pipe()
    monitor = os.fork()
    if monitor == 0:
        os.close(write_end)
        _become_bubblewrap(plan, arguments, (filter_end, status_write), news_end, read_end)
    stopped: list[int] = []

    def stop(*_: object) -> None:
        stopped.append(monitor)
        os.kill(monitor, signal.SIGKILL)

    signal.signal(signal.SIGTERM, stop)
    for end in (1, 2, filter_end, status_write):
        os.close(end)
    status = _wait_for_all(monitor)
    with os.fdopen(status_end, "rb") as status_file:
        begun = b"exit-code" in status_file.read()
    if not begun and not stopped:
        _report(news_end, OSError("bubblewrap could not set up"))
    _end_as(status)


def _pipe_with(data: bytes) -> int:
    """File descriptor to read the data from, which must fit into a pipe (64 KiB)."""
    read_end, write_end = os.pipe()
    os.write(write_end, data)
    os.close(write_end)
    return read_end


def _bubblewrap_arguments(plan: dict[str, Any], filter_end: int, status_end: int) -> list[str]:
    masked = [
        word for name in _MASKED if Path("/proc", name).exists() for word in ("--ro-bind", "/dev/null", f"/proc/{name}")
    ]
    user = str(USER)
    return [
        plan["bubblewrap"],
        *("--unshare-user", "--unshare-pid", "--uid", user, "--gid", user),
        *("--die-with-parent", "--new-session"),
        *("--dev-bind", _SHELF, "/", "--proc", "/proc", *masked, "--chdir", BOX),
        *("--seccomp", str(filter_end), "--json-status-fd", str(status_end)),
        *("--", *plan["command"]),
    ]


def _become_bubblewrap(
    plan: dict[str, Any], arguments: list[str], ends: tuple[int, ...], news_end: int, alive: int
) -> NoReturn:
    try:
        _die_with_stage(alive)
        for end in ends:
            os.set_inheritable(end, True)
        os.set_inheritable(news_end, False)
        _become_nobody()
        _die_with_stage(alive)  # forgotten when the user ids change
        _limit(plan["limits"], _HELPERS)
        os.execve(arguments[0], arguments, plan["environment"])  # nosec B606
    except (OSError, ValueError) as error:
        _report(news_end, error)


def _wait_for_all(child: int) -> int:
    """Exit status of a child, once it and all its descendants have ended."""
    exit_status = 0
    with contextlib.suppress(ChildProcessError):
        while True:
            process, status = os.wait()
            if process == child:
                exit_status = status
    return exit_status


def _make_root(plan: dict[str, Any]) -> None:
    """Build a root in memory: read-only system, copy of the folder, devices."""
    # the first to go if the machine runs out of memory
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    root = Path(plan["root"])
    size = plan["limits"]["folder_bytes"]
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)
    options = f"size={size},nr_inodes={_LEAST_FILES + size // _FILE_BYTES},mode=755"
    _mount("tmpfs", str(root), "tmpfs", _NOSUID | _NODEV, options)
    mounted: list[Path] = []
    for path in sorted({Path(path) for path in plan["readable"]}, key=lambda readable: len(readable.parts)):
        if path.exists() and not any(path.is_relative_to(above) for above in mounted):
            _show(path, root)
            if not path.is_symlink():
                mounted.append(path)
    (root / "dev").mkdir(exist_ok=True)
    for name, device in _DEVICES.items():
        (root / "dev" / name).touch()
        _mount(f"/dev/{device}", str(root / "dev" / name), None, _BIND)
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o777)
    (root / "proc").mkdir(exist_ok=True)
    _fill_box(Path(plan["folder"]), root / BOX.lstrip("/"))
    for folder in (root / "tmp", root / BOX.lstrip("/")):
        _mount(str(folder), str(folder), None, _BIND | _RECURSIVE)
    _make_read_only(root, 0)
    _check(_libc.sethostname(b"sandbox", 7), "host name")


def _enter_root(plan: dict[str, Any]) -> None:
    root = Path(plan["root"])
    with contextlib.suppress(OSError):  # some containers forbid it; most programs do without
        _mount("proc", str(root / "proc"), "proc", _NOSUID | _NODEV | 8)
        _protect(root / "proc")
    with contextlib.suppress(OSError):  # no further namespaces inside
        Path("/proc/sys/user/max_user_namespaces").write_text("0", encoding="ascii")
    os.chdir(root)
    _check(_libc.pivot_root(b".", b"."), "the root folder cannot be changed (pivot_root)")
    _check(_libc.umount2(b".", _DETACH), "the old root folder cannot be left")
    os.chdir(BOX)


def _protect(proc: Path) -> None:
    """Hide machine-wide files and make settings read-only."""
    for name in _MASKED:
        if (proc / name).exists():
            _mount("/dev/null", str(proc / name), None, _BIND)
    for name in _PROTECTED:
        if (proc / name).exists():
            _mount(str(proc / name), str(proc / name), None, _BIND | _RECURSIVE)
            _make_read_only(proc / name)


def _show(path: Path, root: Path) -> None:
    """Bind-mount a file or folder of the system into the new root, read-only."""
    target = root / str(path).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        target.symlink_to(path.readlink())
        return
    if path.is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    _mount(str(path), str(target), None, _BIND | _RECURSIVE)
    _make_read_only(target)


def _make_read_only(path: Path, below: int = _ALL_BELOW) -> None:
    attributes = (ctypes.c_uint64 * 4)(_READ_ONLY, 0, 0, 0)
    status = _libc.syscall(
        _MOUNT_SETATTR, _HERE, os.fsencode(path), below, ctypes.byref(attributes), ctypes.sizeof(attributes)
    )
    _check(status, f"{path} cannot be made read-only (needs Linux 5.12)")


def _fill_box(folder: Path, box: Path) -> None:
    try:
        shutil.copytree(folder, box, symlinks=True)
    except shutil.Error as error:
        raise OSError(f"the folder cannot be copied: {str(error)[:300]}") from error
    if os.geteuid() == 0:
        for path in (box, *box.rglob("*")):
            os.chown(path, USER, USER, follow_symlinks=False)


def _become_command(plan: dict[str, Any], news_end: int) -> NoReturn:
    try:
        os.setsid()
        os.set_inheritable(news_end, False)
        _become_nobody()
        _limit(plan["limits"])
        _check(_libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "privileges")
        _install_filter(base64.b64decode(plan["filter"]))
        command = plan["command"]
        try:
            os.execvpe(command[0], command, plan["environment"])  # nosec B606
        except OSError as error:
            raise OSError(f"{command[0]} cannot be run: {error.strerror}") from error
    except (OSError, ValueError) as error:
        _report(news_end, error)


def _become_nobody() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _install_filter(code: bytes) -> None:
    program = _Program(len(code) // 8, code)
    status = _libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)
    _check(status, "system calls cannot be filtered (seccomp)")


def _limit(limits: dict[str, int], helpers: int = 0) -> None:
    for kind, most in (
        (resource.RLIMIT_CPU, limits["cpu_seconds"]),
        (resource.RLIMIT_AS, limits["address_bytes"]),
        (resource.RLIMIT_NPROC, limits["processes"] + helpers),
        (resource.RLIMIT_FSIZE, limits["folder_bytes"]),
        (resource.RLIMIT_CORE, 1),  # with 0 the kernel still starts the host's handler
        (resource.RLIMIT_NOFILE, _FILES_OPEN),
        (resource.RLIMIT_MEMLOCK, 1 << 16),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, _SIGNALS_PENDING),
        (resource.RLIMIT_RTPRIO, 0),
        (resource.RLIMIT_NICE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (value, value))


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    words = [None if argument is None else os.fsencode(argument) for argument in (source, target, kind, options)]
    status = _libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3])
    _check(status, f"{source or target} cannot be mounted")


def _check(result: int, problem: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(f"{problem}: {os.strerror(number)}")


def _report(news_end: int, error: Exception) -> NoReturn:
    with contextlib.suppress(OSError):
        os.write(news_end, str(error).encode()[:2000])
    os._exit(1)


def _end_as(status: int) -> NoReturn:
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
