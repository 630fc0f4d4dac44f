"""Small models trained on a team's own code and on its agents' logs, with reproducible data.

The functions for notebooks and programs can be imported from here. They are loaded when they are
asked for (PEP 562), so ``import cortex_pipelines`` alone costs nothing. Within the package a module
imports from the module that defines a name: code versions are derived from those imports.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cortex_pipelines.api import (
        extract_units,
        lineage,
        load_adapter,
        load_parameters,
        load_router,
        open_project,
        read_table,
        scan_private,
        search_code,
    )

# polars gives back soon what it frees, for which jemalloc waits (read when it is loaded)
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:100,muzzy_decay_ms:0")

__all__ = [
    "extract_units",
    "lineage",
    "load_adapter",
    "load_parameters",
    "load_router",
    "open_project",
    "read_table",
    "scan_private",
    "search_code",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("cortex_pipelines.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
