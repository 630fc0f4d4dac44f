"""How long a model lets people wait, by engine, and whether that meets the SLA (``gates.latency``).

And what this machine can do with a base: reading and writing speed by engine, precision and threads.
"""

import argparse
import pickle  # nosec B403: between this process and a worker that it started
import textwrap
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import psutil

from cortex_pipelines.adapters.model.base_model import BaseModel, BaseModelError, resolve_base
from cortex_pipelines.adapters.model.lora import CONFIGURATION, adapter_for
from cortex_pipelines.config import load_parameters
from cortex_pipelines.ingestion.pretrained_models import WeightsError
from cortex_pipelines.models.machine import Machine
from cortex_pipelines.parallel.backends import WorkerDiedError, result_of
from cortex_pipelines.parallel.processes import Processes
from cortex_pipelines.release.ledger import ReleasedModel
from cortex_pipelines.release.open_model import open_verified, pinned_base
from cortex_pipelines.serving.engines.engine import (
    CACHE,
    UPSTREAM_ENGINES,
    AdapterFiles,
    Engine,
    EngineError,
    Event,
    Job,
    LoadedAdapter,
    Prompt,
    Sampling,
    open_engine,
)
from cortex_pipelines.serving.engines.torch_engine import answering_gpu, torch_precision
from cortex_pipelines.serving.project_catalogue import ADAPTER
from cortex_pipelines.serving.settings import EngineName, LatencySettings, ServingSettings
from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines.tokenization.text_encoder import token_ids
from cortex_pipelines.tracking.latencies import Latency, record
from cortex_pipelines.tracking.runs import processor_type
from cortex_pipelines.versioning.project import Project, ProjectError

_PROMPT, _TOKENS = 512, 40
"""Tokens of the prompt and of the answer."""
_FEWEST, _ANSWERS = 3, 20
"""Answers that are timed, by the time there is; of 20, one may take longer than the 95th percentile."""


@dataclass(frozen=True)
class _Trial:
    """``folder``: of the adapter's files; ``seconds``: after which no further answer is timed."""

    base: BaseModel
    folder: Path
    version: str
    settings: ServingSettings
    cache: Path
    seconds: float


def measure_model(
    project: Project, model: ReleasedModel, version: str, engines: Iterable[EngineName], seconds: float = 60.0
) -> Iterator[Latency | str]:
    """Measure an adapter by each engine, in a process of its own; a sentence for an engine that cannot serve it.

    ``auto`` stands for ``serving.engine``. Figures are recorded in MLflow. No measurement of an engine begins another
    answer after ``seconds``, but three are timed.
    """
    root = project.root
    try:
        base = resolve_base(pinned_base(project), root)
        verified = open_verified(project, model, version)
        if (verified.base or {}).get("digest") != base.digest:
            trained = (verified.base or {}).get("name", "no base")
            raise UntrustedModelError(f"{model.name} ({version}) was trained on {trained}, not on this {base.name}")
        folder = adapter_for(verified.folder, "completion") or next(verified.folder.glob(f"*/{CONFIGURATION}")).parent
    except (BaseModelError, WeightsError, ProjectError, UntrustedModelError) as error:
        yield f"{model.name} cannot be measured: {error}"
        return
    serving = load_parameters(root).serving
    for name in dict.fromkeys(serving.engine if engine == "auto" else engine for engine in engines):
        settings = serving.model_copy(update={"engine": name})
        measured = _in_own_process(_Trial(base, folder, version, settings, root / CACHE, seconds))
        if isinstance(measured, Latency):
            record(project, model.name, version, measured)
        yield measured


def _in_own_process(trial: _Trial) -> Latency | str:
    """Its memory is then that of the engine alone, and neither its threads nor its end concern this process."""
    threads = str(trial.settings.threads)
    pool = Processes(1, dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads))
    try:
        measured: Latency | str = result_of(pool.submit(pickle.dumps(_try), pickle.dumps(trial)).result())
    except WorkerDiedError as error:
        return f"{trial.settings.engine}: its process ended ({error}), as when memory runs out"
    finally:
        pool.close()
    return measured


