"""What this machine can do with a base: reading and writing speed by engine, precision and threads."""

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path
from queue import SimpleQueue

from cortex_pipelines.adapters.model.base_model import BaseModel
from cortex_pipelines.models.machine import Machine
from cortex_pipelines.serving.engines.engine import (
    Engine,
    EngineError,
    Event,
    Job,
    LoadedAdapter,
    Prompt,
    Sampling,
    open_engine,
)
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines.tokenization.text_encoder import token_ids

_READ, _WRITTEN, _TIMES = 256, 32, 3


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
