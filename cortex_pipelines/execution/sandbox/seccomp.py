"""The seccomp filter: system calls that are refused in the sandbox.

The filter is closed: another architecture or calling convention ends the process, and a call newer than ``_NEWEST`` is
one that the kernel does not have (ENOSYS), as is ``clone3``, whose flags a filter cannot see; libraries then take the
older call. Assembled here because the bindings of libseccomp need a library that not every machine has; the tests
compare the numbers with the kernel's headers.
"""

import csv
import errno
import platform
import struct
from pathlib import Path

_NEWEST = 450  # set_mempolicy_home_node (Linux 5.17); numbers above 424 are the same everywhere
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
_X32 = 0x40000000

with (Path(__file__).parent / "system_calls.csv").open(encoding="utf-8", newline="") as _file:
    CALLS = list(csv.DictReader(_file))
"""Calls by name, with their number on each architecture; ``refused`` (EPERM), ``absent`` (ENOSYS, as on a kernel built
without them), or ``checked``: refused depending on their arguments."""

SHARED_BYTES = 4 << 20
"""Most bytes of one piece of anonymous shared memory. A process can keep such a piece while it maps
but a page of it, and nobody outside can see how large it is: each counts as this much."""

_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK (names of interfaces)
_TERMINAL = (0x5412, 0x541C, 0x5423)  # TIOCSTI, TIOCLINUX, TIOCSETD
_SET_PIPE_SIZE = 1031
_SOCKET_LEVEL = 1
_BUFFERS = (7, 8, 32, 33)  # SO_SNDBUF, SO_RCVBUF and both with FORCE
_MAP_SHARED, _MAP_ANONYMOUS, _MAP_HUGETLB = 0x1, 0x20, 0x40000

_LOAD, _EQUAL, _ABOVE, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x06
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_Instruction = tuple[int, int, int, int]


class UnknownMachineError(RuntimeError):
    pass


def program(machine: str | None = None) -> bytes:
    """The filter as an array of ``struct sock_filter`` in native byte order."""
    machine = machine or platform.machine()
    if machine not in _ARCHITECTURES:
        raise UnknownMachineError(f"no table of system calls for {machine}, only for {', '.join(_ARCHITECTURES)}")
    code = [_load(4), (_EQUAL, 1, 0, _ARCHITECTURES[machine]), _return(_KILL), _load(0)]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32), _return(_KILL)]
    code += [(_ABOVE, 0, 1, _NEWEST), _error(errno.ENOSYS)]
    for group, answer in (("refused", errno.EPERM), ("absent", errno.ENOSYS)):
        for number in numbers(machine, group).values():
            code += [(_EQUAL, 0, 1, number), _error(answer)]
    for name, number in numbers(machine, "checked").items():
        checks = _CHECKS[name]
        code += [(_EQUAL, 0, len(checks), number), *checks]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in (*code, _return(_ALLOW)))


def numbers(machine: str | None = None, group: str | None = None) -> dict[str, int]:
    machine = machine or platform.machine()
    rows = (row for row in CALLS if row[machine] and group in (None, row["group"]))
    return {row["name"]: int(row[machine]) for row in rows}


def _load(offset: int) -> _Instruction:
    return (_LOAD, 0, 0, offset)


def _argument(index: int) -> _Instruction:
    """Load the low half of an argument: the kernel uses no more of flags (little-endian)."""
    return _load(16 + 8 * index)


def _return(answer: int) -> _Instruction:
    return (_RETURN, 0, 0, answer)


def _error(number: int) -> _Instruction:
    return _return(_ERRNO | number)


def _one_of(index: int, values: tuple[int, ...], among: int, other: int) -> list[_Instruction]:
    tests = [(_EQUAL, len(values) - n, 0, value) for n, value in enumerate(values)]
    return [_argument(index), *tests, _return(other), _return(among)]


_REFUSE = _ERRNO | errno.EPERM
_CHECKS: dict[str, list[_Instruction]] = {
    "clone": [_argument(0), (_ANY_BIT, 0, 1, _NAMESPACES), _return(_REFUSE), _return(_ALLOW)],
    "socket": _one_of(0, _FAMILIES, _ALLOW, _ERRNO | errno.EAFNOSUPPORT),
    "ioctl": _one_of(1, _TERMINAL, _REFUSE, _ALLOW),
    "personality": _one_of(0, (0, 0xFFFFFFFF), _ALLOW, _REFUSE),
    "fcntl": _one_of(1, (_SET_PIPE_SIZE,), _REFUSE, _ALLOW),
    "mmap": [
        _argument(3),
        (_ANY_BIT, 6, 0, _MAP_HUGETLB),
        (_ANY_BIT, 0, 6, _MAP_ANONYMOUS),
        (_ANY_BIT, 0, 5, _MAP_SHARED),
        _load(16 + 8 * 1 + 4),  # the length's upper half
        (_ABOVE, 2, 0, 0),
        _argument(1),
        (_ABOVE, 0, 1, SHARED_BYTES),
        _error(errno.ENOMEM),
        _return(_ALLOW),
    ],
    "setsockopt": [
        _argument(1),
        (_EQUAL, 1, 0, _SOCKET_LEVEL),
        _return(_ALLOW),
        *_one_of(2, _BUFFERS, _REFUSE, _ALLOW),
    ],
}
