"""An asset declares all the code it runs, so that no edit goes unseen."""

import inspect
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import grimp
import pytest

from cortex_pipelines.catalog import ASSETS
from cortex_pipelines.versioning import VersionedAsset

ROOT = Path(__file__).parents[1]
PACKAGE = "cortex_pipelines"
# What cannot change an output: the spine, types of parameters (their values count by themselves),
# progress, and the row cache, which gives back what was computed.
EXEMPT = ("versioning", "tracking", "config", "settings", "progress", "rowcache")


@cache
def imports() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE)


def names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def modules_used(function: FunctionType, seen: set[str]) -> Iterator[str]:
    """Modules of this package that a function reaches by the names it uses."""
    for name in names_in(function.__code__):
        value: Any = function.__globals__.get(name)
        if isinstance(value, ModuleType):
            if value.__name__.startswith(PACKAGE):
                yield value.__name__
        elif getattr(value, "__module__", None) == function.__module__:
            if isinstance(value, FunctionType) and name not in seen:
                yield from modules_used(value, seen | {name})
        elif getattr(value, "__module__", "") and value.__module__.startswith(PACKAGE):
            yield value.__module__


def runs(asset: VersionedAsset) -> set[str]:
    found = {asset.compute.__module__}
    for module in modules_used(asset.compute, set()):
        found |= {module, *imports().find_upstream_modules(module)}
    return {m for m in found if m.startswith(PACKAGE + ".") and not exempt(m)}


def exempt(module: str) -> bool:
    parts = module.split(".")
    return parts[1] in EXEMPT or parts[-1] == "settings" or is_empty(module)


def is_empty(module: str) -> bool:
    source = inspect.getsourcefile(sys.modules[module]) if module in sys.modules else None
    return bool(source) and source.endswith("__init__.py") and len(Path(source).read_text()) == 0


def path_of(module: str) -> str:
    folder = module.replace(".", "/")
    return f"{folder}/__init__.py" if (ROOT / folder).is_dir() else f"{folder}.py"


@pytest.mark.parametrize("asset", ASSETS, ids=lambda asset: asset.name)
def test_an_asset_declares_all_it_runs(asset: VersionedAsset) -> None:
    missing = [
        path_of(module)
        for module in sorted(runs(asset))
        if not any(
            path_of(module) == declared or path_of(module).startswith(declared + "/")
            for declared in asset.code
        )
    ]
    assert not missing, f"{asset.name}: add to code= {missing}"


@pytest.mark.parametrize("asset", ASSETS, ids=lambda asset: asset.name)
def test_what_an_asset_declares_is_there(asset: VersionedAsset) -> None:
    assert [path for path in asset.code if not (ROOT / path).exists()] == []
