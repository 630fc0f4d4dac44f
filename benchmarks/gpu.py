"""Training an adapter of a large base on a GPU, compared with Transformers' Trainer and PEFT.

    python -m benchmarks.gpu --out FOLDER [--shape tiny] [--only NAME …] [--seconds 330]

It needs torch, transformers and peft, and of this package the room of adapters alone: a GPU machine may have nothing
else. The base has the shape of Qwen2.5-Coder-7B and random weights, made on the GPU. All contenders train the same
rows of Python's standard library in the same order, with the same rank, rate and initial weights.

Each measurement runs in a process of its own, the most important first, and is a line of ``FOLDER/results.jsonl`` once
it ends; one that fails (memory, a missing package, its time) is a line with the reason. ``FOLDER/log.txt`` has what the
processes wrote.

MFU is the work that the model needs, without what checkpointing repeats, over the card's peak in dense bf16. A token
needs 4 operations for each frozen weight that it meets (2 forward, 2 for the gradient of the input), 6 for each weight
of the adapter, and in each layer 6 times its width for each position of its example before it.
"""

import argparse
import ast
import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import accumulate, pairwise, takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

CHECKOUT = Path(__file__).parents[1]
SEED, RANK, RATE = 20, 16, 2e-4
_WARM = 3
"""Steps before the clock counts, of which the last is counted if there are no more: kernels are compiled in them."""
_WHOLE = 0.9
"""Part of the largest step that a step needs to count: the last has what is left."""
_PEAKS = {"H100": 989.4e12, "H200": 989.4e12, "A100": 312e12}
"""Operations a second in dense bf16, by the cards' data sheets."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a Qwen2; ``short`` and ``long`` rows in tokens."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    short: int
    long: int
    words: int
    """Words of the tokenizer, which is trained on the spot."""


SHAPES = {
    "7b": Shape(3584, 18944, 28, 28, 4, 152064, 4096, 32768, 8192),
    "thin": Shape(3584, 18944, 2, 28, 4, 152064, 4096, 32768, 8192),
    "tiny": Shape(64, 128, 3, 4, 2, 512, 192, 384, 512),
}


@dataclass(frozen=True)
class Measurement:
    """``keep``: whether the peer keeps all activations; this program decides by the memory unless ``keep`` is False."""

    name: str
    trainer: str
    length: str = "short"
    keep: bool | None = None
    liger: bool = False
    attention: str = "sdpa"
    compiled: bool = True
    nf4: bool = False
    gib: int | None = None
    """Memory of the card that may be used, where less than all."""
    profiled: bool = False
    """Write the time of each kernel in the last step to the log."""
    rows: int = 4
    """Of an optimiser step."""
    steps: int = 7
    limit: int = 100
    """Seconds, the start of the process included."""


LONG: dict[str, Any] = {"length": "long", "rows": 1, "steps": 3}
MEASUREMENTS = (
    Measurement("ours-4k", "ours", limit=150),
    Measurement("trainer-liger-4k", "peer", keep=True, liger=True, limit=60),
    Measurement("ours-32k", "ours", limit=170, gib=78, **LONG),
    Measurement("trainer-liger-32k", "peer", keep=False, liger=True, limit=110, **LONG),
    Measurement("trainer-4k", "peer", keep=True, limit=60),
    Measurement("trainer-liger-checkpointed-4k", "peer", keep=False, liger=True, limit=60),
    Measurement("ours-checkpointed-4k", "ours", keep=False, limit=80),
    Measurement("trainer-checkpointed-4k", "peer", keep=False, limit=60),
    Measurement("trainer-32k", "peer", keep=False, limit=60, **LONG),
    Measurement("trainer-liger-flex-4k", "peer", keep=True, liger=True, attention="flex_attention", limit=100),
    Measurement("ours-nf4-4k", "ours", nf4=True, compiled=False, limit=110),
    Measurement("trainer-liger-nf4-4k", "peer", keep=False, liger=True, nf4=True, limit=100),
    Measurement("ours-eager-4k", "ours", compiled=False, limit=60),
    Measurement("ours-profiled-4k", "ours", profiled=True, steps=3, limit=150),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for results.jsonl and log.txt")
    parser.add_argument("--shape", choices=SHAPES, default="7b")
    parser.add_argument("--only", nargs="+", choices=[entry.name for entry in MEASUREMENTS], metavar="NAME")
    parser.add_argument("--seconds", type=float, default=330, help="after which no measurement goes on")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    measurements = [entry for entry in MEASUREMENTS if not options.only or entry.name in options.only]
    options.out.mkdir(parents=True, exist_ok=True)
    if options.one:
        _measure_one(next(entry for entry in MEASUREMENTS if entry.name == options.one), options.shape, options.out)
    else:
        _measure_all(measurements, options.shape, options.out, time.monotonic() + options.seconds)


def _measure_all(measurements: Sequence[Measurement], shape: str, out: Path, deadline: float) -> None:
    results: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-gpu-") as folder,
        (out / "results.jsonl").open("a") as lines,
        (out / "log.txt").open("a") as log,
    ):
        work = Path(folder)
        if deadline - time.monotonic() >= _fewest_seconds(shape):
            _write_rows(SHAPES[shape], measurements, work)
        for measurement in measurements:
            row = _in_a_process(measurement, shape, work, log, deadline)
            reference = next((other for other in results if _is_reference(other, row)), None)
            if reference and row.get("losses") and not row["nf4"]:
                pairs = zip(reference["losses"], row["losses"], strict=False)
                row["largest_loss_difference"] = max(abs(loss - peer_loss) for loss, peer_loss in pairs)
            results.append(row)
            lines.write(json.dumps(row) + "\n")
            lines.flush()
            print(_line(row), flush=True)


def _is_reference(other: dict[str, Any], row: dict[str, Any]) -> bool:
    is_comparable = all(other[name] == row[name] for name in ("length", "rows", "steps"))
    return bool(other["trainer"] == "ours" and is_comparable and other.get("losses"))


def _in_a_process(measurement: Measurement, shape: str, work: Path, log: Any, deadline: float) -> dict[str, Any]:
    row = {"shape": shape, **asdict(measurement)}
    remaining = deadline - time.monotonic()
    if remaining < _fewest_seconds(shape):
        return row | {"failed": f"not begun: {max(0.0, remaining):.0f} s were left"}
    print(f"\n== {measurement.name}", file=log, flush=True)
    command = [sys.executable, "-m", "benchmarks.gpu", "--one", measurement.name, "--shape", shape, "--out", str(work)]
    begun = time.monotonic()
    process = subprocess.Popen(  # nosec B603: this script
        command, cwd=CHECKOUT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    limit = min(measurement.limit, remaining)
    try:
        status = process.wait(limit)
        reason = f"ended with status {status}" if status else None
    except subprocess.TimeoutExpired:
        reason = f"stopped after {limit:.0f} s"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # compilers run beside it
        process.wait()
    record = work / f"{measurement.name}.json"
    result = json.loads(record.read_text()) if record.exists() else {}
    if reason and "failed" not in result:
        result["failed"] = reason
    return row | result | {"wall_seconds": round(time.monotonic() - begun, 1)}


def _fewest_seconds(shape: str) -> float:
    return 3 if shape == "tiny" else 20


def _line(row: dict[str, Any]) -> str:
    cells = [f"{row['name']:30}"]
    if "tokens_per_second" in row:
        share = "" if row["mfu"] is None else f"MFU {row['mfu']:.1%}, "
        cells.append(f"{row['tokens_per_second']:9,.0f} tokens/s, {share}{row['peak_gib']:.1f} GiB")
        cells.append(
            f"step 1 {row['first_step_seconds']:.1f} s, losses {row['losses'][0]:.4f} … {row['losses'][-1]:.4f}"
        )
    if "largest_loss_difference" in row:
        cells.append(f"differ by {row['largest_loss_difference']:.2g}")
    if "failed" in row:
        cells.append(f"failed: {row['failed']}")
    return "  ".join([*cells, f"({row.get('wall_seconds', 0)} s)"])


# Rows to train on


def _write_rows(shape: Shape, measurements: Sequence[Measurement], work: Path) -> None:
    """Tokens of the examples for the short and the long rows."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    library = Path(sysconfig.get_path("stdlib"))
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(library.glob("*.py"))]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts[::4], trainers.BpeTrainer(vocab_size=shape.words, initial_alphabet=alphabet, show_progress=False)
    )
    for length, documents in (("short", _definitions(texts)), ("long", iter(texts))):
        size = getattr(shape, length)
        tokens = size * max((entry.rows * entry.steps for entry in measurements if entry.length == length), default=0)
        examples: list[list[int]] = []
        while tokens > 0:
            ids = tokenizer.encode(next(documents)).ids[: min(size, tokens)]
            if len(ids) > 1:
                examples.append(ids)
                tokens -= len(ids)
        (work / f"{length}.json").write_text(json.dumps(examples))


