"""Settings of the data sets."""

from typing import Literal

from pydantic import Field, model_validator

from cortex_pipelines.settings import (
    Bytes,
    HeldOutShare,
    NonNegativeInt,
    PartShare,
    PositiveInt,
    PositiveShare,
    ProjectName,
    Row,
    Seed,
    Settings,
    Share,
    Text,
)


class Benchmark(Settings):
    """A user's file with benchmark texts that no data set may contain."""

    path: Text
    """File, relative to the project root: JSON lines, Parquet (each text column of a row is one
    text) or plain text (the whole file is one)."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the file, so that the data sets stay a function of what is written here. Where it
    is wrong, the error names the right one."""


class GeneralSettings(Settings):
    """General code from another project, to measure forgetting and specificity."""

    project: ProjectName | None
    """Project whose code is replayed in training against forgetting, and on which is measured what
    an adapter forgets; null for none."""


class DatasetSettings(Settings):
    """Section ``datasets`` of params.yaml."""

    seed: Seed
    """Seed of every choice; a choice is a hash of seed and content."""
    split_by: Literal["file", "folder", "repository", "time"]
    """What stays in one split as a whole, with all its near-duplicates: a file, the files of a
    folder, or a source. ``time`` is by file too, but the files that were changed last go to
    test, and then to validation; files without history are the oldest."""
    validation_share: HeldOutShare
    """Share of the units that go to validation, 0 to 0.5. Whole groups of files go to one side, so
    a small project only comes near it."""
    test_share: HeldOutShare
    """Share of the units that go to test, 0 to 0.5."""
    max_train: PositiveInt | None
    """Most examples in train, per data set; null for all. Each language keeps its share, and a row
    stays the more readily the higher its ``weight``; which ones, the hash decides."""
    max_validation: PositiveInt | None
    """Most examples in validation, per data set; null for all."""
    max_test: PositiveInt | None
    """Most examples in test, per data set; null for all."""
    max_by_kind: dict[Text, dict[Text, NonNegativeInt]]
    """Most examples of a kind in train, by data set and kind (as in column ``kind``); in validation
    and test as many fewer as their share is smaller. A kind that is not named has no bound."""
    max_augmented_share: PartShare
    """Largest share of train that may be variants of its units, 0 to 1: with renamed variables,
    and, to complete, rewritten ones too. Where ``max_train`` is reached there is no room for them.
    """
    near_duplicate_threshold: PositiveShare
    """Jaccard similarity of token shingles from which units are near-duplicates (bigcode: 0.7)."""
    shingle_tokens: PositiveInt
    """Tokens in a shingle (bigcode: 5)."""
    minhash_bands: PositiveInt
    """Bands of a MinHash signature. With 50 bands of 5 rows (250 permutations, as bigcode) a pair
    at similarity 0.7 is found with probability 0.9999; each found pair is then compared exactly."""
    minhash_rows: PositiveInt
    """Rows of a band; bands times rows is the number of permutations."""
    longest_line: PositiveInt
    """Longest line of a unit, in characters (StarCoder: 1000)."""
    mean_line: PositiveInt
    """Largest mean length of a unit's lines, in characters (StarCoder: 100)."""
    min_alphanumeric: Share
    """Smallest share of letters and digits among a unit's characters (StarCoder: 0.25)."""
    max_comment_share: Share
    """Largest share of a unit's lines that hold nothing but a comment (StarCoder: 0.8)."""
    contamination_tokens: PositiveInt
    """Tokens in a shingle that is compared with benchmarks. The fingerprints of HumanEval and MBPP
    that come with the package are of 10."""
    contamination_share: PositiveShare
    """Share of a benchmark text's shingles from which a unit that holds them is left out. One
    shared shingle says little: `for i in range(len(values)):` alone has 11 tokens."""
    decontaminate: Row[Benchmark]
    """Texts to keep out, besides HumanEval and MBPP."""
    min_body_bytes: Bytes
    """Shortest body to complete or gap to fill, in UTF-8 bytes: below it there is nothing to
    learn. Imports and declarations are shorter by nature and only need a name's length."""
    max_body_bytes: Bytes
    """Longest body to complete, in UTF-8 bytes; about 3.5 bytes are a token of SmolLM2."""
    max_prompt_bytes: Bytes
    """Longest prompt, in UTF-8 bytes. Context and imports are left out first; a prompt that is
    still longer makes no example."""
    max_suffix_bytes: NonNegativeInt
    """Most code after a gap, in UTF-8 bytes; cut at a line's end."""
    fim_share: Share
    """Share of the units that also give a gap to fill, 0 to 1 (about half in the field)."""
    context_signatures: NonNegativeInt
    """Most signatures of siblings, and as many of called definitions, that a gap's prompt shows."""
    min_name_length: PositiveInt
    """Shortest name to find, in characters: `i` or `fd` says nothing."""
    variables_per_unit: NonNegativeInt
    """Most local variables of a unit that are asked for, each in an example of its own."""
    mask: Text
    """What stands for the name to find; must be no name in any language."""
    max_change_bytes: Bytes
    """Longest code to put right or to improve, before or after, in UTF-8 bytes."""
    max_named_left_out: NonNegativeInt
    """Most rows of a manifest that name, for one reason, what was left out; the rest is counted in
    one row."""
    card_examples: NonNegativeInt
    """Examples of each kind that the data card shows."""

    @model_validator(mode="after")
    def _body_bounds(self) -> "DatasetSettings":
        if self.min_body_bytes > self.max_body_bytes:
            raise ValueError(
                f"min_body_bytes ({self.min_body_bytes}) must not be above max_body_bytes "
                f"({self.max_body_bytes})"
            )
        return self
