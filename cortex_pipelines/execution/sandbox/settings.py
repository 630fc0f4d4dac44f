"""Resource limits of a sandboxed command."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ResourceLimits:
    """Resource limits of a command.

    Args:
        wall_seconds: Wall time limit.
        cpu_seconds: Processor time of one process.
        memory_bytes: Memory of all its processes, including what the kernel holds for them; written
            files count as ``folder_bytes``. It is ended beyond this limit.
        address_bytes: Address space of one process; beyond it, allocation fails.
        processes: Processes and threads at a time.
        folder_bytes: All written files, including the copy of its folder.
        output_bytes: Standard output and error together; it is ended beyond this limit.
    """

    wall_seconds: float
    cpu_seconds: int
    memory_bytes: int
    address_bytes: int
    processes: int
    folder_bytes: int
    output_bytes: int
