"""Cost per token of LoRA training, compared with Hugging Face's Trainer and TRL's SFTTrainer.

All train the default base on the same functions of Python's standard library, in the same order of
size of a step (eight examples), with the same rank and learning rate, and are judged by the loss on
functions that none has seen. Tokens are counted without padding. TRL is measured where it is
installed; it need not be part of the environment. bfloat16 is measured where the processor computes
in it; without its instructions it takes many times as long as float32.
"""

import ast
import atexit
import importlib.util
import json
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.measured import Act, measure_function
from benchmarks.timing import BenchmarkError, Spent, Timing
from benchmarks.workspace import CHECKOUT, Workspace
from cortex_pipelines.adapters.data.corpus import Corpus
from cortex_pipelines.adapters.data.packing import TokenisedExample, pack, token_count, within_budget
from cortex_pipelines.adapters.model.base_model import (
    BaseModel,
    BaseModelError,
    load_causal_model,
    load_tokenizer,
    resolve_base,
)
from cortex_pipelines.adapters.model.determinism import pinned_torch
from cortex_pipelines.adapters.model.lora import with_new_adapter
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.training.loop import train
from cortex_pipelines.adapters.training.loss import validation_loss
from cortex_pipelines.adapters.training.run import TrainingRun
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import load_parameters, resolve
from cortex_pipelines.ingestion.pretrained_models import WeightsError
from cortex_pipelines.prompts.examples import Example, shuffled
from cortex_pipelines.versioning.parameters import SHARED
from cortex_pipelines.versioning.project import look_up, read_yaml

TOKENS, HELD_OUT, WINDOW, EXAMPLES_A_STEP, SEED = 4_000, 2_000, 512, 8, 20
LEARNING_RATE = 1e-3
_LEAST, _MOST = 40, 1600  # characters of a body
_PACKAGES = ("json", "http", "urllib", "email", "asyncio", "logging")
_TRAINER = "HF Trainer + PEFT, its defaults"


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """Ours, Trainer without padding and TRL in each precision, and Trainer at its defaults."""
    try:
        load_tokenizer(_Course(CHECKOUT).base)
    except (WeightsError, BaseModelError) as error:
        raise BenchmarkError(f"the default base is not installed: {error}") from error
    precisions = ["bf16", "fp32"] if _computes_in_bfloat16() else ["fp32"]
    contenders: list[tuple[str, tuple[str, ...], bool, str]] = [
        (f"ours, {precision}", ("ours", precision), False, "") for precision in precisions
    ]
    contenders.append((_TRAINER, ("trainer", "padded", "fp32"), True, "fp32, batches of 8, padded"))
    contenders += [
        (
            f"HF Trainer + PEFT, {precision}, flattened",
            ("trainer", "flattened", precision),
            True,
            "batches of 8 in one row, as DataCollatorWithFlattening makes them",
        )
        for precision in precisions
    ]
    if importlib.util.find_spec("trl"):
        for precision in precisions:
            label = f"TRL, {precision}, batch"
            accumulated = "accumulated, so nothing is padded"
            contenders += [
                (f"{label} 8", ("trl", "8", precision), True, "padded"),
                (f"{label} 1 x 8", ("trl", "1", precision), True, accumulated),
            ]
    runs: dict[str, list[Spent]] = {contender: [] for contender, *_ in contenders}
    tokens: dict[str, float] = {}
    for turn in range(repeats):  # in turn, so that other work on the machine meets all alike
        for label, (name, *arguments), _, _ in contenders:
            out = work.root / f"{'-'.join((name, *arguments))}-{turn}"
            spent, tokens[label] = measure_function(work, f"benchmarks.lora:{name}", CHECKOUT, out, *arguments)
            runs[label].append(spent)
    return [
        Timing(
            contender,
            tuple(runs[contender]),
            beside=None if contender == _TRAINER else _TRAINER,
            peer=peer,
            note=", ".join(filter(None, [note, _loss(work, name, extra_arguments)])),
            amount=tokens[contender],
            unit="tokens",
        )
        for contender, (name, *extra_arguments), peer, note in contenders
    ]


def ours(root: str, out: str, precision: str) -> Act:
    """This program's own loop."""
    course = _Course(Path(root))
    settings, corpus, model = course.settings(precision), course.corpus, course.model(precision)
    train_only = Corpus(corpus.train, ())

    def act() -> None:
        with pinned_torch(settings.threads, settings.seed):
            train(model, TrainingRun(train_only, settings))

    return _act(act, model, corpus, out)


def trainer(root: str, out: str, batches: str, precision: str) -> Act:
    """Hugging Face's Trainer with PEFT, batches of eight padded or in one row each."""
    from transformers import DataCollatorForSeq2Seq, DataCollatorWithFlattening, Trainer, TrainingArguments

    course = _Course(Path(root))
    model = course.model(precision)
    arguments = course.arguments(out) | {"bf16": precision == "bf16", "per_device_train_batch_size": EXAMPLES_A_STEP}
    padded = batches == "padded"
    loop = Trainer(
        model=model,
        args=TrainingArguments(**arguments),
        train_dataset=_rows(course.corpus.train),
        data_collator=(DataCollatorForSeq2Seq(course.tokenizer) if padded else DataCollatorWithFlattening()),
    )
    return _act(loop.train, model, course.corpus, out)