def _definitions(texts: Sequence[str]) -> Iterator[str]:
    """Functions and classes of modules."""
    for text in texts:
        lines = text.splitlines(keepends=True)
        for node in ast.parse(text).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                yield "".join(lines[node.lineno - 1 : node.end_lineno])


# One measurement


@dataclass
class Clock:
    """Times of steps, written after each, so that a process which is stopped has measured something."""

    course: "Course"
    path: Path
    losses: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        self.ends.append(time.perf_counter())

    def record(self, loss: float) -> None:
        if self.course.device == "cuda":
            import torch

            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())
        self.losses.append(loss)
        self.write()

    def write(self, **more: Any) -> None:
        seconds = [end - start for start, end in pairwise(self.ends)]
        steps = [[row for batch in step for row in batch] for step in self.course.steps]
        sizes = [sum(len(row.ids) for row in step) for step in steps]
        full_steps = [number for number in range(len(seconds)) if sizes[number] > _WHOLE * max(sizes)]
        timed = [number for number in full_steps if number >= _WARM] or full_steps[-1:]
        result: dict[str, Any] = {"losses": self.losses, **self.notes, **more}
        if timed:
            spent = sum(seconds[number] for number in timed)
            rate = sum(self.course.operations(row) for number in timed for row in steps[number]) / spent
            result |= {
                "tokens_per_second": sum(sizes[number] for number in timed) / spent,
                "step_seconds": seconds,
                "first_step_seconds": seconds[0],
                "tflops": rate / 1e12,
                "mfu": rate / self.course.peak if self.course.peak else None,
                **self.course.memory(),
            }
        self.path.write_text(json.dumps(result))


