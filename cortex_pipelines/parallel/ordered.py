"""The one way to compute on all cores: an ordered map of values to values, with the same result wherever it runs.

What is mapped must be a function of a module (or ``functools.partial`` of one) that depends on its arguments alone and
gives, for the batches of any division, results whose concatenation is the same. Only the driver, the process that
maps, reads the project's folder, git and the caches: a worker gets all it needs by value.
"""

import atexit
import logging
import os
import pickle  # nosec B403: only dumped here
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from cortex_pipelines.parallel.backends import WORKER_MB, Backend, BackendError, WorkerDiedError, result_of
from cortex_pipelines.parallel.settings import ExecutionSettings
from cortex_pipelines.progress import reporting

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")
R = TypeVar("R")

BACKEND, WORKERS = "CORTEX_BACKEND", "CORTEX_WORKERS"
"""Variables that override the settings in this process and in those it starts."""

_LOG = logging.getLogger("cortex_pipelines")
_SETTINGS: ContextVar[ExecutionSettings | None] = ContextVar("execution", default=None)
_BATCH_BYTES = 131_072
_LEAST_BATCH_BYTES = 32_768
_BATCHES_PER_CORE = 8  # so that all cores end at about the same time
_SECONDS_ALONE = 1.0  # a worker takes half a second to start
_SECONDS_BETWEEN_LOOKS = 5.0
_MOST_DEATHS = 3
_MOST_SECONDS = 600.0  # of processor time for a batch, which takes one or two; no file that is parsed takes a minute


class KilledWorkersError(RuntimeError):
    """An item ended each worker that got it."""


@contextmanager
def executing(settings: ExecutionSettings | None) -> Iterator[None]:
    """Let maps in the body run as the settings say; without settings they run in the calling process alone."""
    token = _SETTINGS.set(settings and overridden(settings))
    try:
        yield
    finally:
        _SETTINGS.reset(token)


def overridden(settings: ExecutionSettings) -> ExecutionSettings:
    """The settings under the environment's ``CORTEX_BACKEND`` and ``CORTEX_WORKERS``. Raises BackendError."""
    values: dict[str, Any] = settings.model_dump()
    if backend := os.environ.get(BACKEND):
        values["backend"] = backend
    if workers := os.environ.get(WORKERS):
        values["workers"] = int(workers) if workers.isdigit() else workers
    try:
        return ExecutionSettings.model_validate(values)
    except ValidationError as error:
        reasons = "; ".join(f"{item['loc'][0]} is {item['input']!r}: {item['msg']}" for item in error.errors())
        raise BackendError(f"{reasons}; correct {BACKEND} and {WORKERS} of the environment") from error


@dataclass
class _Batch:
    items: list[Any]
    payload: bytes
    future: "Future[bytes]"
    deaths: int = 0


def ordered_map(
    work: Callable[[Any], R],
    items: Iterable[T],
    weigh: Callable[[T], int],
    doing: str,
    *,
    total: int | None = None,
    load: Callable[[Sequence[T]], Any] = list,
    name: Callable[[T], str] = str,
    skipped: Callable[[T, str], R] | None = None,
    batch_bytes: int = _BATCH_BYTES,
) -> Iterator[R]:
    """Results of batches of items, in order; their number may differ from one run to the next, their content not.

    Args:
        work: Gets what ``load`` made of a batch; module-level, pickled by name.
        weigh: Bytes of an item, by which batches are cut.
        doing: What the progress report says.
        total: Number of items, if known.
        load: What a worker gets for a batch, called in this process when it is the batch's turn.
        name: What an error calls an item, such as its path.
        skipped: Result of an item that ended three workers, with the reason. Without it: KilledWorkersError.
        batch_bytes: By ``weigh``, at which a batch is full.
    """
    batches = _cut(items, weigh, batch_bytes)
    with reporting(doing, total) as report:
        settings = _SETTINGS.get()
        alone = float("inf")
        if settings is not None and settings.backend != "serial":
            alone = _SECONDS_ALONE
            if _is_started(settings):
                first = list(islice(batches, 2))
                alone = 0.0 if len(first) > 1 else float("inf")  # one batch gains nothing elsewhere
                batches = chain(first, batches)
        start = time.monotonic()
        for batch in batches:
            if settings is not None and time.monotonic() - start >= alone:
                backend = _backend(settings)
                if backend is None:
                    alone = float("inf")
                elif backend.is_ready():
                    limited = partial(_limited, work, _MOST_SECONDS)
                    yield from _elsewhere(backend, limited, chain([batch], batches), load, name, skipped, report)
                    return
            yield work(load(batch))
            report(len(batch))