def _try(trial: _Trial) -> Latency | str:
    if trial.settings.engine in UPSTREAM_ENGINES:
        return f"{trial.settings.engine}: the speed of another server is not measured here"
    try:
        with closing(open_engine(trial.base, trial.settings, trial.cache)) as engine:
            adapter = engine.load(AdapterFiles(trial.version, lambda: trial.folder))
            return measure(engine, adapter, trial.settings, trial.seconds)
    except (EngineError, UntrustedModelError) as error:
        return f"{trial.settings.engine}: {error}"


def measure(engine: Engine, adapter: LoadedAdapter | None, settings: ServingSettings, seconds: float) -> Latency:
    """Time answers to a prompt of code that was read before; EngineError if they end too early to be timed."""
    text = Path(textwrap.__file__).read_text(encoding="utf-8")
    prompt = Prompt(engine.prompt(text).ids[: min(_PROMPT, engine.window - _TOKENS)], "", 0)
    began, times = time.perf_counter(), list[tuple[float, float]]()
    *_, tokens = answer_times(engine, prompt, _TOKENS, adapter)
    if tokens < _TOKENS:
        raise EngineError(f"answers end after {tokens} of {_TOKENS} tokens: nothing can be timed")
    while len(times) < _FEWEST or (len(times) < _ANSWERS and time.perf_counter() - began < seconds):
        first, total, _ = answer_times(engine, prompt, _TOKENS, adapter)
        times.append((first, total))
    (first_p50, total_p50), (first_p95, total_p95) = np.percentile(times, (50, 95), axis=0).tolist()
    return Latency(
        engine=engine.name,
        precision=torch_precision(settings) if engine.name == "torch" else settings.precision,
        threads=settings.threads,
        answers=len(times),
        first_token_ms_p50=1e3 * first_p50,
        first_token_ms_p95=1e3 * first_p95,
        tokens_40_ms_p50=1e3 * total_p50,
        tokens_40_ms_p95=1e3 * total_p95,
        tokens_per_second=_TOKENS / total_p50,
        memory_mb=_memory() / 1e6,
        processor=answering_gpu(engine.name) or processor_type(),
    )


def _memory() -> float:
    """Bytes of this process and its children; of pages that several share, each has its part."""
    process, total = psutil.Process(), 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):
            total += each.memory_full_info().pss
    return total


def too_slow(project: Project, model: ReleasedModel, version: str) -> str | None:
    """Why a version breaks the SLA, measured now, by the first engine that does; None if it meets it, or has none."""
    sla = load_parameters(project.root).gates.latency
    if model.asset != ADAPTER or (sla.first_token_ms is None and sla.tokens_40_ms is None):
        return None
    measured = measure_model(project, model, version, sla.engines)
    return next((sentence for each in measured if (sentence := broken_sla(each, sla))), None)


def broken_sla(measured: Latency | str, sla: LatencySettings) -> str | None:
    """How an engine breaks the SLA; one that cannot serve the model breaks it, too."""
    if isinstance(measured, str):
        return f"gates.latency cannot be met: {measured}; or take that engine out of gates.latency.engines"
    limits = (
        ("its first token", "first_token_ms", measured.first_token_ms_p95, sla.first_token_ms),
        ("40 tokens", "tokens_40_ms", measured.tokens_40_ms_p95, sla.tokens_40_ms),
    )
    broken = [
        f"{quantity} took up to {value:.0f} ms in 95 of 100 answers, where gates.latency.{name} allows {limit:g}"
        for quantity, name, value, limit in limits
        if limit is not None and value > limit
    ]
    if not broken:
        return None
    return (
        f"too slow by {measured.way}: {'; '.join(broken)}. `cortex serve --check` names the quickest settings of this "
        "machine, `cortex models recommend` smaller bases; or allow more"
    )


