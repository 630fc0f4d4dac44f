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
    """SHA-256 of the file, so that the data sets depend only on these settings. If it is wrong, the
    error shows the right one."""


class GeneralSettings(Settings):
    """General code from another project, to measure forgetting and specificity."""

    project: ProjectName | None
    """Project whose code is replayed in training against forgetting, and on which forgetting is
    measured; null for none."""


class FeedbackExampleSettings(Settings):
    """Section ``feedback_examples`` of params.yaml; sizes and splits are in ``datasets``."""

    max_retained: NonNegativeInt
    """Maximum number of training examples that a model wrote and people kept unchanged for an hour or into the next
    commit. Such text says what a model already writes; 0 counts it in the manifest and trains on none."""
    simulated: bool
    """Whether simulated corrections (and what a simulation kept) may be trained on. They are never
    held out, so that no figure and no promotion rests on them."""


class MixSettings(Settings):
    """The rows that every split should have, by language and by product and test code."""

    max_test_share: PartShare
    """Maximum share of test code, by rows and by bytes, 0 to 1. Projects have up to five times as many rows of tests
    as of product code; an adapter that learns tests writes product code no better."""
    min_language_share: Share
    """Minimum share of a language with enough units, for which rows of the others are left out."""
    min_language_units: PositiveInt
    """Number of units that may be trained on from which a language has ``min_language_share``."""
    temperature: PositiveShare
    """Exponent of the languages' row counts where ``max_train`` leaves rows out: 1 keeps their shares, a smaller one
    brings them nearer to each other."""


class DatasetSettings(Settings):
    """Section ``datasets`` of params.yaml."""

    seed: Seed
    """Seed of every choice; a choice is a hash of seed and content."""
    split_by: Literal["unit", "time", "file", "folder", "repository"]
    """Unit of the split. ``time``: units of code, of which the most recently written go to test, and then to
    validation; those without history are the oldest, in the order of their hashes. ``unit``: units by hash. The
    others keep all units of a file, a folder or a source together."""
    validation_share: HeldOutShare
    """Share of the units in validation, 0 to 0.5, in each language and of product and test code alike. With less
    than 60 functions to judge by, validation and test take up to a quarter each."""
    test_share: HeldOutShare
    """Share of the units in test, 0 to 0.5."""
    max_train: PositiveInt | None
    """Maximum number of training examples per data set; null for all. Sampling follows ``mix`` and prefers rows
    with a higher ``weight``."""
    max_validation: PositiveInt | None
    """Maximum number of validation examples per data set; null for all."""
    max_test: PositiveInt | None
    """Maximum number of test examples per data set; null for all."""
    mix: MixSettings
    """Shares of languages and of test code in every split."""
    max_by_kind: dict[Text, dict[Text, NonNegativeInt]]
    """Maximum number of training examples by data set and kind (column ``kind``); scaled down for
    validation and test by their shares. Other kinds are not limited."""
    max_augmented_share: PartShare
    """Maximum share of variants in train, 0 to 1: with renamed variables and, for completion,
    rewritten ones too. Variants are dropped first when ``max_train`` is reached."""
    near_duplicate_threshold: PositiveShare
    """Minimum Jaccard similarity of token shingles of near-duplicates (bigcode: 0.7)."""
    shingle_tokens: PositiveInt
    """Tokens per shingle (bigcode: 5)."""
    minhash_bands: PositiveInt
    """Bands of a MinHash signature. With 50 bands of 5 rows (250 permutations, as bigcode) a pair
    of similarity 0.7 is detected with probability 0.9999; candidates are then compared exactly."""
    minhash_rows: PositiveInt
    """Rows per band; bands times rows is the number of permutations."""
    longest_line: PositiveInt
    """Maximum length of a line, in characters (StarCoder: 1000)."""
    mean_line: PositiveInt
    """Maximum mean line length of a unit, in characters (StarCoder: 100)."""
    min_alphanumeric: Share
    """Minimum share of letters and digits in a unit (StarCoder: 0.25)."""
    max_comment_share: Share
    """Maximum share of comment-only lines in a unit (StarCoder: 0.8)."""
    contamination_tokens: PositiveInt
    """Tokens per shingle for the comparison with benchmarks. The shipped fingerprints of HumanEval and MBPP use 10."""
    contamination_share: PositiveShare
    """Minimum share of a benchmark text's shingles in a unit for the unit to be excluded. One
    shared shingle is not enough: `for i in range(len(values)):` alone has 11 tokens."""
    decontaminate: Row[Benchmark]
    """Further benchmarks to exclude, besides HumanEval and MBPP."""
    min_body_bytes: Bytes
    """Minimum size of a body or gap to complete, in UTF-8 bytes. Imports and declarations are
    naturally shorter and only need the length of a name."""
    max_body_bytes: Bytes
    """Maximum size of a body to complete, in UTF-8 bytes; a token of SmolLM2 is about 3.5 bytes."""
    max_prompt_bytes: Bytes
    """Maximum prompt size, in UTF-8 bytes. Context and imports are dropped first; units with a
    still longer prompt are excluded."""
    max_suffix_bytes: NonNegativeInt
    """Maximum size of the code after a gap, in UTF-8 bytes; cut at a line end."""
    fim_share: Share
    """Share of train's units that also give a fill-in-the-middle example, 0 to 1; a function of validation or test
    gives up to four."""
    min_name_length: PositiveInt
    """Minimum length of a name to predict, in characters: `i` or `fd` carry no meaning."""
    variables_per_unit: NonNegativeInt
    """Maximum number of local variables to predict per unit, one example each."""
    examples_per_name: PositiveInt
    """Maximum number of examples that ask for the same name: a method of an interface has it in every type."""
    mask: Text
    """Mask token for the name to predict; must not be a valid name in any language."""
    max_change_bytes: Bytes
    """Maximum size of code to fix or improve, before and after, in UTF-8 bytes."""
    max_named_left_out: NonNegativeInt
    """Maximum number of manifest rows per exclusion reason; the rest is summarised in one row."""
    card_examples: NonNegativeInt
    """Examples of each kind on the data card."""

    @model_validator(mode="after")
    def _body_bounds(self) -> "DatasetSettings":
        if self.min_body_bytes > self.max_body_bytes:
            raise ValueError(
                f"min_body_bytes ({self.min_body_bytes}) must not be above max_body_bytes ({self.max_body_bytes})"
            )
        return self


class ArchitectureExampleSettings(Settings):
    """Section ``architecture_examples`` of params.yaml; sizes and splits are in ``datasets``."""

    min_rule_edges: PositiveInt
    """Minimum number of imports between two parts of a folder for a dependency rule; fewer may be
    chance: with 3 imports in random directions, a quarter of the cases all point one way."""

    rule_agreement: float = Field(gt=0.5, le=1)
    """Minimum share of these imports in the rule's direction; the others are violations."""

    max_per_rule: PositiveInt
    """Maximum number of examples per rule and origin (allowed, injected), chosen by hash."""

    min_description_words: PositiveInt
    """Minimum number of words in the documentation of what is asked about."""

    max_listed: PositiveInt
    """Maximum number of files, packages or imports that a prompt lists."""

    min_rows: NonNegativeInt
    """Minimum number of questions with a known answer; with fewer the task is left out."""
