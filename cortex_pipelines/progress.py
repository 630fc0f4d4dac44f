"""Progress of long work: a bar on a terminal, throttled log lines elsewhere.

Carriage returns, as tqdm writes them, freeze the log view of an orchestrator, so nothing but whole
lines is written when standard error is not a terminal.
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


def track(items: Sequence[T], doing: str, detail: Callable[[], str] | None = None) -> Iterable[T]:
    """Iterate with a progress report.

    Args:
        items: What is worked on.
        doing: What is being done, as a person would say it ("Reading files").
        detail: What else to tell each time, such as the speed.
    """
    return (_shown if sys.stderr.isatty() else _logged)(items, doing, detail)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Suppress transformers' progress bars for loading and saving weights."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _shown(items: Sequence[T], doing: str, detail: Callable[[], str] | None) -> Iterator[T]:
    with Progress(transient=True) as bar:
        task = bar.add_task(doing, total=len(items))
        for item in items:
            yield item
            words = f"{doing} ({detail()})" if detail else doing
            bar.update(task, advance=1, description=words)


def _logged(items: Sequence[T], doing: str, detail: Callable[[], str] | None) -> Iterator[T]:
    last = time.monotonic()
    for done, item in enumerate(items):
        yield item
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            more = f" ({detail()})" if detail else ""
            _LOG.info("%s: %d of %d%s", doing, done + 1, len(items), more)