_READ, _WRITTEN, _TIMES = 256, 32, 3
"""Tokens read and written where settings are compared, and how often."""


@dataclass(frozen=True)
class Measured:
    """Tokens a second of an engine with these settings: reading a prompt, writing one answer, and ``slots`` at once."""

    settings: ServingSettings
    read: float
    write: float
    together: float

    def prompt_within(self, seconds: float) -> int:
        """Tokens of a new prompt that can be read if an answer of 32 tokens has to be written in this time, too."""
        return max(int((seconds - _WRITTEN / self.write) * self.read), 0)


def measure_settings(
    base: BaseModel, settings: ServingSettings, machine: Machine, cache: Path
) -> Iterator[Measured | str]:
    """Measure each engine, precision and number of threads; a sentence for what cannot serve the base."""
    threads = sorted({1, max(machine.cores // 2, 1), machine.cores})
    ways = [("openvino", "q8", count) for count in threads] + [("llama", "q8", count) for count in threads]
    ways += [("llama", width, machine.cores) for width in ("q4", "fp16")]
    ways += [("torch", precision, machine.cores) for precision in ("fp32", *["bf16"] * machine.bf16)]
    for engine, precision, count in ways:
        changes = {"engine": engine, "precision": precision, "threads": count}
        yield _measured_or_why_not(base, settings.model_copy(update=changes), cache)


def _measured_or_why_not(base: BaseModel, settings: ServingSettings, cache: Path) -> Measured | str:
    try:
        with closing(open_engine(base, settings, cache)) as opened:
            return _measure(opened, settings)
    except EngineError as error:
        return f"{settings.engine} {settings.precision}: {error}"


def _measure(engine: Engine, settings: ServingSettings) -> Measured:
    """The best of some times, which other work on the machine disturbed least; on code, as some of it is guessed."""
    (ids,) = token_ids(engine.tokenizer, [Path(argparse.__file__).read_text(encoding="utf-8")])
    length = min(_READ, engine.window // 2)
    unread = (Prompt(tuple(ids[start : start + length]), "", 0) for start in range(0, len(ids), length))
    answer_times(engine, next(unread), 2)  # what only the first answer has to make
    read = max(length / answer_times(engine, next(unread), 1)[0] for _ in range(_TIMES))
    slots = 1 if settings.engine == "torch" else settings.slots
    prompts = list(islice(unread, max(slots, _TIMES)))
    for each in prompts:
        answer_times(engine, each, 1)
    alone = [
        min((answer_times(engine, each, _WRITTEN) for _ in range(_TIMES)), key=itemgetter(1))
        for each in prompts[:_TIMES]
    ]
    write = sum(count for _, _, count in alone) / sum(seconds for _, seconds, _ in alone)
    if slots == 1:
        return Measured(settings, read, write, write)
    with ThreadPoolExecutor(slots) as pool:
        began = time.perf_counter()
        tokens = sum(pool.map(lambda each: answer_times(engine, each, _WRITTEN)[2], prompts[:slots]))
    return Measured(settings, read, write, tokens / (time.perf_counter() - began))


def answer_times(
    engine: Engine, prompt: Prompt, tokens: int, adapter: LoadedAdapter | None = None
) -> tuple[float, float, int]:
    """Seconds until the first event and until the end, and tokens written (at least 1)."""
    events: SimpleQueue[tuple[Event, float]] = SimpleQueue()
    began, first, generated = time.perf_counter(), 0.0, 0
    job = Job(adapter, prompt, Sampling(tokens))
    engine.submit(job, lambda event: events.put((event, time.perf_counter())))
    while True:
        event, moment = events.get()
        if event is None:
            return first, moment - began, max(generated, 1)
        if isinstance(event, BaseException):
            raise event
        first = first or moment - began
        generated += event.generated
