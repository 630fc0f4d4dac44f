"""How long an answer at the cursor may take, and how quick the engine is."""

import json
import logging
import platform
import time
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path

from cortex_pipelines.atomic import atomic_file
from cortex_pipelines.serving.code_end import code_end
from cortex_pipelines.serving.engines.engine import (
    BusyError,
    Deadline,
    Engine,
    EngineError,
    Event,
    Job,
    Prompt,
    Sampling,
    Speed,
    TextDelta,
)
from cortex_pipelines.serving.security.access import context_value
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines.versioning.dvc.yaml_files import read_json

_LOG = logging.getLogger("cortex_pipelines")

DEADLINE = "x-cortex-deadline"
"""Request header: seconds for an answer at the cursor, or ``none`` for all the time it takes."""

SPEEDS = Path(".cortex", "cache", "speed.json")
"""File of measured speeds, relative to a project's root."""

_LONGEST = 3600.0
_SECONDS: ContextVar[float | None] = ContextVar("seconds for an answer at the cursor", default=None)

_READ, _WRITTEN, _FEWEST = 96, 6, 4
"""Tokens read and written by the measurement, and the fewest times that it needs."""


def answering_within(seconds: float) -> AbstractContextManager[None]:
    """Give answers at the cursor so many seconds instead of the setting; infinity for all the time they take."""
    return context_value(_SECONDS, seconds)


def requested_seconds(header: str) -> float:
    """Seconds of the header; ValueError for another value than ``none`` or a number above 0."""
    if header.strip().lower() == "none":
        return float("inf")
    with suppress(ValueError):
        if 0 < (seconds := float(header)) <= _LONGEST:
            return seconds
    raise ValueError(f"{DEADLINE}: seconds above 0 and up to {_LONGEST:g} are expected, or none, not {header[:40]!r}")


def cursor_deadline(settings: ServingSettings) -> Deadline | None:
    seconds = _SECONDS.get() or settings.deadlines.cursor
    return None if seconds is None or seconds == float("inf") else Deadline(seconds)


def measure_speed(engine: Engine, settings: ServingSettings, base: str, root: Path) -> None:
    """Measure the engine's speed by a request after a first one, of half a second on two cores, and remember it.

    The best speed on this machine counts, not one measured while others kept it busy.
    """
    from cortex_pipelines.serving.engines.torch_engine import answering_gpu  # slow to import

    processor = answering_gpu(engine.name) or platform.node()
    key = " ".join(map(str, (processor, base, engine.name, settings.precision, settings.threads)))
    path = root / SPEEDS
    with suppress(OSError, LookupError, ValueError, TypeError):
        engine.speed = Speed(**read_json(path)[key])
    times: list[tuple[float, int]] = []

    def begin() -> None:
        times.append((time.perf_counter(), 0))

    def deliver(event: Event) -> None:
        times.append((time.perf_counter(), event.generated if isinstance(event, TextDelta) else 0))
        if event is not None or len(times) < _FEWEST:
            return
        (began, _), (first, _), *_, (last, _) = times
        generated_tokens = sum(tokens for _, tokens in times[2:])
        measured = Speed(_READ / max(first - began, 1e-6), generated_tokens / max(last - first, 1e-6))
        previous = engine.speed or measured
        engine.speed = Speed(max(previous.read, measured.read), max(previous.write, measured.write))
        try:
            with suppress(ValueError, TypeError), atomic_file(path, durable=False) as file:
                file.write_text(json.dumps(read_json(path) | {key: asdict(engine.speed)}, indent=1), encoding="utf-8")
        except OSError as error:
            _LOG.warning("the engine's speed is not remembered: %s", error)

    ids = range(_READ, 2 * _READ)  # tokens that no prompt begins with

    def measure(event: Event) -> None:
        if isinstance(event, TextDelta):
            return
        sampling = Sampling(_WRITTEN, reuse=False)
        try:
            engine.submit(Job(None, Prompt(tuple(ids), "", 0), sampling, on_start=begin), deliver)
        except BusyError as error:
            _LOG.warning("the engine's speed is not measured: %s", error)
        except EngineError as error:  # a short command has closed it
            _LOG.debug("the engine's speed is not measured: %s", error)

    # what the first answer has to make: tables of the vocabulary, and what is compiled for a number of tokens
    first_answer = Sampling(_WRITTEN, ending=code_end("def f():\n"), reuse=False)
    engine.submit(Job(None, Prompt(tuple(reversed(ids)), "\n", 0), first_answer), measure)
