"""The seccomp filter: system calls that are refused in the sandbox.

The filter is closed: another architecture or calling convention ends the process, and a call newer
than ``_NEWEST`` is one that the kernel does not have (ENOSYS), as is ``clone3``, whose flags a
filter cannot see; libraries then take the older call. Assembled here because the bindings of
libseccomp need a library that not every machine has; the tests compare the numbers with the
kernel's headers.
"""

import errno
import platform
import struct

_NEWEST = 450  # set_mempolicy_home_node (Linux 5.17); numbers above 424 are the same everywhere
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
_X32 = 0x40000000

REFUSED: dict[str, tuple[int | None, int | None]] = {
    # keys of the host's user
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    # other processes' memory and files
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # large parts of the kernel with a history of faults
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "modify_ldt": (154, None),
    "lookup_dcookie": (212, 18),
    "uselib": (134, None),
    "nfsservctl": (180, 42),
    "sysfs": (139, None),
    "ustat": (136, None),
    "_sysctl": (156, None),
    # namespaces, mounts, files by handle
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    # the machine
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "create_module": (174, None),
    "query_module": (178, None),
    "get_kernel_syms": (177, None),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "syslog": (103, 116),
    "acct": (163, 89),
    "iopl": (172, None),
    "ioperm": (173, None),
    "vhangup": (153, 58),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "vmsplice": (278, 75),  # pages in a pipe count for nobody
}
"""Refused calls with EPERM, by number on x86_64 and aarch64."""

ABSENT: dict[str, tuple[int | None, int | None]] = {
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_setup": (206, 0),
    # memory that belongs to no process
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmdt": (67, 197),
    "semget": (64, 190),
    "semctl": (66, 191),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgctl": (71, 187),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
}
"""Refused calls with ENOSYS, as on a kernel built without them."""

CHECKED: dict[str, tuple[int | None, int | None]] = {
    "clone": (56, 220),
    "socket": (41, 198),
    "ioctl": (16, 29),
    "personality": (135, 92),
    "fcntl": (72, 25),
    "mmap": (9, 222),
    "setsockopt": (54, 208),
}
"""Calls refused depending on their arguments."""

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
        architectures = ", ".join(_ARCHITECTURES)
        raise UnknownMachineError(f"no table of system calls for {machine}, only for {architectures}")
    code = [_load(4), (_EQUAL, 1, 0, _ARCHITECTURES[machine]), _return(_KILL), _load(0)]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32), _return(_KILL)]
    code += [(_ABOVE, 0, 1, _NEWEST), _error(errno.ENOSYS)]
    for calls, answer in ((REFUSED, errno.EPERM), (ABSENT, errno.ENOSYS)):
        for number in _numbers(calls, machine).values():
            code += [(_EQUAL, 0, 1, number), _error(answer)]
    for name, number in _numbers(CHECKED, machine).items():
        checks = _CHECKS[name]
        code += [(_EQUAL, 0, len(checks), number), *checks]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in (*code, _return(_ALLOW)))


def numbers(machine: str | None = None) -> dict[str, int]:
    machine = machine or platform.machine()
    return _numbers(REFUSED | ABSENT | CHECKED, machine)


def _numbers(calls: dict[str, tuple[int | None, int | None]], machine: str) -> dict[str, int]:
    architecture = list(_ARCHITECTURES).index(machine)
    return {name: n for name, both in calls.items() if (n := both[architecture]) is not None}


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
