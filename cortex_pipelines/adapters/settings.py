"""Settings of LoRA training: the ``adapters`` section of ``params.yaml``."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from cortex_pipelines.settings import (
    MOST,
    Batch,
    LearningRate,
    Length,
    NonNegativeInt,
    PartShare,
    PositiveFloat,
    PositiveInt,
    PositiveShare,
    ProjectName,
    Range,
    Rank,
    Row,
    Seed,
    Settings,
    Share,
    Text,
    Threads,
)

Task = Literal["completion", "refactoring", "naming", "architecture", "documentation", "tests"]
Layers = Literal["all-linear", "attention"]


class TrainingChecks(Settings):
    """Limits that the training data must meet; null switches a limit off."""

    min_examples: PositiveInt
    """Minimum number of training examples over all tasks."""
    max_file_share: PositiveShare | None
    """Maximum share of the training examples from one file: a single file does not show a style."""
    max_kind_share: PositiveShare | None
    """Maximum share of a task's training examples of one kind."""
    max_distance: PositiveFloat | None
    """Maximum divergence of validation or test from train by language and test code (Jensen-Shannon, bits)."""
    max_leaks: NonNegativeInt | None
    """Maximum number of training examples with a near-duplicate (``datasets.near_duplicate_threshold``) in validation
    or test, compared as the data set itself does."""
    max_secrets: NonNegativeInt | None
    """Maximum number of secrets that the scanner may detect in prompts and completions of all splits."""


class SearchSettings(Settings):
    """Hyperparameter search before training, bounded by trials and tokens, not by a clock, so that it can be repeated.

    The section's own values are the first trial and are kept unless another one beats them on the test split.
    """

    trials: NonNegativeInt
    """Number of trials; 0 trains with the section's own values."""
    max_tokens: PositiveInt
    """Training tokens per trial; a trial worse than the median at a validation is pruned."""
    test_tokens: PositiveInt
    """Tokens of the test split on which the best trial is compared with the section's own values."""
    ranks: Row[Rank] = Field(min_length=1)
    """Candidate ranks; alpha keeps its ratio to the rank."""
    learning_rate: Range[LearningRate]
    """Minimum and maximum of the peak learning rate, searched on a logarithmic scale. A trial takes a higher one, being
    shorter than the training (Bjorck et al. 2024)."""
    targets: Row[Layers] = Field(min_length=1)
    """Candidate ``target_modules``."""
    step_sizes: Row[PositiveInt] = Field(min_length=1)
    """Candidate sizes of an optimiser step, in multiples of ``gradient_accumulation``: a larger one makes fewer steps
    of the same tokens."""


