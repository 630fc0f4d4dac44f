"""What a LoRA run can be told: the ``adapters`` section of ``params.yaml``."""

from typing import Annotated, Literal

from pydantic import Field

from cortex_pipelines.settings import Settings

Task = Literal["completion", "refactoring", "naming", "architecture"]
Share = Annotated[float, Field(gt=0)]


class AdapterSettings(Settings):
    """How the adapters are trained, in the field's terms."""

    epochs: int = Field(ge=1)
    """Times that the sampled examples are seen."""

    max_tokens: int = Field(ge=1)
    """Budget: tokens (prompt and completion) of training over all epochs together; where the data
    sets hold more, examples are sampled."""

    task_shares: dict[Task, Share]
    """Parts of the token budget that go to the tasks, relative to their sum; a task that is not
    named is not learnt, and what a task cannot fill goes to the others."""

    max_length: int = Field(ge=16)
    """Tokens of a packed row, and the most of one example. Long rows pay for attention what they
    save in padding, so the value is to be measured (on a processor 768 beats 2048)."""

    batch_size: int = Field(ge=1)
    """Packed rows of one forward pass."""

    gradient_accumulation: int = Field(ge=1)
    """Forward passes of one optimiser step."""

    learning_rate: float = Field(gt=0)
    """Peak learning rate of AdamW; for LoRA ten times that of full fine-tuning, or more."""

    warmup_steps: int = Field(ge=0)
    """Optimiser steps in which the learning rate rises to its peak."""

    lr_scheduler: Literal["cosine", "linear", "constant"]
    """How the learning rate falls after the warm-up."""

    max_grad_norm: float = Field(gt=0)
    """Norm that gradients are clipped to."""

    precision: Literal["fp32", "bf16"]
    """Type of the base's weights while training; the adapter's own are float32 either way."""

    rank: int = Field(ge=1)
    """Rank of the update matrices; file size grows in proportion."""

    alpha: int = Field(ge=1)
    """Scale of the update: alpha / rank; twice the rank is the field's habit."""

    dropout: float = Field(ge=0, lt=1)
    """Share of the adapter's inputs dropped in training."""

    target_modules: str | tuple[str, ...]
    """``all-linear``, or the names of the layers that get an adapter."""

    evaluation_steps: int = Field(ge=1)
    """Optimiser steps between two measurements of the validation loss."""

    validation_tokens: int = Field(ge=0)
    """Tokens of the validation split that are measured; 0 keeps the last weights."""

    seed: int
    """Seed of sampling, order, initial weights and dropout."""

    threads: int = Field(ge=1)
    """Processor threads; part of the result, as sums come out in another order with others."""
