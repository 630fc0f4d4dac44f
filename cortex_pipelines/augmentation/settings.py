"""What may be set for augmentation."""

from pydantic import Field

from cortex_pipelines.settings import Settings


class AugmentationSettings(Settings):
    """Section ``augmentation`` of params.yaml."""

    seed: int
    """Seed of every choice; a choice is a hash of seed and unit, so units are independent."""
    max_unit_bytes: int = Field(ge=1)
    """Longest unit that is augmented, in UTF-8 bytes. StarCoder's commit filter leaves out files of
    more than 100k characters; a unit is a part of a file."""
    renamed_variants: int = Field(ge=0)
    """Variants with renamed local variables, per function or method. 0 turns renaming off."""
    rewrites_per_unit: int = Field(ge=0)
    """Most variants that say the same in another way (comments, layout, structure), per function
    or method. 0 turns them off."""
    reformatted_share: float = Field(ge=0, le=1)
    """Share of the functions and methods whose first such variant is another layout: by a formatter
    (Ruff for Python, clang-format for Java, JavaScript and TypeScript), and with the same tokens
    where there is none or it cannot be shown to keep the code as it is. 0 leaves it to chance."""
    mutants_per_unit: int = Field(ge=0)
    """Most errors injected per function or method, one a mutant. They are drawn by each operator's
    weight (how real bugs occur: ManySStuBs4J). 0 turns injection off."""

    verified_mutants: int = Field(ge=0)
    """Most mutants of a project that are compiled and run against tests, drawn by hash. 0: none."""
    verification_seconds: float = Field(gt=0)
    """Longest time for one project's tests in the sandbox, in seconds; what has not been reached by
    then is unknown. Give far more than is needed, or the answer depends on the machine's load."""
    test_seconds: float = Field(gt=0)
    """Longest time for the tests of one mutant, in seconds: a mutant that loops is killed by it."""
    calls_per_unit: int = Field(ge=0)
    """Inputs on which a function and its mutant are called and compared, where no test kills it."""
    sandbox_memory_bytes: int = Field(ge=1)
    """Address space of one process in the sandbox, in bytes."""
    sandbox_processes: int = Field(ge=8)
    """Processes and threads in the sandbox at a time."""
    sandbox_folder_bytes: int = Field(ge=1)
    """What a project's files and all that its tests write may take up, in bytes of memory."""
    sandbox_output_bytes: int = Field(ge=1)
    """What the sandbox may print, in bytes."""