class AdapterSettings(Settings):
    """Hyperparameters of adapter training."""

    trainer: Literal["own", "trl"]
    """Training loop: this program's own, or the SFTTrainer of the package ``trl`` (the extra
    ``trl``), with which several GPUs exchange gradients while they compute. Rows, budget,
    validation and result are the same, the order of the rows and so the weights are not."""
    epochs: PositiveInt
    """Number of passes over the sampled examples."""
    max_tokens: PositiveInt
    """Token budget (prompt and completion) of the whole training over all epochs. Larger data sets
    are sampled; smaller ones are used once per epoch."""
    task_shares: dict[Task, PositiveFloat]
    """Relative shares of the token budget by task; tasks without an entry are not trained, and what
    a task cannot fill goes to the others."""
    max_length: Length
    """Maximum length of a packed row and of an example, in tokens. Longer rows save padding but
    cost more in attention, so measure the value (on a CPU 768 is faster than 2048)."""
    batch_size: Batch
    """Packed rows per forward pass."""
    gradient_accumulation: PositiveInt
    """Forward passes per optimiser step."""
    learning_rate: LearningRate
    """Peak learning rate of AdamW; for LoRA ten times that of full fine-tuning, or more."""
    warmup_steps: NonNegativeInt
    """Optimiser steps of linear warm-up to the peak learning rate."""
    lr_scheduler: Literal["cosine", "linear", "constant"]
    """Decay of the learning rate after the warm-up."""
    max_grad_norm: PositiveFloat
    """Maximum gradient norm; larger gradients are clipped."""
    precision: Literal["fp32", "bf16", "fp16", "auto"]
    """Data type of the base's weights in training; the adapter's own are always float32. ``fp16`` uses loss scaling
    (Micikevicius et al. 2018). ``auto`` is bf16 where the machine has instructions for it, else fp32; the adapter
    records the choice. ``cortex tune-machine`` measures and writes the faster type here."""
    quantisation: Literal["int8", "nf4"] | None
    """Form in which the base's linear layers are held in training (the extra ``trl``): ``int8`` is 8 bits a weight,
    ``nf4`` 4 bits (QLoRA, Dettmers et al. 2023), which a large base on one GPU needs; null is ``precision``. TRL
    then trains the adapter in bfloat16. It is evaluated and served on the base as it is."""
    packing: bool
    """Whether several examples are packed into a row; otherwise each row holds one."""
    completion_only_loss: bool
    """Whether only completions are learned. Otherwise prompts are too, most of which is the code around a completion:
    every token of the budget then teaches the project's code. Validation always measures completions alone."""
    fim_rate: Share
    """Share of fill-in-the-middle examples among completion examples; missing ones are replaced by
    ordinary completion."""
    feedback_rate: Share
    """Share of people's corrections among refactoring examples (``feedback_dataset``); missing ones
    are replaced by ordinary refactorings. 0 trains on none."""
    activation_checkpointing: bool
    """Recompute activations in the backward pass instead of storing them: less memory, about a
    third more time, the same weights."""
    torch_compile: bool
    """Compile the base's repeated blocks with ``torch.compile``; losses are equal up to rounding.
    Meant for GPUs: on a CPU it needs a C++ compiler and a minute of compilation, and steps of the
    default base in fp32 are not faster (measured: 0.99 of the CPU time)."""
    rank: Rank
    """Rank of the LoRA matrices; file size is proportional to it."""
    alpha: PositiveInt
    """LoRA alpha; the update is scaled by alpha / rank. Usually twice the rank."""
    rslora: bool
    """Scale by alpha / sqrt(rank), which keeps high ranks stable (Kalajdzievski 2023)."""
    dropout: PartShare
    """Dropout probability of the adapter's inputs in training."""
    target_modules: Layers | Annotated[Row[Text], Field(min_length=1)]
    """``all-linear``, ``attention`` (the linear layers of attention), or the names of the layers to adapt."""
    per_task: bool
    """Train one adapter per task, in a folder of its name, instead of one for all."""
    parents: dict[ProjectName, Text]
    """Version (DVC hash) of an earlier adapter to start from, by project; base, rank and layers must be the same."""
    replay_share: PartShare
    """Share of general code among the training tokens, against forgetting."""
    canaries: NonNegativeInt
    """Number of made-up secrets planted once each in training, so that the evaluation can measure
    memorisation; 0 for none."""
    evaluation_strategy: Literal["steps", "epoch"]
    """When the validation loss is measured: every ``evaluation_steps`` or after each epoch, and always at the end."""
    evaluation_steps: PositiveInt
    """Optimiser steps between two validations."""
    save_strategy: Literal["steps", "epoch", "best"]
    """When a checkpoint is saved for resuming: every ``evaluation_steps``, after each epoch, or at
    each best validation."""
    patience: PositiveInt | None
    """Validations without improvement before training stops early; null for never."""
    divergence_factor: float | None = Field(gt=1, le=MOST)
    """Training stops when the median of the latest losses exceeds this multiple of the base's validation loss, or of
    the warm-up's median loss where that is higher; null checks only for non-finite losses."""
    divergence_steps: PositiveInt
    """Number of latest losses in that median."""
    keep_partial: bool
    """When training diverges, keep the best weights so far, marked as a partial adapter."""
    validation_tokens: NonNegativeInt
    """Tokens of the validation split to evaluate; 0 skips validation and keeps the last weights."""
    refit: bool
    """Train an adapter that passed its gate once more on the rows of all splits, by the judged recipe, and serve these
    weights; the model card says how far they are from the judged ones."""
    checks: TrainingChecks
    """Checks of the data before training."""
    search: SearchSettings
    """Hyperparameter search; of a warm start only learning rate and step size."""
    seed: Seed
    """Seed of sampling, order, initial weights and dropout."""
    threads: Threads
    """CPU threads per process; they affect the result, as sums are computed in another order."""
    processes: Threads
    """Data-parallel processes on this machine that share the batches of each optimiser step, one per GPU where there
    are GPUs; each loads the base. Weights are equal up to rounding for any number."""

    @field_validator("parents", mode="before")
    @classmethod
    def _no_parents(cls, value: object) -> object:
        return {} if value is None else value

    @model_validator(mode="after")
    def _enough_to_share(self) -> "AdapterSettings":
        if self.processes > self.gradient_accumulation:
            raise ValueError(
                f"adapters.processes is {self.processes}, but an optimiser step has "
                f"{self.gradient_accumulation} batches to share among them; set "
                f"adapters.gradient_accumulation to {self.processes} or more"
            )
        return self

    @model_validator(mode="after")
    def _something_to_search_by(self) -> "AdapterSettings":
        if self.search.trials and not self.validation_tokens:
            problem = "adapters.search compares validation losses, but adapters.validation_tokens is 0"
            raise ValueError(f"{problem}; raise it, or set adapters.search.trials to 0")
        return self