def mapped_rows(
    work: "Callable[[pl.DataFrame], pl.DataFrame]",
    rows: "pl.DataFrame",
    doing: str,
    *,
    skipped: "Callable[[pl.DataFrame, str], pl.DataFrame] | None" = None,
) -> "pl.DataFrame":
    """What ``work`` makes of all rows, from any division of them into consecutive ones; see ``ordered_map``.

    An error names a row by its ``path`` or else its first column.
    """
    import polars as pl  # slow to import

    if rows.is_empty():
        return work(rows)  # so that the columns are known
    weights = rows.select(pl.sum_horizontal(pl.col(pl.String).str.len_bytes().fill_null(0))).to_series().to_list()
    cores = len(os.sched_getaffinity(0))
    names = rows["path" if "path" in rows.columns else rows.columns[0]]

    def consecutive(numbers: Sequence[int]) -> pl.DataFrame:
        return rows[numbers[0] : numbers[-1] + 1]

    def skip(number: int, reason: str) -> pl.DataFrame:
        return skipped(consecutive([number]), reason) if skipped else rows.clear()

    parts = ordered_map(
        work,
        range(rows.height),
        weights.__getitem__,
        doing,
        total=rows.height,
        load=consecutive,
        name=lambda number: str(names[number]),
        skipped=skip if skipped else None,
        batch_bytes=min(_BATCH_BYTES, max(_LEAST_BATCH_BYTES, sum(weights) // (_BATCHES_PER_CORE * cores))),
    )
    return pl.concat(list(parts))


def _limited(work: Callable[[Any], R], seconds: float, batch: Any) -> R:
    """``work(batch)``; it ends its process, even within a parser, after so many seconds of processor time.

    Of wall time a busy machine would take more.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return work(batch)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def start_workers(settings: ExecutionSettings, module: str) -> None:
    """Start the machine's workers with a module that they will need, before the first map asks for them."""
    from cortex_pipelines.parallel.processes import Processes, preload

    settings = overridden(settings)
    if settings.backend == "processes" and isinstance(backend := _backend(settings), Processes):
        backend.submit_to_all(preload, module)


def is_clustered() -> bool:
    """Whether ``on_cluster`` may be called: work goes to other machines here."""
    settings = _SETTINGS.get()
    return settings is not None and settings.backend == "ray"


def on_cluster(work: Callable[[T], R], item: T, name: str, cores: int) -> R:
    """``work(item)`` as one task on a node with so many cores, or with as many as the largest node has.

    It reserves ``execution.memory``, and a GPU if the cluster has any. Raises KilledWorkersError: three workers ended.
    """
    settings = _SETTINGS.get()
    cluster: Any = settings and _backend(settings)
    reserved = cluster.reserving(cores, settings and settings.memory)
    with reporting(name, None) as report:
        (result,) = _elsewhere(reserved, work, iter([[item]]), lambda items: items[0], lambda _: name, None, report)
    return result


def _cut(items: Iterable[T], weigh: Callable[[T], int], batch_bytes: int) -> Iterator[list[T]]:
    batch: list[T] = []
    weight = 0
    for item in items:
        batch.append(item)
        weight += weigh(item)
        if weight >= batch_bytes:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _elsewhere(
    backend: Backend,
    work: Callable[[Any], R],
    batches: Iterator[list[T]],
    load: Callable[[Sequence[T]], Any],
    name: Callable[[T], str],
    skipped: Callable[[T, str], R] | None,
    report: Callable[[int], None],
) -> Iterator[R]:
    function = pickle.dumps(work, pickle.HIGHEST_PROTOCOL)
    pending: deque[_Batch] = deque()

    def submitted(items: list[T], deaths: int = 0) -> _Batch:
        payload = pickle.dumps(load(items), pickle.HIGHEST_PROTOCOL)
        return _Batch(items, payload, backend.submit(function, payload), deaths)

    try:
        while True:
            # bounded, so that neither inputs nor results fill the memory if the first of them takes long
            while len(pending) <= 2 * backend.workers and (items := next(batches, None)) is not None:
                pending.append(submitted(items))
            if not pending:
                return
            batch = pending.popleft()
            try:
                result = result_of(_awaited(batch.future, backend))
            except WorkerDiedError as error:
                batch.deaths += 1
                of = name(batch.items[0]) + (f" and {len(batch.items) - 1} more" if len(batch.items) > 1 else "")
                _LOG.warning("a worker ended (%s) at %s; done again by another one", error, of)
                if batch.deaths < _MOST_DEATHS - 1 or (len(batch.items) == 1 and batch.deaths < _MOST_DEATHS):
                    batch.future = backend.submit(function, batch.payload)
                    pending.appendleft(batch)
                elif len(batch.items) > 1:
                    # one of them is to blame: each alone
                    pending.extendleft(submitted([item], batch.deaths) for item in reversed(batch.items))
                else:
                    reason = f"ended {batch.deaths} workers ({error})"
                    if skipped is None:
                        raise KilledWorkersError(f"{of} {reason}; nothing was published") from error
                    yield skipped(batch.items[0], reason)
                    report(1)
                continue
            yield result
            report(len(batch.items))
    except BaseException as error:
        if not isinstance(error, Exception | GeneratorExit):
            close_backends()  # Ctrl-C: nothing goes on
        raise
    finally:
        for batch in pending:
            batch.future.cancel()


def _awaited(future: "Future[bytes]", backend: Backend) -> bytes:
    while True:
        try:
            return future.result(_SECONDS_BETWEEN_LOOKS)
        except TimeoutError:
            if future.done():
                raise
            backend.is_ready()


_BACKENDS: dict[tuple[str, int | None], Backend] = {}
_BACKENDS_LOCK = threading.Lock()


def _is_started(settings: ExecutionSettings) -> bool:
    return (settings.backend, settings.workers) in _BACKENDS


def _backend(settings: ExecutionSettings) -> Backend | None:
    """The backend that the settings name, started if need be; None if there is no gain over this process."""
    key = (settings.backend, settings.workers)
    with _BACKENDS_LOCK:
        if key not in _BACKENDS:
            if settings.backend == "ray":
                from cortex_pipelines.parallel.ray_cluster import RayCluster

                _BACKENDS[key] = RayCluster(settings.workers)
            else:
                from cortex_pipelines.parallel.processes import Processes

                workers = fitting_workers(settings)
                if workers < 2:
                    return None
                _BACKENDS[key] = Processes(workers)
        return _BACKENDS[key]


def fitting_workers(settings: ExecutionSettings) -> int:
    """Workers on this machine: as many as are set, or as there are cores, and as fit the memory; 0 if none does."""
    import psutil  # slow to import

    workers = settings.workers or len(os.sched_getaffinity(0))
    used = psutil.Process().memory_info().rss >> 20
    free = psutil.virtual_memory().available >> 20 if settings.memory is None else settings.memory - used
    fitting: int = max(min(workers, free // WORKER_MB), 0)
    if fitting < workers:
        _LOG.warning(
            "%d of %d workers: %d MB are left, and each may take %d; execution.memory or fewer projects at once help",
            *(fitting, workers, free, WORKER_MB),
        )
    return fitting


@atexit.register
def close_backends(but: int | None = None) -> None:
    """End all workers, unless there are as many as ``but``; a later map starts new ones."""
    for key in [key for key in _BACKENDS if but is None or key[1] != but]:
        _BACKENDS.pop(key).close()
