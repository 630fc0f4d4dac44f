"""Exports that transformers and peft load: the adapter's folder, or merged weights."""

import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.model.base_model import BaseModel, load_causal_model, load_tokenizer, weight_files
from cortex_pipelines.adapters.model.lora import CONFIGURATION, TRAINING, WEIGHTS, load_adapter
from cortex_pipelines.models.family import family_of
from cortex_pipelines.progress import quiet_transformers
from cortex_pipelines.release.exports.pruning import Pruning, prune
from cortex_pipelines.release.exports.source import (
    ExportChecks,
    ExportError,
    Source,
    logits,
    probe,
    relative_difference,
)
from cortex_pipelines.release.loading import ResidentBase, read_lora

_TOLERANCE = {"F32": 1e-4, "F16": 1e-2, "BF16": 5e-2}
"""Largest relative difference of logits, by weight type: rounding of sums and weights."""


def write_merged(source: Source, out: Path, pruning: Pruning | None = None) -> ExportChecks:
    """Merge an adapter into its base in float32; save in the base's type. ExportError if logits differ.

    ``pruning``: what is left out of the merged model.
    """
    import torch

    kind = _kind(source.base)
    tokenizer = load_tokenizer(source.base)
    ids = probe(tokenizer)
    model = load_adapter(load_causal_model(source.base, "fp32"), source.folder)
    with_adapter = logits(model, ids)
    with model.disable_adapter():
        alone = logits(model, ids)
    merged = model.merge_and_unload()
    pruned = prune(merged, pruning) if pruning else None
    expected = logits(merged, ids) if pruned else with_adapter
    types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    with quiet_transformers():
        merged.to(types[kind]).save_pretrained(out)
    tokenizer.save_pretrained(out)
    source.write_card(out)
    reloaded = load_causal_model(BaseModel(out, source.model, ""), "fp32")
    difference = relative_difference(expected, logits(reloaded, ids))
    effect = relative_difference(with_adapter, alone)
    if difference > _TOLERANCE[kind]:
        raise ExportError(
            f"logits of the merged model differ from base and adapter by {difference:.2g}; "
            f"{_TOLERANCE[kind]:g} is allowed for weights in {kind}"
        )
    words = (
        f"loaded again, its logits are within {difference:.2g} of base and adapter "
        f"(the adapter itself moves them by {effect:.2g}; both relative to the largest)"
    )
    metrics = {"logits_apart": difference, "adapter_effect": effect}
    if not pruned:
        return ExportChecks((words,), (), metrics)
    left_out = f"{pruned.parameters / 1e6:,.0f} million parameters are left, without layers {[*pruned.layers]}"
    loss = f"{pruned.bits_before:.3f} -> {pruned.bits_after:.3f} bits per byte of validation answers"
    measured = {"bits_before": pruned.bits_before, "bits_after": pruned.bits_after, "parameters": pruned.parameters}
    config = merged.config.to_dict()
    refusal = family_of(config).export_refusal(config)
    words = f"loaded again, its logits are within {difference:.2g} of those of the pruned model"
    return ExportChecks((words, left_out, loss), (refusal,) if refusal else (), metrics | measured)


def _kind(base: BaseModel) -> str:
    from safetensors import safe_open

    sizes: Counter[str] = Counter()
    for path in weight_files(base.folder):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                part: Any = file.get_slice(name)
                sizes[part.get_dtype()] += math.prod(part.get_shape())
    ((commonest, _),) = sizes.most_common(1)
    if commonest not in _TOLERANCE:
        raise ExportError(f"{base.name} has weights in {commonest}; merging supports F32, F16, BF16")
    return commonest


def write_peft(source: Source, out: Path) -> ExportChecks:
    """Copy an adapter and check that peft's logits equal this package's. Raises ExportError: the logits differ."""
    for name in (WEIGHTS, CONFIGURATION):
        shutil.copyfile(source.folder / name, out / name)
    training = source.folder / TRAINING
    if training.is_file():  # with one adapter per task the record is in the parent folder
        shutil.copyfile(training, out / TRAINING)
    source.write_card(out)
    resident = ResidentBase(source.base)
    ids = probe(resident.tokenizer)
    resident.apply(read_lora(source.folder))
    released_logits = logits(resident.model, ids)
    peft_logits = logits(load_adapter(load_causal_model(source.base, "fp32"), out), ids)
    difference = relative_difference(released_logits, peft_logits)
    if difference > 1e-5:  # equal up to the threads' order of summation
        raise ExportError(f"peft's logits differ from the released adapter's by {difference:.2g}")
    return ExportChecks(("loaded by peft, it answers as the released adapter does",), (), {"logits_apart": difference})
