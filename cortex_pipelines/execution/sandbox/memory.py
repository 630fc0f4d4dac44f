"""Memory limit over all processes of a sandbox.

A control group (cgroup v2) holds the limit exactly, where one may be made: as root on a machine
that lets it, or where systemd has delegated them to the user. Elsewhere the processes are added up
from /proc, twenty times a second; what a program can take until it is noticed is what the machine
can hand out in that time. The sum leaves out nothing that the sandbox's filter lets a program have:

- memory of each process, with pages that are shared after a fork counted once;
- page tables and descriptions of mappings;
- anonymous shared memory, at the most that one region may have;
- pipes and sockets, at their limits.

Files are written to a file system with its own limit.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from cortex_pipelines.execution.sandbox.seccomp import SHARED_BYTES
from cortex_pipelines.execution.sandbox.settings import ResourceLimits

SECONDS_BETWEEN = 0.05

_PAGE = os.sysconf("SC_PAGE_SIZE")
_PIPE_BYTES = 1 << 16
_MAPPING_BYTES = 256  # struct vm_area_struct
_SHARED = re.compile(rb"^\S+ ...s \S+ (\S+ \d+) +(?:/dev/zero|/memfd:|/SYSV).*\(deleted\)$", re.MULTILINE)
_OWN_BYTES = 64 << 20  # beside the limit, for the sandbox's own processes
_KIB = 1024


def watch(
    first: int, limits: ResourceLimits, groups: Path = Path("/sys/fs/cgroup")
) -> "ControlGroup | ProcessTreeMemory":
    """Start the memory monitor of a sandbox, by the id of its first process, before anything runs in it."""
    group = _new_group(groups, first)
    if group is not None:
        try:
            return ControlGroup(group, first, limits.memory_bytes + limits.folder_bytes)
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
    return ProcessTreeMemory(first, limits.memory_bytes)


class ControlGroup:
    """Memory limit by a new control group; the kernel kills all processes beyond it."""

    def __init__(self, folder: Path, first: int, most: int) -> None:
        self._folder = folder
        self._write("memory.max", most + _OWN_BYTES)
        with contextlib.suppress(FileNotFoundError):  # a machine without swap accounting
            self._write("memory.swap.max", 0)
        self._write("memory.oom.group", 1)
        self._write("cgroup.procs", first)

    def _write(self, name: str, value: int) -> None:
        with (self._folder / name).open("r+", encoding="ascii") as file:
            file.write(str(value))

    def exceeded(self) -> bool:
        events = (self._folder / "memory.events").read_text(encoding="ascii").split()
        return int(events[events.index("oom_kill") + 1]) > 0

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._folder.rmdir()


def _new_group(groups: Path, first: int) -> Path | None:
    """New control group below the nearest one with a memory controller; None if not possible.

    The group that this process is in cannot be divided: one with processes has no divided children.
    """
    lines = _read("self", "cgroup").decode().splitlines()
    group_name = next((line[3:] for line in lines if line.startswith("0::")), None)
    if group_name is None:
        return None
    own_group = groups / group_name.lstrip("/")
    for above in (own_group, *own_group.parents):
        try:
            if not above.is_relative_to(groups):
                return None
            if "memory" in (above / "cgroup.subtree_control").read_text(encoding="ascii").split():
                group = above / f"cortex-sandbox-{first}"
                group.mkdir()
                return group
        except OSError:
            return None
    return None


class ProcessTreeMemory:
    def __init__(self, first: int, most: int) -> None:
        self._first = first
        self._most = most + _OWN_BYTES
        buffered = Path("/proc/sys/net/core/wmem_default").read_text(encoding="ascii")
        self._socket_bytes = int(buffered)  # the filter lets no program ask for more

    def exceeded(self) -> bool:
        processes = list(_descendants(self._first))
        sockets = max(0, _read(self._first, "net/unix").count(b"\n") - 1)
        used_bytes = sum(len(_list_proc(process, "fd")) for process in processes) * _PIPE_BYTES
        # one mapped page may keep a shared segment
        maps = [_read(process, "maps") for process in processes]
        segments = {segment for text in maps for segment in _SHARED.findall(text)}
        used_bytes += sockets * self._socket_bytes + len(segments) * SHARED_BYTES
        used_bytes += sum(text.count(b"\n") for text in maps) * _MAPPING_BYTES
        pages = sum(int(words[0]) for process in processes if (words := _read(process, "statm").split()))
        if used_bytes + pages * _PAGE <= self._most:
            return False
        for process in processes:
            used_bytes += _status(process, "VmPTE") + _status(process, "VmSwap")
        if used_bytes + sum(_status(process, "RssAnon") for process in processes) <= self._most:
            return False
        return used_bytes + sum(map(_share, processes)) > self._most

    def close(self) -> None:
        pass


def _descendants(first: int) -> Iterator[int]:
    waiting = [first]
    while waiting:
        process = waiting.pop()
        for thread in _list_proc(process, "task"):
            children = _read(process, f"task/{thread}/children").split()
            waiting += map(int, children)
            yield from map(int, children)


def _list_proc(process: int, name: str) -> list[str]:
    try:
        return [path.name for path in Path(f"/proc/{process}/{name}").iterdir()]
    except OSError:
        return []


def _status(process: int, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+)".encode(), _read(process, "status"), re.MULTILINE)
    return int(match[1]) * _KIB if match else 0


def _share(process: int) -> int:
    """Anonymous memory of a process, with shared pages in proportion (PSS), in bytes."""
    match = re.search(rb"^Pss_Anon:\s+(\d+)", _read(process, "smaps_rollup"), re.MULTILINE)
    return int(match[1]) * _KIB if match else _status(process, "RssAnon")


def _read(process: int | str, name: str) -> bytes:
    try:
        return Path(f"/proc/{process}/{name}").read_bytes()
    except OSError:
        return b""
