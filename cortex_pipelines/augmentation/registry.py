"""The classes of a kind, found by listing a folder: adding one changes no other file."""

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")


def found_in(folder: ModuleType, kind: type[T]) -> tuple[T, ...]:
    """One of each concrete class of a kind in the modules of a folder, sorted by name.

    Raises:
        RuntimeError: two of them have the same name.
    """
    found: dict[str, Any] = {}
    for info in sorted(pkgutil.iter_modules(folder.__path__), key=lambda module: module.name):
        module = importlib.import_module(f"{folder.__name__}.{info.name}")
        classes: list[Any] = [one for _, one in inspect.getmembers(module, inspect.isclass)]
        for one in classes:
            if not issubclass(one, kind) or inspect.isabstract(one):
                continue
            if one.__module__ != module.__name__ or not hasattr(one, "name"):
                continue
            if one.name in found:
                raise RuntimeError(
                    f"two classes in {folder.__name__} are named {one.name!r}: "
                    f"{type(found[one.name])} and {one}; give one of them another name"
                )
            found[one.name] = one()
    return tuple(found[name] for name in sorted(found))
