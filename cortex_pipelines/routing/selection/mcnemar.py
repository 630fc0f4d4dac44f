"""Whether two routers that met the same tasks err alike."""


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value that two classifiers err alike.

    Args:
        only_first: Items that only the first gets right.
        only_second: Items that only the second gets right.

    Raises:
        ValueError: a count is negative.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"mcnemar_exact: negative count ({only_first}, {only_second})")
    total = only_first + only_second
    term = tail = 1
    for count in range(min(only_first, only_second)):
        term = term * (total - count) // (count + 1)  # the next binomial coefficient, exactly
        tail += term
    # whole numbers divided once: exact even where 2**total is beyond a float
    return min(1.0, 2 * tail / (1 << total))
