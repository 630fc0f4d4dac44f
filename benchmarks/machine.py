"""The machine of a measurement, without which its result means nothing."""

import importlib.metadata
import os
import platform
from pathlib import Path

_PACKAGES = ("dagster", "dvc", "mlflow", "polars", "torch", "tree-sitter")


def describe() -> dict[str, str | float | int]:
    """Processor, its cores, how busy they are, and the versions that matter."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "busy_processes": round(os.getloadavg()[0], 1),
        "system": platform.system(),
        "python": platform.python_version(),
        **versions,
    }


def one_line(machine: dict[str, str | float | int]) -> str:
    """The description as one line."""
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", *_PACKAGES))
    return (
        f"{machine['processor']}, {machine['cores']} cores "
        f"({machine['busy_processes']} processes busy before), {machine['system']}; {versions}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
