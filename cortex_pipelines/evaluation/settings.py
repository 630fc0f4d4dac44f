"""Settings of the evaluation: section ``evaluation`` of ``params.yaml``."""

from typing import Literal

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
    """A benchmark in the form of HumanEval: JSON lines with ``task_id``, ``prompt``, ``test`` and
    ``entry_point``."""

    path: Text
    """Path below the project's root."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Hash of the file."""


class OtherAdapter(Settings):
    """Another project's adapter, as a baseline."""

    project: Text
    """Its project."""

    version: Text
    """Its version: the hash of its folder, as `cortex releases` and the UI show it."""


class EvaluationSettings(Settings):
    """Sample sizes, generation and statistics of the adapter evaluation."""

    items: PositiveInt
    """Most held-out examples of each task that a model is scored on, sampled by the seed."""

    general_items: NonNegativeInt
    """The same of the project that stands for code in general: what is forgotten."""

    general_characters: PositiveInt
    """Most characters of the prompt of such an item, and of its completion, that are scored."""

    choices: NonNegativeInt
    """Most questions of each kind (naming, fix, statement) where the likeliest answer counts."""

    max_length: Length
    """Most tokens of one item; a longer prompt loses its beginning."""

    precision: Literal["fp32", "bf16"]
    """Type of the base's weights while scoring."""

    generated_items: NonNegativeInt
    """Items of each task completed by generation; 0 for none (slow on a processor)."""

    tested_items: NonNegativeInt
    """Python functions whose generated body is run by the repository's tests, in the sandbox."""

    max_new_tokens: PositiveInt
    """Most tokens generated for one item; longer completions are not asked for."""

    samples: PositiveInt
    """Outputs of each item that is tested; the first is greedy, further ones are drawn."""

    temperature: PositiveFloat
    """Of the drawn ones."""

    pass_k: list[PositiveInt]
    """Each k of pass@k; at most ``samples``."""

    benchmarks: list[ProblemFile]
    """Own benchmark files, run in the sandbox."""

    memorised: NonNegativeInt
    """Rare lines each of the training and of the test split that are tried to be extracted."""

    alternatives: PositiveInt
    """Random alternatives that a canary planted in training is ranked among."""

    retrieved: NonNegativeInt
    """Similar training examples that the baseline of retrieval puts before a prompt; 0 for no such
    baseline."""

    retrieved_window: Length
    """Most tokens of such a prompt with its completion: what stands before it needs room."""

    other_adapter: OtherAdapter | None
    """Adapter of another project on the same items: does it matter whose code was learnt? null for
    none."""

    smallest_improvement: PositiveFloat
    """Smallest improvement worth shipping, in bits per byte; power is stated for it. The gate has
    its own: release.code_adapter.smallest_improvement."""

    smallest_accuracy: OpenShare
    """The same of a share of right answers."""

    resamples: int = Field(ge=100, le=MOST)
    """Resamples of the paired bootstrap."""

    confidence: OpenShare
    """Confidence of every interval, two-sided."""

    seed: Seed
    """Seed of sampling and bootstrap."""

    threads: Threads
    """Processor threads of scoring; part of the result."""

    @model_validator(mode="after")
    def _enough_samples(self) -> "EvaluationSettings":
        if any(not 1 <= k <= self.samples for k in self.pass_k):
            raise ValueError(
                f"pass_k {self.pass_k}: each k must be from 1 to evaluation.samples, {self.samples}"
            )
        return self
