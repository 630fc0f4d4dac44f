"""Progress of long work: a bar on a terminal, throttled log lines elsewhere.

Carriage returns, as tqdm writes them, freeze the log view of an orchestrator, so only full lines
are written when standard error is not a terminal.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import Progress

T = TypeVar("T")

_LOG = logging.getLogger("cortex_pipelines")
_SECONDS_BETWEEN_LINES = 10.0


def track(items: Sequence[T], description: str, detail: Callable[[], str] | None = None) -> Iterable[T]:
    """Iterate with a progress report; ``detail`` gives text to add at each update, such as the throughput."""
    return (_show_bar if sys.stderr.isatty() else _log_lines)(items, description, detail)


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


def _show_bar(items: Sequence[T], description: str, detail: Callable[[], str] | None) -> Iterator[T]:
    with Progress(transient=True) as bar:
        task = bar.add_task(description, total=len(items))
        for item in items:
            yield item
            text = f"{description} ({detail()})" if detail else description
            bar.update(task, advance=1, description=text)


def _log_lines(items: Sequence[T], description: str, detail: Callable[[], str] | None) -> Iterator[T]:
    last = time.monotonic()
    for index, item in enumerate(items):
        yield item
        current = time.monotonic()
        if current - last >= _SECONDS_BETWEEN_LINES:
            last = current
            more = f" ({detail()})" if detail else ""
            _LOG.info("%s: %d of %d%s", description, index + 1, len(items), more)
