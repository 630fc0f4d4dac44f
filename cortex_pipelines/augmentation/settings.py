"""Settings of augmentation."""

from pydantic import Field

from cortex_pipelines.execution.sandbox.settings import ResourceLimits
from cortex_pipelines.settings import MOST, Bytes, NonNegativeInt, PositiveFloat, Seed, Settings, Text


class PinnedEnvironment(Settings):
    """Packages that a project's tests need, pinned; see `cortex test-environment`."""

    requirements: Text
    """Path below the project's root of a list with versions and hashes, as `uv pip compile
    --generate-hashes` writes it."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Hash of that file."""


class AugmentationSettings(Settings):
    """Section ``augmentation`` of params.yaml."""

    seed: Seed
    """Seed of every choice; a choice is a hash of seed and unit, so units are independent."""
    max_unit_bytes: Bytes
    """Maximum size of an augmented unit, in UTF-8 bytes. StarCoder's commit filter excludes files
    of more than 100k characters; a unit is a part of a file."""
    renamed_variants: NonNegativeInt
    """Variants with renamed local variables per function or method; 0 turns renaming off."""
    rewrites_per_unit: NonNegativeInt
    """Maximum number of equivalent variants (comments, layout) per function or method; 0 turns them off."""
    mutants_per_unit: NonNegativeInt
    """Maximum number of mutants per function or method, with one injected bug each, drawn by
    operator weight (frequency of real one-line fixes); 0 turns injection off."""

    verification_seconds: PositiveFloat
    """Time limit for one project's tests in the sandbox, in seconds; the remaining ones are
    unknown. Choose it far too large, or the result depends on the machine's load."""
    test_environment: PinnedEnvironment | None
    """Packages that the project's tests run with, in this package's version of Python; null for
    what this package itself needs."""
    test_seconds: PositiveFloat
    """Time limit for the tests of one changed file, in seconds; an endless loop counts as failing."""
    sandbox_memory_bytes: Bytes
    """Memory limit of all processes in the sandbox, and of the address space of each, in bytes."""
    sandbox_processes: int = Field(ge=8, le=MOST)
    """Maximum number of processes and threads in the sandbox."""
    sandbox_folder_bytes: Bytes
    """Size limit of a project's files and the files its tests write, in bytes of memory."""
    sandbox_output_bytes: Bytes
    """Output limit of the sandbox, in bytes."""

    def sandbox_limits(self, seconds: float) -> ResourceLimits:
        """Resource limits of a run that is ended after ``seconds``."""
        memory = self.sandbox_memory_bytes
        return ResourceLimits(
            wall_seconds=seconds,
            cpu_seconds=int(seconds) + 1,
            memory_bytes=memory,
            address_bytes=memory,
            processes=self.sandbox_processes,
            folder_bytes=self.sandbox_folder_bytes,
            output_bytes=self.sandbox_output_bytes,
        )
