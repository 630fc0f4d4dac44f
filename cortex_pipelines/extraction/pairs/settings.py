"""Settings of refactoring pairs."""

from pydantic import model_validator

from cortex_pipelines.settings import NonNegativeInt, PositiveInt, Seed, Settings, Share


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
