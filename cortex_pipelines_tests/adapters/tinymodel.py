"""A random Llama of two layers with a byte tokenizer, and data sets that it can learn from."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.assets import code_adapter
from cortex_pipelines.adapters.model.lora import TRAINING
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.config import load_parameters
from cortex_pipelines.datasets.settings import GeneralSettings
from cortex_pipelines.ingestion.pretrained_models import ModelSource, PinnedModel, resolve_model_pin
from cortex_pipelines.prompts.examples import DATASETS, Example
from cortex_pipelines.schemas import datasets as tables
from cortex_pipelines.schemas.vocabulary import SPLITS
from cortex_pipelines.versioning.asset import LoadVersion
from cortex_pipelines.versioning.project import read_yaml
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

SETTINGS: dict[str, Any] = dict(read_yaml(Path(__file__).with_name("settings.yaml")))


EXTRA: dict[str, dict[str, str]] = CASES["EXTRA"]
"""Columns that only one data set has."""


Datasets = dict[str, Path]
Train = Callable[..., dict[str, Any]]


def settings(**changes: Any) -> AdapterSettings:
    # some tests diverge on purpose, at a rate that params.yaml may not name
    rate = changes.pop("learning_rate", SETTINGS["learning_rate"])
    settings = AdapterSettings.model_validate({**SETTINGS, **changes})
    return settings.model_copy(update={"learning_rate": rate})


def train_adapter(
    root: Path,
    datasets: dict[str, Path],
    out: Path,
    *,
    base: PinnedModel | None = None,
    general: Path | None = None,
    load_version: LoadVersion = lambda _model, _project, version: Path(version),
    observe: Callable[[str, float], None] = lambda _name, _value: None,
    **changes: Any,
) -> None:
    """The asset itself, on the tiny base, with the repository's own other sections."""
    sections = load_parameters(Path(__file__).parents[2])
    code_adapter(
        **{f"{task}_dataset": folder for task, folder in datasets.items()},
        **{name: getattr(sections, name) for name in ("datasets", "ingestion", "privacy")},
        **{"general_code": general or root / "none", "base_model": base or pinned(root)},
        adapters=settings(**changes),
        general=GeneralSettings(project="other" if general else None),
        **{"project": "mine", "load_version": load_version, "out": out, "root": root, "observe": observe},
    )


def train_record(root: Path, datasets: dict[str, Path], out: Path, **changes: Any) -> dict[str, Any]:
    """Train into a new folder; its ``training.json``, with its ``metrics`` and what was ``observed``."""
    out.mkdir()
    observed: dict[str, float] = {}
    train_adapter(root, datasets, out, observe=observed.__setitem__, **changes)
    record, metrics = (json.loads((out / name).read_text()) for name in (TRAINING, "metrics.json"))
    return record | {"metrics": metrics, "observed": observed}


def write_tiny_base(folder: Path) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir(parents=True)
    tokenizer = byte_tokenizer()
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
        config = LlamaConfig(vocab_size=len(tokenizer), **ends, **CASES["SIZES"])
        # ten times the usual spread: tokens must influence one another enough to tell rows apart
        config.initializer_range = 0.2
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@cache
def byte_tokenizer() -> Any:
    """One token per byte, so that a test can count; a begin and an end token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<bos>", "<eos>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>")


def pinned(root: Path, directory: str = "base") -> PinnedModel:
    source = ModelSource(directory=directory)
    return PinnedModel(source, resolve_model_pin(source, root))


def example(number: int, task: str = "completion", prompt: str = "", completion: str = "") -> Example:
    usual = {"language": "python", "kind": "function", "cluster": f"cluster-{number // 2}"}
    location = {"example_id": f"{task}-{number:04d}", "path": f"module_{number // 2 % 5}.py"}
    return Example(**location, **usual, task=task, prompt=prompt, completion=completion)


def numbered_example(task: str, number: int) -> Example:
    """An example of a task; of every seven, two that belong together have the same names."""
    numbers = {"number": number, "third": number % 3, "seventh": number % 7}
    titles = {"request": tables.CORRECTION_REQUEST, "title": tables.CORRECTION_TITLE}
    prompt, completion = (text.format(**numbers, **titles) for text in CASES["TEXTS"][task])
    numbered = example(number, task, prompt, completion)
    return replace(numbered, kind="correction") if task == "feedback" else numbered


completion_example, naming_example = partial(numbered_example, "completion"), partial(numbered_example, "naming")


def write_datasets(folder: Path, rows: int = 60, feedback: int = 0) -> dict[str, Path]:
    """Data set to its folder: ``rows`` of train, a third of the others; of feedback likewise."""
    for name in DATASETS:
        _write(folder / name, name, feedback if name == "feedback" else rows)
    return {name: folder / name for name in DATASETS}


def _write(folder: Path, task: str, rows: int) -> None:
    folder.mkdir(parents=True)
    start = 0
    for table in (table for table in getattr(tables, f"{task.upper()}_DATASET") if table.name in SPLITS):
        count = rows if table.name == "train" else rows // 3
        examples = [numbered_example(task, number) for number in range(start, start + count)]
        table.frame([row(example) for example in examples]).write_parquet(folder / f"{table.name}.parquet")
        start += count
    tables.MANIFEST.empty().write_parquet(folder / "manifest.parquet")


def row(example: Example) -> dict[str, Any]:
    settings: dict[str, Any] = {name: getattr(example, name) for name in example.__dataclass_fields__ if name != "task"}
    settings |= {"unit_id": example.example_id, "source": "s", "origin": "original", "split_reason": "t"}
    settings["weight"] = 1.0
    return settings | EXTRA[example.task]
