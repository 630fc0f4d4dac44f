"""What a gateway is asked for that only a project can answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Expect = Callable[[str, str | None], Mapping[str, Any]]
"""Task and master (None for each known one) to what is expected, and ``version``."""

Search = Callable[[str, str | None, int], Mapping[str, Any]]
"""Query, project (None for all) and most results to ``results``, and ``versions``."""

Lineage = Callable[[str | None, str], Mapping[str, Any]]
"""Project (None for the router) and version of its model to the tree of what it was made from."""

Redact = Callable[[str], tuple[str, int]]
"""A text to the text without private values, and how many of them it held."""


@dataclass(frozen=True)
class ProjectServices:
    """What surrounds the models of a project; each None where there is nothing to ask.

    Args:
        expect: Outcome predictors.
        search: Code search.
        lineage: What a served model was made from.
        redact: Takes private values out of what people type; without it no text is kept.
    """

    expect: Expect | None = None
    search: Search | None = None
    lineage: Lineage | None = None
    redact: Redact | None = None


NOTHING = ProjectServices()
"""Of a gateway without a project."""
