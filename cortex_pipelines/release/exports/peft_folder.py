"""Export a folder that peft loads: the adapter with its card."""

import shutil
from pathlib import Path

from cortex_pipelines.adapters.model.base_model import load_causal_model
from cortex_pipelines.adapters.model.lora import CONFIGURATION, TRAINING, WEIGHTS, load_adapter
from cortex_pipelines.release.exports.probe import logits, probe, relative_difference
from cortex_pipelines.release.exports.source import CARD, ExportChecks, ExportError, Source
from cortex_pipelines.release.loading import ResidentBase, read_lora


def write_peft(source: Source, out: Path) -> ExportChecks:
    """Copy an adapter and check that peft's logits equal this package's. Raises ExportError: the logits differ."""
    for name in (WEIGHTS, CONFIGURATION):
        shutil.copyfile(source.folder / name, out / name)
    training = source.folder / TRAINING
    if training.is_file():  # with one adapter per task the record is in the parent folder
        shutil.copyfile(training, out / TRAINING)
    if source.card:
        (out / CARD).write_text(source.card, encoding="utf-8")
    resident = ResidentBase(source.base)
    ids = probe(resident.tokenizer)
    resident.apply(read_lora(source.folder))
    released_logits = logits(resident.model, ids)
    peft_logits = logits(load_adapter(load_causal_model(source.base, "fp32"), out), ids)
    difference = relative_difference(released_logits, peft_logits)
    if difference > 1e-5:  # equal up to the threads' order of summation
        raise ExportError(f"peft's logits differ from the released adapter's by {difference:.2g}")
    return ExportChecks(("loaded by peft, it answers as the released adapter does",), (), {"logits_apart": difference})
