"""Threads: as before afterwards, and of no influence on what comes first."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from cortex_pipelines.embeddings.threads import pinned_threads, serving_threads, side_by_side


@pytest.mark.parametrize("pin", [pinned_threads, serving_threads])
def test_threads_are_as_before_afterwards(pin: Callable[[int], AbstractContextManager[None]]) -> None:
    import torch
    from threadpoolctl import ThreadpoolController

    def numpy_threads() -> set[int]:
        blas = ThreadpoolController().select(user_api="blas").info()
        return {library["num_threads"] for library in blas}

    before = torch.get_num_threads(), numpy_threads()
    with pin(1):
        assert (torch.get_num_threads(), numpy_threads()) == (1, {1})
    assert (torch.get_num_threads(), numpy_threads()) == before


def test_results_come_in_the_order_of_the_parts() -> None:
    def slow_first(part: int) -> int:
        time.sleep(0.02 / (part + 1))
        return part * 10

    with side_by_side(slow_first, range(6), 1) as futures:
        assert [future.result() for future in futures] == [0, 10, 20, 30, 40, 50]


def test_an_error_in_a_part_is_raised_and_the_rest_is_left() -> None:
    begun: list[int] = []

    def fails(part: int) -> None:
        begun.append(part)
        time.sleep(0.01)
        raise ValueError(f"part {part}")

    def collect() -> None:
        with side_by_side(fails, range(20_000), 1) as futures:
            for future in futures:
                future.result()

    with pytest.raises(ValueError, match="part 0"):
        collect()
    assert len(begun) < 20_000
