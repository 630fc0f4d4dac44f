"""First process of a sandbox, started by bubblewrap: make the folder, run the command, wait for it.

Run as a script that needs nothing but the standard library. A pipe brings the plan; another takes ``READY`` and then,
if something fails before the command starts, the reason, and closes when it starts. When this process ends, the
kernel ends all others of the sandbox.
"""

import base64
import contextlib
import ctypes
import json
import os
import resource
import select
import shutil
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

READY = b"r"
BOX = "/box"
SCRIPT = "/first_process.py"
SCRATCH = "/tmp"  # nosec B108 - of the sandbox
ORIGINAL, SPACE = "/original", "/space"
"""The folder whose copy becomes ``BOX``, and all memory for files; both are gone when the command starts."""
USER = 1000
_NOSUID, _NODEV, _BIND, _RECURSIVE, _DETACH = 2, 4, 4096, 16384, 2
_SET_SECCOMP, _FILTER, _SET_NO_NEW_PRIVILEGES, _SET_AMBIENT, _CLEAR_ALL = 22, 2, 38, 47, 4
_JOIN_SESSION = 1
_NEW_NETWORK = 0x40000000
_FILES_OPEN, _SIGNALS_PENDING = 256, 1024
_LEAST_FILES, _FILE_BYTES = 1024, 2048  # twice as many files as there are pages for contents

_libc = ctypes.CDLL(None, use_errno=True)


def main(plan_end: int, news_end: int, parent: int) -> NoReturn:
    """``parent`` is a process file descriptor of whoever wants the result."""
    for end in set(range(3, _FILES_OPEN)) - {plan_end, news_end, parent}:
        with contextlib.suppress(OSError):
            os.close(end)
    os.write(news_end, READY)
    with open(plan_end, "rb") as plan_file:
        data = plan_file.read()
    if not data:
        os._exit(1)  # the outside has given up, or ended
    plan = json.loads(data)
    try:
        _libc.syscall(plan["join_session_keyring"], _JOIN_SESSION, None)  # where it is forbidden the filter suffices
        _make_folders(plan["limits"]["folder_bytes"], plan["readable"])
        # what waits in buffers of connections counts for nobody, so not even the loopback may work
        _check(_libc.unshare(_NEW_NETWORK), "no network of its own")
        with contextlib.suppress(OSError):  # where bubblewrap shows it read-only, the filter suffices
            Path("/proc/sys/user/max_user_namespaces").write_text("0", encoding="ascii")
        command = os.fork()
        if command == 0:
            _become_command(plan, news_end)
    except OSError as error:
        _report(news_end, error)
    for end in (news_end, 1, 2):
        os.close(end)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    while True:
        process, status = os.wait()
        if process == command:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _die_with(parent: int) -> None:
    select.select([parent], [], [])
    os._exit(1)


def _make_folders(size: int, readable: list[str]) -> None:
    """Mount ``BOX``, a copy of the original, and /tmp, which share a file system in memory."""
    # the first to go if the machine runs out of memory
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    options = f"size={size},nr_inodes={_LEAST_FILES + size // _FILE_BYTES},mode=755"
    _mount("tmpfs", SPACE, "tmpfs", _NOSUID | _NODEV, options)
    box, scratch = Path(SPACE, "box"), Path(SPACE, "tmp")
    try:
        shutil.copytree(ORIGINAL, box, symlinks=True)
    except shutil.Error as error:
        raise OSError(f"the folder cannot be copied: {str(error)[:300]}") from error
    scratch.mkdir()
    scratch.chmod(0o777)
    if os.geteuid() == 0:
        for path in (box, *box.rglob("*")):
            os.chown(path, USER, USER, follow_symlinks=False)
    for folder in readable:
        if Path(folder).is_relative_to(SCRATCH):
            target = scratch / Path(folder).relative_to(SCRATCH)
            target.mkdir(parents=True)
            _mount(folder, str(target), None, _BIND)
    _mount(str(box), BOX, None, _BIND)
    _mount(str(scratch), SCRATCH, None, _BIND | _RECURSIVE)
    for folder in (ORIGINAL, SPACE):
        _check(_libc.umount2(folder.encode(), _DETACH), f"{folder} cannot be left")


def _become_command(plan: dict[str, Any], news_end: int) -> NoReturn:
    try:
        os.chdir(BOX)
        os.setsid()
        for end in set(range(3, _FILES_OPEN)) - {news_end}:
            with contextlib.suppress(OSError):
                os.close(end)
        os.set_inheritable(news_end, False)
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
        _limit(plan["limits"])
        _check(_libc.prctl(_SET_AMBIENT, _CLEAR_ALL, 0, 0, 0), "capabilities")
        _check(_libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "privileges")
        code = base64.b64decode(plan["filter"])
        status = _libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(_Program(len(code) // 8, code)), 0, 0)
        _check(status, "system calls cannot be filtered (seccomp)")
        command = plan["command"]
        try:
            os.execvpe(command[0], command, plan["environment"])  # nosec B606
        except OSError as error:
            raise OSError(f"{command[0]} cannot be run: {error.strerror}") from error
    except (OSError, ValueError) as error:
        _report(news_end, error)


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _limit(limits: dict[str, int]) -> None:
    for kind, most in (
        (resource.RLIMIT_CPU, limits["cpu_seconds"]),
        (resource.RLIMIT_AS, limits["address_bytes"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
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
        raise OSError(f"{problem}: {os.strerror(ctypes.get_errno())}")


def _report(news_end: int, error: Exception) -> NoReturn:
    with contextlib.suppress(OSError):
        os.write(news_end, str(error).encode()[:2000])
    os._exit(1)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