def _measure_one(measurement: Measurement, shape: str, work: Path) -> None:
    course = Course(measurement, SHAPES[shape], work)
    clock = Clock(course, work / f"{measurement.name}.json")
    clock.notes["card"], clock.notes["versions"] = course.card, _versions()
    try:
        (_ours if measurement.trainer == "ours" else _peer)(course, clock)
    except Exception as error:  # noqa: BLE001 - the reason is the result
        traceback.print_exc()
        clock.write(failed=f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}")


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": sys.version.split()[0]}
    for name in ("torch", "transformers", "peft", "accelerate", "triton", "liger-kernel", "bitsandbytes"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


class Course:
    """Base, rows and settings that all contenders share."""

    def __init__(self, measurement: Measurement, shape: Shape, work: Path) -> None:
        import torch

        self.measurement, self.shape = measurement, shape
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.card = torch.cuda.get_device_name() if self.device == "cuda" else "processor"
        self.peak = next((peak for name, peak in _PEAKS.items() if name in self.card), None)
        self.occupied = self._occupied()
        self.settings: Any = self._settings()
        self.corpus: Any = self._corpus(work / f"{measurement.length}.json")
        from cortex_pipelines.adapters.training.run import build_rows, plan_steps

        self.steps = plan_steps(build_rows(self.corpus.train, self.settings, packed=True), self.settings)

    def _occupied(self) -> Any:
        """What takes the memory that the measurement may not use."""
        import torch

        size = 0
        if self.measurement.gib and self.device == "cuda":
            size = torch.cuda.mem_get_info()[0] - self.measurement.gib * 2**30
        return torch.empty(max(0, size), dtype=torch.uint8, device=self.device)

    def _settings(self) -> Any:
        """The project's own, without pydantic, which the machine may lack."""
        import torch
        import yaml

        profile = yaml.safe_load((CHECKOUT / "cortex_pipelines" / "profiles" / "standard.yaml").read_text())
        return SimpleNamespace(
            **profile["adapters"]
            | {
                "max_length": getattr(self.shape, self.measurement.length),
                "batch_size": 1,
                "gradient_accumulation": self.measurement.rows,
                "rank": RANK,
                "alpha": 2 * RANK,
                "learning_rate": RATE,
                "lr_scheduler": "constant",
                "warmup_steps": 0,
                "activation_checkpointing": True,
                "torch_compile": self.measurement.compiled and self.device == "cuda",
                "precision": "bf16" if self.device == "cuda" else "fp32",
                "seed": SEED,
                "threads": torch.get_num_threads(),
            }
        )

    def _corpus(self, path: Path) -> Any:
        from cortex_pipelines.adapters.data.packing import TokenisedExample

        tokens = self.settings.max_length * self.measurement.rows * self.measurement.steps
        texts = json.loads(path.read_text())
        token_counts = takewhile(lambda sofar: sofar < tokens, accumulate(map(len, texts), initial=0))
        examples = [
            TokenisedExample(f"{number:06d}", "completion", tuple(ids), 1, len(ids) - 1, 0, learn_prompt=True)
            for number, (ids, _) in enumerate(zip(texts, token_counts, strict=False))
        ]
        return SimpleNamespace(train=tuple(examples), validation=(), general=(), replayed=(), test=())

    def model(self) -> Any:
        """The base with a fresh adapter, the same for all."""
        import torch
        from transformers import AutoModelForCausalLM, Qwen2Config

        from cortex_pipelines.adapters.model.lora import with_new_adapter

        sizes = {name: value for name, value in asdict(self.shape).items() if name not in ("short", "long", "words")}
        config = Qwen2Config(
            **sizes,
            max_position_embeddings=self.shape.long,
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
            tie_word_embeddings=False,
            attn_implementation=self.measurement.attention,
        )
        torch.manual_seed(SEED)
        dtype = torch.bfloat16 if self.device == "cuda" else torch.float32
        with torch.device(self.device):
            base = AutoModelForCausalLM.from_config(config, dtype=dtype)
        if self.measurement.nf4:
            _quantise(base)
        torch.manual_seed(SEED)
        return with_new_adapter(base.eval(), self.settings)

    def operations(self, row: Any) -> float:
        """Floating-point operations that training on a row needs."""
        shape, examples = self.shape, _examples(row)
        width = shape.hidden_size
        narrow = width * shape.num_key_value_heads // shape.num_attention_heads
        layers = [(width, width), (width, narrow), (width, narrow), (width, width)]
        layers += [(width, shape.intermediate_size)] * 3
        frozen = sum(inputs * outputs for inputs, outputs in layers)
        adapter = RANK * sum(inputs + outputs for inputs, outputs in layers)
        weights = shape.num_hidden_layers * (4 * frozen + 6 * adapter) * len(row.ids)
        attention = shape.num_hidden_layers * 6 * width * sum(len(ids) ** 2 for ids in examples)
        return float(weights + attention + 4 * width * shape.vocab_size * row.supervised)

    def memory(self) -> dict[str, float]:
        import resource

        import torch

        if self.device == "cpu":
            return {"peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}
        others = self.occupied.nbytes
        return {
            "peak_gib": (torch.cuda.max_memory_reserved() - others) / 2**30,
            "peak_allocated_gib": (torch.cuda.max_memory_allocated() - others) / 2**30,
        }


def _examples(row: Any) -> list[list[int]]:
    from cortex_pipelines.adapters.kernels import borders

    return [list(row.ids[start:end]) for start, end in pairwise(borders(row.positions))]


def _quantise(model: Any) -> None:
    """Hold the blocks' linear layers in 4 bits, as loading with ``quantisation: nf4`` does."""
    import torch
    from bitsandbytes.nn import Linear4bit, Params4bit

    for name, layer in list(model.named_modules()):
        if type(layer) is torch.nn.Linear and layer is not model.get_output_embeddings():
            weight = layer.weight
            packed = Linear4bit(
                layer.in_features, layer.out_features, layer.bias is not None, weight.dtype, quant_type="nf4"
            )
            packed.weight = Params4bit(weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4")
            packed.bias = layer.bias
            packed.requires_grad_(False)
            model.set_submodule(name, packed.to(weight.device))
    model.is_loaded_in_4bit = True


def _product_rate() -> float:
    """Rate of a large matrix product in bf16: the ceiling that this card really has, in 10^12 operations a second."""
    import torch

    size, times = 8192, 20
    matrix = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        product = matrix @ matrix
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(times):
        torch.mm(matrix, matrix, out=product)
    torch.cuda.synchronize()
    return times * 2 * size**3 / (time.perf_counter() - begun) / 1e12


def _ours(course: Course, clock: Clock) -> None:
    import torch

    from cortex_pipelines.adapters import kernels
    from cortex_pipelines.adapters.model.determinism import pinned_torch
    from cortex_pipelines.adapters.training import loop, recomputation
    from cortex_pipelines.adapters.training.monitor import TrainingMonitor
    from cortex_pipelines.adapters.training.run import TrainingRun

    class Monitor(TrainingMonitor):
        def wait(self) -> None:
            if profiler and len(clock.ends) == course.measurement.steps:
                profiler.start()
            if not clock.ends:
                clock.notes["blocks_recomputed"] = sum(
                    not block.forward.keeps for block in kernels.repeated_blocks(model)
                )
                clock.notes["kernels"] = {
                    "fused_lora": sum(type(module).__name__.startswith("_Lean") for module in model.modules()),
                    "attention_by_example": kernels.uses_per_example_attention(model),
                    "chunked_output": kernels.uses_chunked_output(model),
                }
                clock.start()

        def record_step(self, step: Any) -> None:
            clock.record(step.loss)

    profiler = torch.profiler.profile() if course.measurement.profiled else None
    if course.measurement.keep is False:
        recomputation._USABLE = 0  # room for no activations: all are recomputed
    with pinned_torch(course.settings.threads, SEED):
        model = course.model()
        loop.train(model, TrainingRun(course.corpus, course.settings, monitor=Monitor()))
    if profiler:
        profiler.stop()
        kind = "device_time_total" if course.device == "cuda" else "cpu_time_total"
        print(profiler.key_averages().table(sort_by=f"self_{kind}", row_limit=40, max_name_column_width=90))
    if course.device == "cuda":
        clock.write(product_tflops=_product_rate())


def _peer(course: Course, clock: Clock) -> None:
    """Transformers' Trainer; its collator puts the examples of a row one after the other, without padding."""
    import torch
    from transformers import DataCollatorWithFlattening, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    settings = course.settings
    if course.measurement.liger and course.device == "cpu":
        raise RuntimeError("Liger's kernels need a GPU")

    class Timed(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            clock.start()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.record(float(sum(parts)))
            parts.clear()

    class InOrder(Trainer):  # type: ignore[misc]
        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(rows)

        def compute_loss(self, *inputs: Any, **options: Any) -> Any:
            loss = super().compute_loss(*inputs, **options)
            parts.append(loss.detach())
            return loss

    def flattened(batch: Sequence[list[list[int]]]) -> Any:
        return collator([{"input_ids": ids, "labels": ids} for examples in batch for ids in examples])

    parts: list[Any] = []
    collator = DataCollatorWithFlattening()
    rows = [_examples(row) for step in course.steps for batch in step for row in batch]
    loop = InOrder(
        model=course.model(),
        args=TrainingArguments(
            output_dir=str(clock.path.parent),
            num_train_epochs=1,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=settings.gradient_accumulation,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="constant",
            max_grad_norm=settings.max_grad_norm,
            activation_checkpointing=not course.measurement.keep,
            activation_checkpointing_kwargs={"use_reentrant": False},
            use_liger_kernel=course.measurement.liger,
            bf16=course.device == "cuda",
            seed=SEED,
            remove_unused_columns=False,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=course.device == "cpu",
            dataloader_pin_memory=course.device == "cuda",
        ),
        train_dataset=rows,
        data_collator=flattened,
        callbacks=[Timed()],
    )
    loop.remove_callback(PrinterCallback)
    loop.train()


if __name__ == "__main__":
    main()
