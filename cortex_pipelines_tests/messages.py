"""What errors and texts say."""

from collections.abc import Callable, Container
from typing import Any

import pytest


def refusal(error: type[Exception], call: Callable[..., object], *arguments: Any, **options: Any) -> str:
    """What the error says that a call has to raise."""
    with pytest.raises(error) as raised:
        call(*arguments, **options)
    return str(raised.value)


def missing(text: Container[Any], *parts: Any) -> list[Any]:
    """Which of the parts a text does not have."""
    return [part for part in parts if part not in text]
