"""Whether memory is short: by what is free within the limits of machine, container and process, or by the kernel."""

import resource
from collections.abc import Iterator
from pathlib import Path

import psutil

_STALLED = 10.0
"""Percent of the last ten seconds in which some task waited for memory (PSI)."""


def is_short(reserve: int, system: Path = Path("/")) -> bool:
    """Whether less than ``reserve`` bytes are free, or tasks wait for memory; ``system``: the root of files."""
    return _free(system) < reserve or _stalled(system) > _STALLED


def _free(system: Path) -> float:
    """Bytes that this process may still take."""
    free = [float(psutil.virtual_memory().available)]
    for group in _groups(system):
        limit = _read(group / "memory.max")
        if limit.isdigit():
            # the cache of files, such as the base's weights, is given back on demand
            cached = dict(line.split() for line in _read(group / "memory.stat").splitlines()).get("inactive_file", "0")
            free.append(int(limit) - int(_read(group / "memory.current") or 0) + int(cached))
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        free.append(most - psutil.Process().memory_info().vms)
    return min(free)


def _stalled(system: Path) -> float:
    """Percent of time in which some task waited; 0 where the kernel does not tell."""
    pressures = [group / "memory.pressure" for group in _groups(system)] + [system / "proc/pressure/memory"]
    words = next((words for path in pressures if (words := _read(path).split())), [])
    return float(next((word[6:] for word in words if word.startswith("avg10=")), 0))


def _groups(system: Path) -> Iterator[Path]:
    """The control groups (cgroup v2) that this process is in, from its own outwards, as far as they are visible."""
    root = system / "sys/fs/cgroup"
    name = next((line[4:] for line in _read(system / "proc/self/cgroup").splitlines() if line.startswith("0::/")), None)
    if name is not None:
        group = root / name
        yield from (path for path in (group, *group.parents) if path == root or root in path.parents)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
