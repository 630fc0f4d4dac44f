"""Plugin registry: discovers classes by listing a package."""

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")


def instances_in(folder: ModuleType, kind: type[T]) -> tuple[T, ...]:
    instances: dict[str, Any] = {}
    for info in sorted(pkgutil.iter_modules(folder.__path__), key=lambda module: module.name):
        module = importlib.import_module(f"{folder.__name__}.{info.name}")
        classes: list[Any] = [class_ for _, class_ in inspect.getmembers(module, inspect.isclass)]
        for class_ in classes:
            if not issubclass(class_, kind) or inspect.isabstract(class_):
                continue
            if class_.__module__ != module.__name__ or not hasattr(class_, "name"):
                continue
            if class_.name in instances:
                raise RuntimeError(
                    f"two classes in {folder.__name__} are named {class_.name!r}: "
                    f"{type(instances[class_.name])} and {class_}; give one of them another name"
                )
            instances[class_.name] = class_()
    return tuple(instances[name] for name in sorted(instances))
