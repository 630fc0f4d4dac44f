"""Settings of augmentation."""

from pydantic import Field

from cortex_pipelines.sandbox.settings import Limits
from cortex_pipelines.settings import (
    MOST,
    Bytes,
    NonNegativeInt,
    PositiveFloat,
    Seed,
    Settings,
    Share,
)

_RESERVED_BYTES = 1 << 36  # node and java reserve address space that they never use
_COMPILER_PROCESSES = 256


class AugmentationSettings(Settings):
    """Section ``augmentation`` of params.yaml."""

    seed: Seed
    """Seed of every choice; a choice is a hash of seed and unit, so units are independent."""
    max_unit_bytes: Bytes
    """Longest unit that is augmented, in UTF-8 bytes. StarCoder's commit filter leaves out files of
    more than 100k characters; a unit is a part of a file."""
    renamed_variants: NonNegativeInt
    """Variants with renamed local variables, per function or method. 0 turns renaming off."""
    rewrites_per_unit: NonNegativeInt
    """Most variants that say the same in another way (comments, layout, structure), per function
    or method. 0 turns them off."""
    reformatted_share: Share
    """Share of the functions and methods whose first such variant is another layout: by a formatter
    (Ruff for Python, clang-format for Java, JavaScript and TypeScript), and with the same tokens
    where there is none or it cannot be shown to keep the code as it is. 0 leaves it to chance."""
    mutants_per_unit: NonNegativeInt
    """Most errors injected per function or method, one a mutant. They are drawn by each operator's
    weight (how real bugs occur: ManySStuBs4J). 0 turns injection off."""

    verified_mutants: NonNegativeInt
    """Most mutants of a project that are compiled and run against tests, drawn by hash. 0: none."""
    verification_seconds: PositiveFloat
    """Longest time for one project's tests in the sandbox, in seconds; what has not been reached by
    then is unknown. Give far more than is needed, or the answer depends on the machine's load."""
    test_seconds: PositiveFloat
    """Longest time for the tests of one mutant, in seconds: a mutant that loops is killed by it."""
    calls_per_unit: NonNegativeInt
    """Inputs on which a function and its mutant are called and compared, where no test kills it."""
    sandbox_memory_bytes: Bytes
    """Memory of all processes in the sandbox together, and address space of one, in bytes."""
    sandbox_processes: int = Field(ge=8, le=MOST)
    """Processes and threads in the sandbox at a time."""
    sandbox_folder_bytes: Bytes
    """What a project's files and all that its tests write may take up, in bytes of memory."""
    sandbox_output_bytes: Bytes
    """What the sandbox may print, in bytes."""

    def sandbox_limits(self, seconds: float, compilers: bool = False) -> Limits:
        """Resource limits of a run in the sandbox.

        Args:
            seconds: Time until it is ended.
            compilers: It is a compiler, with many threads and address space only reserved.
        """
        memory = self.sandbox_memory_bytes
        return Limits(
            wall_seconds=seconds,
            cpu_seconds=int(seconds) + 1,
            memory_bytes=memory,
            address_bytes=max(memory, _RESERVED_BYTES) if compilers else memory,
            processes=max(self.sandbox_processes, _COMPILER_PROCESSES if compilers else 0),
            folder_bytes=self.sandbox_folder_bytes,
            output_bytes=self.sandbox_output_bytes,
        )
