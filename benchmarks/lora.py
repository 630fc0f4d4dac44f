"""What a token of LoRA training costs, beside Hugging Face's Trainer and TRL's SFTTrainer.

All train the default base on the same functions of Python's standard library, in the same order of
size of a step (eight examples), with the same rank and learning rate, and are judged by the loss on
functions that none has seen. Tokens are counted without padding. TRL is measured where it is
installed; it need not be part of the environment.
"""

import ast
import atexit
import importlib.util
import json
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.measured import Act, measured
from benchmarks.timing import BenchmarkError, Spent, Timing
from benchmarks.workspace import CHECKOUT, Workspace
from cortex_pipelines.adapters.base_model import (
    BaseModel,
    BaseModelError,
    load_causal_model,
    load_tokenizer,
    resolve_base,
)
from cortex_pipelines.adapters.corpus import Corpus, token_count
from cortex_pipelines.adapters.determinism import pinned_torch
from cortex_pipelines.adapters.examples import Example, shuffled
from cortex_pipelines.adapters.lean_layers import lean_layers
from cortex_pipelines.adapters.lora import with_new_adapter
from cortex_pipelines.adapters.packing import TokenisedExample, pack, within_budget
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.training import train, validation_loss
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import load_parameters
from cortex_pipelines.ingestion.weights import WeightsError
from cortex_pipelines.versioning.project import look_up, read_yaml

TOKENS, HELD_OUT, WINDOW, EXAMPLES_A_STEP, SEED = 20_000, 3_000, 512, 8, 20
_LEAST, _MOST = 40, 1600  # characters of a body
_PACKAGES = ("json", "http", "urllib", "email", "asyncio", "logging")
_TRAINER = "HF Trainer + PEFT, its defaults"


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """Ours in both precisions, Trainer at its defaults, and TRL in two settings."""
    try:
        _base()
    except (WeightsError, BaseModelError) as error:
        raise BenchmarkError(f"the default base is not installed: {error}") from error
    contenders = [
        ("ours, bf16", ("ours", "bf16"), False, ""),
        ("ours, fp32", ("ours", "fp32"), False, ""),
        (_TRAINER, ("trainer",), True, "fp32, batches of 8, padded"),
    ]
    if importlib.util.find_spec("trl"):
        contenders += [
            ("TRL, bf16, batch 8", ("trl", "8"), True, "padded"),
            ("TRL, bf16, batch 1 x 8", ("trl", "1"), True, "accumulated, so nothing is padded"),
        ]
    runs: dict[str, list[Spent]] = {what: [] for what, *_ in contenders}
    tokens: dict[str, float] = {}
    for turn in range(repeats):  # in turn, so that other work on the machine meets all alike
        for what, (name, *given), _, _ in contenders:
            out = work.root / f"{'-'.join((name, *given))}-{turn}"
            spent, tokens[what] = measured(work, f"benchmarks.lora:{name}", out, *given)
            runs[what].append(spent)
    return [
        Timing(
            what,
            tuple(runs[what]),
            beside=None if what == _TRAINER else _TRAINER,
            peer=peer,
            note=", ".join(filter(None, [note, _loss(work, name, given)])),
            amount=tokens[what],
            unit="tokens",
        )
        for what, (name, *given), peer, note in contenders
    ]


def ours(out: str, precision: str) -> Act:
    """This program's own loop."""
    chosen, corpus = _settings(precision), _corpus()
    model = _model(precision)
    seen = Corpus(corpus.train, ())

    def act() -> float:
        with pinned_torch(chosen.threads, chosen.seed), lean_layers(model):
            train(model, seen, chosen)
        return _trained_on(model, corpus, out)

    return act


def trainer(out: str) -> Act:
    """Hugging Face's Trainer with PEFT: float32, batches of eight, padded."""
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    model, corpus, tokenizer = _model("fp32"), _corpus(), _tokenizer()
    loop = Trainer(
        model=model,
        args=TrainingArguments(**_arguments(out), per_device_train_batch_size=EXAMPLES_A_STEP),
        train_dataset=_rows(corpus.train),
        data_collator=DataCollatorForSeq2Seq(tokenizer),
    )
    return _act(loop.train, model, corpus, out)