def trl(root: str, out: str, batch: str, precision: str) -> Act:
    """TRL's SFTTrainer on a base in a precision, in batches of so many examples."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    course = _Course(Path(root))
    model = course.model(precision)
    arguments = course.arguments(out) | {
        "bf16": precision == "bf16",
        "per_device_train_batch_size": int(batch),
        "gradient_accumulation_steps": EXAMPLES_A_STEP // int(batch),
        "max_length": WINDOW,
        "gradient_checkpointing": False,
        "dataset_kwargs": {"skip_prepare_dataset": True},
    }
    loop = SFTTrainer(
        model=model,
        args=SFTConfig(**arguments),
        train_dataset=Dataset.from_list(_rows(course.corpus.train)),
        processing_class=course.tokenizer,
    )
    return _act(loop.train, model, course.corpus, out)


def _act(act: Callable[[], Any], model: Any, corpus: Corpus, out: str) -> Act:
    """A function that trains and returns the number of training tokens."""

    def judge() -> None:
        loss = validation_loss(model, pack(corpus.validation, WINDOW))
        Path(f"{out}.json").write_text(json.dumps({"loss": loss}))

    def train_step() -> float:
        act()
        atexit.register(judge)  # when the clock has stopped
        return float(token_count(corpus.train))

    return train_step


def _computes_in_bfloat16() -> bool:
    import torch

    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _loss(work: Workspace, name: str, arguments: Sequence[str]) -> str:
    record = json.loads((work.root / f"{'-'.join((name, *arguments))}-0.json").read_text())
    return f"held-out loss {record['loss']:.3f}"


class _Course:
    """Training data and settings shared by all contenders, with the project's base model."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def base(self) -> BaseModel:
        """The pinned base, converted in the project's own cache."""
        pin = open_project(self.root).graph.pins["base_model"]
        source = look_up(resolve(self.root).files[SHARED], str(pin.params_key))
        pin_entry = pin.load(source, look_up(read_yaml(self.root / pin.lock), pin.lock_key))
        return resolve_base(pin_entry, self.root)

    @cached_property
    def tokenizer(self) -> Any:
        tokenizer = load_tokenizer(self.base)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        return tokenizer

    @cached_property
    def corpus(self) -> Corpus:
        """Functions to train on and others to judge by, each within its budget."""
        functions = shuffled(_functions(), SEED)
        train = within_budget(self.tokenizer, functions, WINDOW, TOKENS)
        held_out = functions[len(train) + 1 :]
        return Corpus(tuple(train), tuple(within_budget(self.tokenizer, held_out, WINDOW, HELD_OUT)))

    def settings(self, precision: str) -> AdapterSettings:
        """The project's own, with as many packed rows a step as hold eight examples."""
        train = self.corpus.train
        rows = EXAMPLES_A_STEP * len(pack(train, WINDOW)) / len(train)
        changes = {
            "precision": precision,
            "max_length": WINDOW,
            "learning_rate": LEARNING_RATE,
            "batch_size": 1,
            "gradient_accumulation": max(1, round(rows)),
            "epochs": 1,
            "seed": SEED,
        }
        return load_parameters(self.root).adapters.model_copy(update=changes)

    def model(self, precision: Any) -> Any:
        """The base with a fresh adapter, the same for all."""
        settings = self.settings(precision)
        with pinned_torch(settings.threads, SEED):
            return with_new_adapter(load_causal_model(self.base, precision), settings)

    def arguments(self, out: str) -> dict[str, Any]:
        """Training arguments shared by the peers."""
        return {
            "output_dir": out,
            "num_train_epochs": 1,
            "learning_rate": LEARNING_RATE,
            "lr_scheduler_type": "cosine",
            "warmup_steps": self.settings("fp32").warmup_steps,
            "seed": SEED,
            "use_cpu": True,
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "dataloader_pin_memory": False,
        }


def _rows(examples: Sequence[TokenisedExample]) -> list[dict[str, list[int]]]:
    """Tokens and labels in the peers' format, without loss on the prompt."""
    return [
        {
            "input_ids": list(example.ids),
            "attention_mask": [1] * len(example.ids),
            "labels": [-100] * example.prompt_tokens + list(example.ids[example.prompt_tokens :]),
        }
        for example in examples
    ]


def _functions() -> Iterator[Example]:
    """Functions of the standard library: the header is the prompt, the body the completion."""
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(path for name in _PACKAGES for path in (library / name).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines(keepends=True)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.body[0].lineno > node.lineno:
                head = "".join(lines[node.lineno - 1 : node.body[0].lineno - 1])
                body = "".join(lines[node.body[0].lineno - 1 : node.end_lineno])
                name = f"{path.relative_to(library)}:{node.lineno}"
                location = (str(path.relative_to(library)), "python", "function")
                if _LEAST <= len(body) <= _MOST:
                    yield Example(name, "completion", *location, head, body, name)
