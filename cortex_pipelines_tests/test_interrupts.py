import os
import signal
import time

import pytest

from cortex_pipelines import interrupts
from cortex_pipelines.interrupts import ending_on_interrupt, holding_interrupts


class Panic(BaseException):
    """As Rust code raises it."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("error", [AttributeError, Panic])
def test_what_a_library_makes_of_an_interrupt_is_one(number: int, error: type[BaseException]) -> None:
    @ending_on_interrupt()
    def work() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(20)
        except KeyboardInterrupt:
            raise error from None

    before = [signal.getsignal(which) for which in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        work()
    assert [signal.getsignal(which) for which in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_interrupt_that_is_caught_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "_SECONDS_BETWEEN", 0.05)
    caught: list[int] = []

    @ending_on_interrupt()
    def deaf() -> None:
        while len(caught) < 3:
            try:
                time.sleep(20) if caught else os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                caught.append(1)

    with pytest.raises(KeyboardInterrupt):
        deaf()


def test_errors_of_its_own_pass() -> None:
    with pytest.raises(ValueError, match="own"), ending_on_interrupt():
        raise ValueError("own")


def test_an_interrupt_that_is_held_comes_afterwards() -> None:
    finished = []

    @holding_interrupts()
    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        finished.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert finished
