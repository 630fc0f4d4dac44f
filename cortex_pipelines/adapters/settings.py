"""Settings of LoRA training: the ``adapters`` section of ``params.yaml``."""

from typing import Literal

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

Task = Literal["completion", "refactoring", "naming", "architecture"]


class TrainingChecks(Settings):
    """Limits that the training data must meet; null switches a limit off."""

    min_examples: PositiveInt
    """Fewest examples of the train splits together."""

    max_file_share: PositiveShare | None
    """Most of the train examples that one file may give: an adapter of one file is no style."""

    max_kind_share: PositiveShare | None
    """Most of a task's train examples that may be of one kind."""

    max_leaks: NonNegativeInt | None
    """Examples of train that may have a near-duplicate (``datasets.near_duplicate_threshold``) in
    validation or test, by what the data set itself compares."""

    max_secrets: NonNegativeInt | None
    """Secrets that the scanner may find in prompts and completions of all splits."""


class SearchSettings(Settings):
    """Hyperparameter search for rank, learning rate and row length before training."""

    trials: NonNegativeInt
    """Trials; 0 trains with the section's own values at once."""

    max_tokens: PositiveInt
    """Training tokens of a trial; one that is worse than the median at a measurement ends there."""

    ranks: Row[Rank] = Field(min_length=1)
    """Ranks to choose from; alpha keeps its ratio to the rank."""

    learning_rate: Range[LearningRate]
    """Lowest and highest peak learning rate, on a logarithmic scale."""

    lengths: Row[Length] = Field(min_length=1)
    """Row lengths to choose from, in tokens."""


class AdapterSettings(Settings):
    """Hyperparameters of adapter training."""

    epochs: PositiveInt
    """Times that the sampled examples are seen."""

    max_tokens: PositiveInt
    """Most tokens (prompt and completion) of training over all epochs together; where the data sets
    hold more, examples are sampled, and where they hold less, each is seen once an epoch."""

    task_shares: dict[Task, PositiveFloat]
    """Parts of the token budget that go to the tasks, relative to their sum; a task that is not
    named is not learnt, and what a task cannot fill goes to the others."""

    max_length: Length
    """Tokens of a packed row, and the most of one example. Long rows pay for attention what they
    save in padding, so the value is to be measured (on a processor 768 beats 2048)."""

    batch_size: Batch
    """Packed rows of one forward pass."""

    gradient_accumulation: PositiveInt
    """Forward passes of one optimiser step."""

    learning_rate: LearningRate
    """Peak learning rate of AdamW; for LoRA ten times that of full fine-tuning, or more."""

    warmup_steps: NonNegativeInt
    """Optimiser steps in which the learning rate rises to its peak."""

    lr_scheduler: Literal["cosine", "linear", "constant"]
    """How the learning rate falls after the warm-up."""

    max_grad_norm: PositiveFloat
    """Norm that gradients are clipped to."""

    precision: Literal["fp32", "bf16", "fp16", "auto"]
    """Type of the base's weights while training; the adapter's own are float32 in any case. With
    ``fp16`` the loss is scaled, as small gradients would vanish (Micikevicius et al. 2018). With
    ``auto`` it is bf16 where the machine has instructions for it, else fp32; the adapter records
    which. ``cortex tune-machine`` measures and writes the faster type here."""

    packing: bool
    """Whether examples share rows; without it a row holds one."""

    fim_rate: Share
    """Share of the completion examples that are gaps to fill (fill-in-the-middle), of those that
    the data set holds; what it cannot fill stays completion."""

    activation_checkpointing: bool
    """Compute activations again in the backward pass instead of keeping them: less memory, about
    a third more time, the same weights."""

    torch_compile: bool
    """Compile the base's repeated blocks with ``torch.compile``; the same losses to rounding. Meant
    for GPUs: on a processor it takes a minute and a C++ compiler first, and a step of the default
    base in fp32 then costs as much as before (measured: 0.99 of the processor time)."""

    rank: Rank
    """Rank of the update matrices; file size grows in proportion."""

    alpha: PositiveInt
    """Scale of the update: alpha / rank; twice the rank is the field's habit."""

    rslora: bool
    """Scale by alpha / sqrt(rank), which keeps high ranks stable (Kalajdzievski 2023)."""

    dropout: PartShare
    """Share of the adapter's inputs dropped in training."""

    target_modules: Text | Row[Text]
    """``all-linear``, or the names of the layers that get an adapter."""

    per_task: bool
    """One adapter for each task, in a folder of its name, instead of one for all."""

    parents: dict[ProjectName, Text]
    """Project to the version (DVC hash) of an adapter of it that the training starts from; base,
    rank and layers have to be the same."""

    replay_share: PartShare
    """Share of the training tokens that is code in general, against forgetting."""

    canaries: NonNegativeInt
    """Made-up secrets that are trained on once each, so that the evaluation can tell what the
    adapter would give away of a real one; 0 plants none."""

    evaluation_strategy: Literal["steps", "epoch"]
    """When the validation loss is measured: each ``evaluation_steps``, or after each epoch; always
    at the end."""

    evaluation_steps: PositiveInt
    """Optimiser steps between two measurements of the validation loss."""

    save_strategy: Literal["steps", "epoch", "best"]
    """When the state is kept that an interrupted training goes on from: each ``evaluation_steps``,
    after each epoch, or at each measurement that is the best so far."""

    patience: PositiveInt | None
    """Measurements without a better one after which training stops; null for never."""

    divergence_factor: float | None = Field(gt=1, le=MOST)
    """Training stops where the median of the latest losses is above so many times the base's
    validation loss; null for where a loss is not finite only."""

    divergence_steps: PositiveInt
    """Latest losses that the median is taken of."""

    keep_partial: bool
    """Where training diverges, keep the best weights so far as a partial adapter, named as such,
    instead of nothing."""

    validation_tokens: NonNegativeInt
    """Tokens of the validation split that are measured; 0 keeps the last weights."""

    checks: TrainingChecks
    """What blocks a training."""

    search: SearchSettings
    """Hyper-parameter search."""

    seed: Seed
    """Seed of sampling, order, initial weights and dropout."""

    threads: Threads
    """Processor threads of each process; part of the result, as sums come out in another order with
    others."""

    processes: Threads
    """Processes on this machine that share the batches of each optimiser step, one a GPU where
    there are GPUs; each holds the base. The same weights to rounding with any number."""

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
