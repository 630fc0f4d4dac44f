"""Settings of extraction in ``params.yaml``."""

from pydantic import model_validator

from cortex_pipelines.settings import Bytes, NonNegativeInt, PositiveInt, Seed, Settings, Share


class ExtractionSettings(Settings):
    """Limits that bound the cost of hostile or generated files."""

    max_file_bytes: Bytes
    """Larger files have no units, in bytes. 10 MB take 3 s and 0.4 GB (measured)."""

    max_nesting: PositiveInt
    """Units inside this many others are left out: each level repeats the code inside it."""

    max_header_chars: PositiveInt
    """A name or header of an enclosing unit is truncated to so many characters."""

    max_repeated_bytes: Bytes
    """A declaration is a unit for each of its names, which all repeat its code. One whose names
    times its bytes are more is one unit."""


class ArchitectureSettings(Settings):
    """Limits that bound the cost of hostile or generated files."""

    max_file_bytes: Bytes
    """Larger files of code, SQL and schemas are skipped, in bytes: they are data or dumps."""

    max_yaml_bytes: Bytes
    """Larger YAML files are skipped, in bytes: the safe parser reads 0.4 MB/s (measured)."""

    max_yaml_depth: PositiveInt
    """YAML is read down to this many levels; a Kubernetes manifest has some 12."""

    max_facts_per_file: PositiveInt
    """Most facts of one file; the first ones are kept."""

    max_evidence_chars: PositiveInt
    """Evidence and descriptions are truncated to so many characters; the lines give the span."""


class RefactoringSettings(Settings):
    """Thresholds of the detection of refactorings between two versions.

    A likeness is the share of the names and values of two bodies in statements that were mapped.
    """

    max_file_bytes: Bytes
    """Larger files are left out, in bytes: generated and vendored code is mostly larger."""

    least_rename: Share
    """Similarity of bodies from which a function renamed in place counts as the same."""

    least_move: Share
    """Similarity from which a function or type moved under its name counts as the same."""

    least_move_and_rename: Share
    """Similarity from which a moved and renamed function or type counts as the same."""

    small_body: NonNegativeInt
    """Names and values up to which a body is too small to prove a match by itself."""

    least_extract: Share
    """Share of an extracted function that has to come from its origin."""


class PairSettings(Settings):
    """Section ``pairs`` of params.yaml: which commits are mined and which pairs are kept."""

    seed: Seed
    """Seed of every choice; a choice is a hash of seed and content."""
    max_commits: NonNegativeInt | None
    """Most commits of a project that are mined, newest first; null for all."""
    max_files: PositiveInt
    """Most changed files in languages that are parsed; a commit with more is bulk work."""
    max_file_chars: PositiveInt
    """Larger files are left out, in characters (StarCoder: 100,000)."""
    min_subject_words: NonNegativeInt
    """Fewest words of a commit's subject (CommitPackFT: 4)."""
    max_pairs: PositiveInt
    """Most refactorings of one commit; more are a bulk rename or a reformatting."""
    max_commits_per_path: PositiveInt | None
    """Most commits of one file that give pairs, the newest first (StarCoder: 1); null for all."""
    small_lines: NonNegativeInt
    """Units of so many lines or fewer are kept at ``extreme_share`` (StarCoder: 2)."""
    large_lines: PositiveInt
    """Units of so many lines or more are kept at ``extreme_share`` (StarCoder: 200)."""
    extreme_share: Share
    """Share of very small and very large units that is kept (StarCoder: 0.1)."""
    long_lines: PositiveInt
    """Lines above which a unit is a long method, a smell (pylint: 50)."""
    many_parameters: PositiveInt
    """Parameters above which a list is long (pylint: 5)."""
    deep_levels: PositiveInt
    """Levels of indentation inside a unit above which it is nested deeply."""

    @model_validator(mode="after")
    def _line_bounds(self) -> "PairSettings":
        if self.small_lines >= self.large_lines:
            raise ValueError(f"small_lines ({self.small_lines}) must be below large_lines ({self.large_lines})")
        return self
