"""Resource limits of a sandboxed command."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ResourceLimits:
    """Resource limits of a command.

    Args:
        wall_seconds: Time until it is ended.
        cpu_seconds: Processor time of one process.
        memory_bytes: Memory of all its processes together, what the kernel holds for them included;
            the files that it writes count as ``folder_bytes``. It is ended when it takes more.
        address_bytes: Address space of one process; beyond it, allocation fails.
        processes: Processes and threads at a time.
        folder_bytes: All that it writes, the copy of its folder included.
        output_bytes: Of standard output and error together; it is ended when it writes more.
    """

    wall_seconds: float
    cpu_seconds: int
    memory_bytes: int
    address_bytes: int
    processes: int
    folder_bytes: int
    output_bytes: int
