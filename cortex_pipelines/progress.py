"""Progress of long work: a bar on a terminal, throttled log lines elsewhere.

Carriage returns, as tqdm writes them, freeze the log view of an orchestrator, so only full lines
are written when standard error is not a terminal.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from rich.progress import Progress

T = TypeVar("T")

_LOG = logging.getLogger("cortex_pipelines")
_SECONDS_BETWEEN_LINES = 10.0


def track(items: Sequence[T], description: str, detail: Callable[[], str] | None = None) -> Iterator[T]:
    """Iterate with a progress report; ``detail`` gives text to add at each update, such as the throughput."""
    bar = Progress(transient=True) if sys.stderr.isatty() else None
    last = time.monotonic()
    with bar or nullcontext():
        task = bar.add_task(description, total=len(items)) if bar else None
        for number, item in enumerate(items, start=1):
            yield item
            current = time.monotonic()
            if bar is None and current - last < _SECONDS_BETWEEN_LINES:
                continue
            last, more = current, f" ({detail()})" if detail else ""
            if bar is not None and task is not None:
                bar.update(task, completed=number, description=f"{description}{more}")
            else:
                _LOG.info("%s: %d of %d%s", description, number, len(items), more)


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