def trl(out: str, batch: str) -> Act:
    """TRL's SFTTrainer on a base in bfloat16, in batches of so many examples."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model, corpus = _model("bf16"), _corpus()
    loop = SFTTrainer(
        model=model,
        args=SFTConfig(
            **_arguments(out),
            per_device_train_batch_size=int(batch),
            gradient_accumulation_steps=EXAMPLES_A_STEP // int(batch),
            max_length=WINDOW,
            gradient_checkpointing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=Dataset.from_list(_rows(corpus.train)),
        processing_class=_tokenizer(),
    )
    return _act(loop.train, model, corpus, out)


def _act(act: Callable[[], Any], model: Any, corpus: Corpus, out: str) -> Act:
    def whole() -> float:
        act()
        return _trained_on(model, corpus, out)

    return whole


def _trained_on(model: Any, corpus: Corpus, out: str) -> float:
    """Tokens that were trained on; the loss on others is noted when the clock has stopped."""

    def judge() -> None:
        loss = validation_loss(model, pack(corpus.validation, WINDOW))
        Path(f"{out}.json").write_text(json.dumps({"loss": loss}))

    atexit.register(judge)
    return float(token_count(corpus.train))


def _loss(work: Workspace, name: str, given: Sequence[str]) -> str:
    found = json.loads((work.root / f"{'-'.join((name, *given))}-0.json").read_text())
    return f"held-out loss {found['loss']:.3f}"


def _arguments(out: str) -> dict[str, Any]:
    return {
        "output_dir": out,
        "num_train_epochs": 1,
        "learning_rate": _settings("fp32").learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 3,
        "seed": SEED,
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }


def _settings(precision: str) -> AdapterSettings:
    """The project's own, with rows of a token budget so that a step holds eight examples."""
    train = _corpus().train
    rows = len(pack(train, WINDOW))
    changes = {
        "precision": precision,
        "max_length": WINDOW,
        "learning_rate": 2e-4,
        "batch_size": 1,
        "gradient_accumulation": max(1, round(EXAMPLES_A_STEP * rows / len(train))),
        "max_tokens": TOKENS,
        "epochs": 1,
        "seed": SEED,
    }
    return load_parameters(CHECKOUT).adapters.model_copy(update=changes)


def _model(precision: Any) -> Any:
    """The base with a fresh adapter, the same for all."""
    chosen = _settings(precision)
    with pinned_torch(chosen.threads, SEED):
        return with_new_adapter(load_causal_model(_base(), precision), chosen)


def _base() -> BaseModel:
    """The project's base model, converted under the checkout's own cache."""
    pin = open_project(CHECKOUT).graph.pins["base_model"]
    values = read_yaml(CHECKOUT / "params.yaml"), read_yaml(CHECKOUT / pin.lock)
    found = pin.load(look_up(values[0], str(pin.params_key)), look_up(values[1], pin.lock_key))
    return resolve_base(found, CHECKOUT)


def _tokenizer() -> Any:
    tokenizer = load_tokenizer(_base())
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return tokenizer


def _rows(examples: Sequence[TokenisedExample]) -> list[dict[str, list[int]]]:
    """Tokens, and labels that leave the prompt out, as the peers take them."""
    return [
        {
            "input_ids": list(one.ids),
            "attention_mask": [1] * len(one.ids),
            "labels": [-100] * one.prompt_tokens + list(one.ids[one.prompt_tokens :]),
        }
        for one in examples
    ]


@cache
def _corpus() -> Corpus:
    """Functions to train on and others to judge by, each within its budget."""
    tokenizer, functions = _tokenizer(), shuffled(_functions(), SEED)
    train = within_budget(tokenizer, functions, WINDOW, TOKENS)
    others = functions[len(train) + 1 :]
    return Corpus(tuple(train), tuple(within_budget(tokenizer, others, WINDOW, HELD_OUT)))


def _functions() -> Iterator[Example]:
    """Functions of the standard library: the head is the prompt, the body is to be written."""
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(path for name in _PACKAGES for path in (library / name).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines(keepends=True)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.body[0].lineno > node.lineno:
                head = "".join(lines[node.lineno - 1 : node.body[0].lineno - 1])
                body = "".join(lines[node.body[0].lineno - 1 : node.end_lineno])
                name = f"{path.relative_to(library)}:{node.lineno}"
                where = (str(path.relative_to(library)), "python", "function")
                if _LEAST <= len(body) <= _MOST:
                    yield Example(name, "completion", *where, head, body, name)
