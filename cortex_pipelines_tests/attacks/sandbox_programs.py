"""Attacks on the sandbox: small programs that say whether they got what they must not have.

Each is the body of a function that is run inside: it returns something true if it succeeded.
An ``OSError`` or ``MemoryError`` is the protection at work; every other error is a broken attack,
which proves nothing and fails the test. ``T`` holds what there is to be had outside.
"""

import json
import textwrap
from dataclasses import dataclass

from cortex_pipelines.execution.sandbox import seccomp
from cortex_pipelines_tests.parameters import load_cases


@dataclass(frozen=True)
class Attack:
    """One attack."""

    name: str
    body: str
    control: bool = False
    alone: bool = False
    stops: tuple[str, ...] = ()


_PRELUDE = """
import ctypes, errno, fcntl, glob, json, mmap, os, resource, signal, socket, struct, subprocess
import sys, threading, time
T = json.load(open('targets.json'))
NR = json.loads(%r)
libc = ctypes.CDLL(None, use_errno=True)
MIB = 1 << 20
def call(name, *words):
    number = NR[name] if isinstance(name, str) else name
    ctypes.set_errno(0)
    done = libc.syscall(ctypes.c_long(number), *map(ctypes.c_void_p, words))
    if done == -1:
        raise OSError(ctypes.get_errno(), str(name))
    return done
def reached(name, *words):
    'whether the kernel has so much as looked at the arguments'
    try:
        call(name, *words)
    except OSError as error:
        return error.errno not in (errno.EPERM, errno.ENOSYS)
    return True
def put(path, data):
    return os.write(os.open(path, os.O_WRONLY), data)
def touch(memory):
    for place in range(0, len(memory), 4096):
        memory[place] = 1
def text(data):
    return ctypes.cast(ctypes.create_string_buffer(data), ctypes.c_void_p).value
def keep(*objects):
    KEPT.extend(objects)
KEPT = []
def answer(attack):
    try:
        got = attack()
    except (OSError, MemoryError) as error:
        return 'HELD'
    except BaseException as error:
        return 'ERROR ' + repr(error)
    return 'BROKEN ' + repr(got)[:200] if got else 'HELD'
"""

_RUNNER = """
def one(attack):
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(read_end)
        signal.alarm(10)
        os.write(write_end, answer(attack).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as file:
        words = file.read()
    _, status = os.waitpid(child, 0)
    return words or ('HELD' if status == signal.SIGSYS else 'ERROR ended by %d' % status)
for name, attack in ATTACKS.items():
    print(json.dumps([name, one(attack)]), flush=True)
"""


def program(attacks: list[Attack]) -> str:
    """A script that tries the attacks, each in a process of its own, and prints what came of each.

    One attack by itself is run in the script's own process.
    """
    numbers = json.dumps(seccomp.numbers())
    functions = [
        f"def attack_{n}():\n{textwrap.indent(attack.body.strip(), '    ')}\n" for n, attack in enumerate(attacks)
    ]
    table = ", ".join(f"{attack.name!r}: attack_{n}" for n, attack in enumerate(attacks))
    by_itself = f"print(json.dumps([{attacks[0].name!r}, answer(attack_0)]), flush=True)\n"
    run = by_itself if len(attacks) == 1 else f"ATTACKS = {{{table}}}\n{_RUNNER}"
    return "\n".join([_PRELUDE % numbers, *functions, run])


_TABLES = load_cases(__file__)


def _tabled(key: str) -> list[Attack]:
    return [Attack(**(row | {"stops": tuple(row.get("stops", ()))})) for row in _TABLES[key]]


_NEW = {"user": 0x10000000, "mount": 0x20000, "process": 0x20000000, "network": 0x40000000}
_NEW |= {"IPC": 0x8000000, "host name": 0x4000000, "group": 0x2000000}
NAMESPACES = [
    *(Attack(f"a new {name} namespace", f"return reached('unshare', {flag})") for name, flag in _NEW.items()),
    *(
        Attack(
            f"a process in a new {name} namespace",
            f"child = call('clone', {flag} | 17, 0, 0, 0, 0)\nif child == 0: os._exit(0)\nreturn 1",
        )
        for name, flag in _NEW.items()
    ),
    *_tabled("NAMESPACES"),
]

_PROBED = (
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "io_setup", "kexec_load", "kexec_file_load", "init_module",
    "finit_module", "delete_module",
    "fanotify_init", "fanotify_mark", "move_mount", "open_tree", "fsconfig", "fsmount", "fspick",
    "name_to_handle_at", "process_madvise", "swapon", "swapoff", "reboot", "sethostname",
    "setdomainname", "settimeofday", "clock_settime", "syslog", "acct", "quotactl", "vmsplice",
    "mbind", "migrate_pages", "move_pages", "set_mempolicy", "vhangup", "memfd_secret", "shmat",
    "shmctl", "msgget", "msgsnd", "semget", "semop", "mq_open", "mq_unlink",
)  # fmt: skip
_FOR_ALL = {"io_setup", "name_to_handle_at", "vmsplice", "shmctl", "semop", "msgsnd", "mq_unlink"}
CALLS = [
    *(
        Attack(f"the call {name}", f"return reached({name!r}, -1, -1, -1, -1, -1, -1)", name in _FOR_ALL)
        for name in _PROBED
    ),
    *_tabled("CALLS"),
]
ATTACKS = [attack for key in _TABLES for attack in {"NAMESPACES": NAMESPACES, "CALLS": CALLS}.get(key) or _tabled(key)]
