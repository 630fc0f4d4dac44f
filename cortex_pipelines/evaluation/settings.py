"""Settings of the evaluation: section ``evaluation`` of ``params.yaml``."""

from typing import Literal, TypedDict

from pydantic import Field, model_validator

from cortex_pipelines.settings import (
    MOST,
    Length,
    NonNegativeInt,
    OpenShare,
    PositiveFloat,
    PositiveInt,
    Seed,
    Settings,
    Text,
    Threads,
)


class ProblemFile(Settings):
    """A HumanEval-style benchmark: JSON lines with ``task_id``, ``prompt``, ``test`` and ``entry_point``."""

    path: Text
    """Path below the project's root."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Hash of the file."""


class OtherAdapter(Settings):
    """Another project's adapter, as a baseline."""

    project: Text
    """Project that it was trained on."""
    version: Text
    """Hash of the adapter's folder, as shown by `cortex releases` and the UI."""


class Bootstrap(TypedDict):
    """Options of the paired bootstrap."""

    resamples: int
    confidence: float
    seed: int


class EvaluationSettings(Settings):
    """Sample sizes, generation and statistics of the adapter evaluation."""

    items: PositiveInt
    """Maximum number of held-out examples per task to score, sampled by the seed."""
    general_items: NonNegativeInt
    """Maximum number of general-code examples, to measure forgetting."""
    general_characters: PositiveInt
    """Maximum number of characters scored in the prompt of a general-code example, and in its completion."""
    choices: NonNegativeInt
    """Maximum number of multiple-choice questions of each kind (naming, fix, statement)."""
    max_length: Length
    """Maximum number of tokens per item; longer prompts are truncated at the start."""
    precision: Literal["fp32", "bf16", "auto"]
    """Data type of the base's weights while scoring; ``auto`` as in training, and ``comparison.json`` records which."""
    generated_items: NonNegativeInt
    """Items per task to complete by generation (slow on a CPU); 0 disables generation."""
    tested_items: NonNegativeInt
    """Number of Python functions whose generated body is run against the repository's own tests in
    the sandbox. The same number of generated tests is run on the true code and on its mutants."""
    max_new_tokens: PositiveInt
    """Maximum number of tokens generated per item; items with a longer reference are skipped."""
    max_test_tokens: PositiveInt
    """The same for generated tests, which are longer than other answers."""
    samples: PositiveInt
    """Samples per tested item; the first is greedy, the others are drawn."""
    temperature: PositiveFloat
    """Sampling temperature of the drawn samples."""
    pass_k: list[PositiveInt]
    """Each k of pass@k; at most ``samples``."""
    benchmarks: list[ProblemFile]
    """The user's own benchmark files, run in the sandbox."""
    memorised: NonNegativeInt
    """Rare lines to try to extract from each of the training and test splits."""
    alternatives: PositiveInt
    """Random alternatives against which a planted canary is ranked."""
    retrieved_bytes: NonNegativeInt
    """Maximum bytes of similar training examples placed before a prompt, in the evaluation and wherever a release
    answers with context; 0 disables them. How the value was chosen: docs/evaluation.md."""
    retrieved_window: Length
    """Maximum number of tokens of a retrieval prompt with its completion."""
    retrieved_choices: NonNegativeInt
    """Questions of each kind that are also asked with similar training examples before them."""
    other_adapter: OtherAdapter | None
    """Another project's adapter evaluated on the same items, to see whether training on the
    project's own code matters; null for none."""
    smallest_improvement: PositiveFloat
    """Smallest improvement worth shipping, in bits per byte; power is stated for it. The gate has
    its own: release.code_adapter.smallest_improvement."""
    smallest_accuracy: OpenShare
    """Smallest improvement in accuracy worth shipping."""
    resamples: int = Field(ge=100, le=MOST)
    """Resamples of the paired bootstrap."""
    confidence: OpenShare
    """Confidence of every interval, two-sided."""
    seed: Seed
    """Seed of sampling and bootstrap."""
    threads: Threads
    """CPU threads for scoring; they affect the result."""

    @property
    def bootstrap(self) -> Bootstrap:
        return {"resamples": self.resamples, "confidence": self.confidence, "seed": self.seed}

    @model_validator(mode="after")
    def _enough_samples(self) -> "EvaluationSettings":
        if any(not 1 <= k <= self.samples for k in self.pass_k):
            raise ValueError(f"pass_k {self.pass_k}: each k must be from 1 to evaluation.samples, {self.samples}")
        return self
