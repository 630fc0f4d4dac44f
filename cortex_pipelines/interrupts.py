"""Ctrl-C, SIGTERM and a pressed Terminate end what they should end, whatever a library makes of them."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SECONDS_BETWEEN = 3.0


@contextmanager
def ending_on_interrupt() -> Iterator[None]:
    """Raise in the body what SIGINT raises there (KeyboardInterrupt, or Dagster's own), for SIGTERM too.

    A library that catches it gets another one every three seconds, and an error that it makes of it, such as the
    AttributeError of a module that was half imported, is replaced by the interrupt itself.
    """
    interrupt = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(interrupt):
        yield
        return
    received = False

    def handle(number: int, frame: Any) -> None:
        nonlocal received
        received = True
        signal.setitimer(signal.ITIMER_REAL, _SECONDS_BETWEEN)
        interrupt(signal.SIGINT, frame)

    before: dict[int, Callable[..., Any] | int | None] = {
        number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    }
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)
    except BaseException as error:  # a panic of Rust code is not an Exception
        if received and not isinstance(error, KeyboardInterrupt):
            interrupt(signal.SIGINT, None)
        raise
    if received:
        interrupt(signal.SIGINT, None)


@contextmanager
def holding_interrupts() -> Iterator[None]:
    """Let an interrupt come after the body: Rust code that calls Python panics, and says so, if it comes within."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []
    before = {n: signal.signal(n, lambda number, _: pending.append(number)) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if pending:
            signal.raise_signal(pending[0])
