"""Progress of long work: a bar on a terminal, throttled log lines elsewhere.

Carriage returns, as tqdm writes them, freeze the log view of an orchestrator, so nothing but whole
lines is written when standard error is not a terminal.
"""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from rich.progress import track as rich_track

T = TypeVar("T")

_LOG = logging.getLogger("cortex_pipelines")
_SECONDS_BETWEEN_LINES = 10.0


def track(items: Sequence[T], doing: str) -> Iterable[T]:
    """The items one by one, telling how far the work has come.

    Args:
        items: What is worked on.
        doing: What is being done, as a person would say it ("Reading files").
    """
    if sys.stderr.isatty():
        return rich_track(items, description=doing, transient=True)
    return _logged(items, doing)


def _logged(items: Sequence[T], doing: str) -> Iterator[T]:
    last = time.monotonic()
    for done, item in enumerate(items):
        yield item
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            _LOG.info("%s: %d of %d", doing, done + 1, len(items))
