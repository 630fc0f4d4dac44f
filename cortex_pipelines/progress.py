"""Progress of long work: a bar on a terminal, throttled log lines elsewhere.

Carriage returns, as tqdm writes them, freeze the log view of an orchestrator, so only full lines
are written when standard error is not a terminal.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import accumulate
from typing import TypeVar

T = TypeVar("T")

_LOG = logging.getLogger("cortex_pipelines")
_AS_EXPECTED = 0.05  # of a run
_SECONDS_BETWEEN_LINES = 10.0


def track(items: Sequence[T], description: str, detail: Callable[[], str] | None = None) -> Iterator[T]:
    """Iterate with a progress report; ``detail`` gives text to add at each update, such as the throughput."""
    with reporting(description, len(items), detail) as report:
        for item in items:
            yield item
            report(1)


@contextmanager
def reporting(
    description: str, total: int | None, detail: Callable[[], str] | None = None
) -> Iterator[Callable[[int], None]]:
    """A progress report, in whose body the function is called with the number of items that were finished."""
    bar = None
    if sys.stderr.isatty() and Steps.forward is None:
        from rich.progress import Progress  # slow to import

        bar = Progress(transient=True)
    begin = last = time.monotonic()
    finished = 0
    with bar or nullcontext():
        task = bar.add_task(description, total=total) if bar else None

        def report(items: int) -> None:
            nonlocal last, finished
            finished += items
            current = time.monotonic()
            if bar is None and current - last < _SECONDS_BETWEEN_LINES:
                return
            Steps.last_sign = current
            last, more = current, f" ({detail()})" if detail else ""
            if bar is not None and task is not None:
                bar.update(task, completed=finished, description=f"{description}{more}")
                return
            rate = finished / (current - begin)
            remaining = "" if total is None else f" of {total}, {(total - finished) / rate:.0f} s left"
            _LOG.info("%s: %d%s%s", description, finished, remaining, more)

        yield report


class Steps:
    """Steps of a run, counted while they end; ``expected`` are their seconds by address, None if not known, and
    ``jobs`` are done at once.

    If none is expected, they are not counted.
    A step that says nothing for ten seconds is named, with the time it takes.
    """

    current: "Steps | None" = None
    forward: Callable[[str, int | None, float], None] | None = None
    """Takes the reports of a process that does the steps of another one's run."""
    last_sign = 0.0

    def __init__(self, expected: Mapping[str, float | None], jobs: int = 1) -> None:
        self.jobs = jobs
        self.waiting = dict(expected)
        self.expected = dict(expected)
        self.running: dict[str, float] = {}
        self.total = len(expected)
        self._paces: list[tuple[float, float]] = []
        self._ended = threading.Event()
        self._counting = threading.Lock()

    @property
    def completed(self) -> int:
        return self.total - len(self.waiting)

    def __enter__(self) -> "Steps":
        Steps.current, Steps.last_sign = self, time.monotonic()
        threading.Thread(target=self._give_signs, name="signs", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        Steps.current = None

    @staticmethod
    @contextmanager
    def during(address: str) -> Iterator[None]:
        """Name a step as running, if this process counts steps."""
        running = Steps.current.running if Steps.current else {}
        running[address] = time.monotonic()
        try:
            yield
        finally:
            running.pop(address, None)

    def end(self, address: str, seconds: float) -> str:
        """Count a finished step; returns its position, such as ``[3/12]``."""
        with self._counting:
            if expected := self.expected.get(address):
                self._paces.append((seconds / expected, expected))
            if self.waiting.pop(address, self) is self:
                self.total += 1  # stale only because another one was made
            return f"[{self.completed}/{self.total}]"

    def remaining(self) -> str:
        """Time that is left at the pace until now: the median of taken to expected time, weighted by the latter.

        A share of all work is taken to go as expected: two quick steps that came late do not multiply hours.
        """
        begun = {address: time.monotonic() - begin for address, begin in list(self.running.items())}
        expected = {address: self.expected.get(address) or 0 for address in begun}
        late = [(begun[each] / seconds, seconds) for each, seconds in expected.items() if 0 < seconds < begun[each]]
        as_expected = (1.0, _AS_EXPECTED * sum(filter(None, self.expected.values())))
        paces = sorted([as_expected, *self._paces, *late])
        half = sum(weight for _, weight in paces) / 2
        totals = accumulate(weight for _, weight in paces)
        pace = next((max(pace, 1) for (pace, _), total in zip(paces, totals, strict=True) if total >= half), 1)
        seconds_left = (max((value or 0) * pace - begun.get(address, 0), 0) for address, value in self.waiting.items())
        seconds = sum(seconds_left) / self.jobs
        if not seconds:
            return ""
        return f"  ({seconds / 60:.0f} min left)" if seconds >= 90 else f"  ({seconds:.0f} s left)"

    def _give_signs(self) -> None:
        while not self._ended.wait(1.0):
            current = time.monotonic()
            if self.running and current - Steps.last_sign >= _SECONDS_BETWEEN_LINES:
                Steps.last_sign = current
                texts = []
                for address, begin in list(self.running.items()):
                    expected = self.expected.get(address)
                    begun = current - begin
                    share = f" ({begun / expected:.0%})" if expected and begun < expected else ""
                    of = f" of some {expected:.0f} s{share}" if expected else ""
                    texts.append(f"{address}: {begun:.0f} s{of}")
                _LOG.info("%s%s", ", ".join(texts), self.remaining())


def report_step(address: str, rows: int | None, seconds: float) -> None:
    """Log that a step ended: its position in the run, asset and project, rows, time, and the time remaining."""
    if Steps.forward:
        Steps.forward(address, rows, seconds)
        return
    steps = Steps.current
    position = f"{steps.end(address, seconds)} " if steps and steps.expected else ""
    Steps.last_sign = time.monotonic()
    name, _, project = address.partition("@")
    row_count = f"{rows:,} rows  " if rows is not None else ""
    _LOG.info(
        "%s%s  %s  %s%.1f s%s",
        position,
        name,
        project or "all projects",
        row_count,
        seconds,
        steps.remaining() if steps else "",
    )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    from transformers.utils import logging

    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()
