"""The first process in a sandbox: makes the namespaces and the root folder, then runs the command.

Run as a script by ``sandbox.run``; needs nothing but the standard library. Two pipes connect it to
the outside: one brings the plan once the user ids are mapped, one takes ``READY`` and then, if
something fails before the command has begun, why. That pipe closes when the command begins.
"""

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
_DEVICES = ("null", "zero", "full", "random", "urandom")
_NAMESPACES = 0x10000000 | 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000
_BIND, _RECURSIVE, _PRIVATE = 4096, 16384, 1 << 18
_NOSUID, _NODEV = 2, 4
_DETACH = 2
_SET_DEATH_SIGNAL, _SET_NO_NEW_PRIVILEGES = 1, 38
_MOUNT_SETATTR = 442  # the same on every architecture
_READ_ONLY = 1 | 2 | 4  # with nosuid and nodev
_HERE, _ALL_BELOW = -100, 0x8000

_libc = ctypes.CDLL(None, use_errno=True)


def main(plan_end: int, news_end: int) -> NoReturn:
    """Make the sandbox and end as the command ends."""
    try:
        _check(_libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0), "parent's death")
        _check(_libc.unshare(_NAMESPACES), "namespaces are refused (unshare)")
        os.write(news_end, READY)
        with open(plan_end, "rb") as plan_file:
            data = plan_file.read()
        if not data:
            os._exit(1)  # the outside has given up and says why
        plan = json.loads(data)
        first = os.fork()
        if first == 0:
            _first_process(plan, news_end)
        # the wait below goes on until all processes of the namespace have ended
        signal.signal(signal.SIGTERM, lambda *_: os.kill(first, signal.SIGKILL))
        os.close(news_end)
    except OSError as error:
        _report(news_end, error)
    _end_as(os.waitpid(first, 0)[1])


def _first_process(plan: dict[str, Any], news_end: int) -> NoReturn:
    """Process 1 of the namespace: when it ends, the kernel ends all others."""
    try:
        _check(_libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0), "parent's death")
        _make_root(plan)
        command = os.fork()
        if command == 0:
            _become_command(plan, news_end)
        os.close(news_end)
        for stream in (1, 2):
            os.close(stream)
    except OSError as error:
        _report(news_end, error)
    while True:
        ended, status = os.wait()
        if ended == command:
            _end_as(status)


def _make_root(plan: dict[str, Any]) -> None:
    """A root folder in memory: programs and libraries read-only, a copy of the folder, devices."""
    root = Path(plan["root"])
    size = plan["limits"]["folder_bytes"]
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)
    _mount("tmpfs", str(root), "tmpfs", _NOSUID | _NODEV, f"size={size},mode=755")
    seen: list[Path] = []
    for path in sorted({Path(path) for path in plan["readable"]}, key=lambda one: len(one.parts)):
        if path.exists() and not any(path.is_relative_to(above) for above in seen):
            _show(path, root)
            if not path.is_symlink():
                seen.append(path)
    (root / "dev").mkdir(exist_ok=True)
    for name in _DEVICES:
        (root / "dev" / name).touch()
        _mount(f"/dev/{name}", str(root / "dev" / name), None, _BIND)
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o777)
    (root / "proc").mkdir(exist_ok=True)
    _fill_box(Path(plan["folder"]), root / BOX.lstrip("/"))
    with contextlib.suppress(OSError):  # some containers forbid it; most programs do without
        _mount("proc", str(root / "proc"), "proc", _NOSUID | _NODEV | 8)
    with contextlib.suppress(OSError):  # no further namespaces inside
        Path("/proc/sys/user/max_user_namespaces").write_text("0", encoding="ascii")
    _check(_libc.sethostname(b"sandbox", 7), "host name")
    os.chdir(root)
    _check(_libc.pivot_root(b".", b"."), "the root folder cannot be changed (pivot_root)")
    _check(_libc.umount2(b".", _DETACH), "the old root folder cannot be left")
    os.chdir(BOX)


def _show(path: Path, root: Path) -> None:
    """Put a file or folder of the system into the new root, read-only."""
    place = root / str(path).lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        place.symlink_to(path.readlink())
        return
    if path.is_dir():
        place.mkdir(exist_ok=True)
    else:
        place.touch()
    _mount(str(path), str(place), None, _BIND | _RECURSIVE)
    attributes = (ctypes.c_uint64 * 4)(_READ_ONLY, 0, 0, 0)
    done = _libc.syscall(
        _MOUNT_SETATTR,
        _HERE,
        os.fsencode(place),
        _ALL_BELOW,
        ctypes.byref(attributes),
        ctypes.sizeof(attributes),
    )
    _check(done, f"{path} cannot be made read-only (needs Linux 5.12)")


def _fill_box(folder: Path, box: Path) -> None:
    try:
        shutil.copytree(folder, box, symlinks=True)
    except shutil.Error as error:
        raise OSError(f"the folder cannot be copied: {str(error)[:300]}") from error
    if os.geteuid() == 0:
        for place in (box, *box.rglob("*")):
            os.chown(place, USER, USER, follow_symlinks=False)


def _become_command(plan: dict[str, Any], news_end: int) -> NoReturn:
    try:
        os.setsid()
        os.set_inheritable(news_end, False)
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
        _limit(plan["limits"])
        _check(_libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "privileges")
        command = plan["command"]
        try:
            os.execvpe(command[0], command, plan["environment"])  # nosec B606
        except OSError as error:
            raise OSError(f"{command[0]} cannot be run: {error.strerror}") from error
    except (OSError, ValueError) as error:
        _report(news_end, error)


def _limit(limits: dict[str, int]) -> None:
    cpu, size = limits["cpu_seconds"], limits["folder_bytes"]
    for kind, most in (
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_FSIZE, size),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 256),
    ):
        hard = resource.getrlimit(kind)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (value, value))


def _mount(
    source: str | None, place: str, kind: str | None, flags: int, options: str | None = None
) -> None:
    words = [None if one is None else os.fsencode(one) for one in (source, place, kind, options)]
    done = _libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3])
    _check(done, f"{source or place} cannot be mounted")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(f"{what}: {os.strerror(number)}")


def _report(news_end: int, error: Exception) -> NoReturn:
    with contextlib.suppress(OSError):
        os.write(news_end, str(error).encode()[:2000])
    os._exit(1)


def _end_as(status: int) -> NoReturn:
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
