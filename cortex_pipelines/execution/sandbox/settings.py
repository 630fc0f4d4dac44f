"""Resource limits of a sandboxed command."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ResourceLimits:
    wall_seconds: float
    cpu_seconds: int  # of one process
    memory_bytes: int  # of all processes, with what the kernel holds for them; written files count as folder_bytes
    address_bytes: int  # address space of one process; beyond it, allocation fails
    processes: int  # processes and threads at a time
    folder_bytes: int  # all written files, including the copy of its folder
    output_bytes: int  # standard output and error together; the command is ended beyond this limit
