"""Formats of settings files: found by listing their folder."""

import importlib
import pkgutil
from types import ModuleType

from cortex_pipelines.privacy.detect.settings.format import SettingsFormat


def formats_in(folder: ModuleType) -> tuple[SettingsFormat, ...]:
    """``FORMAT`` of each module in a package, sorted by module."""
    modules = sorted(info.name for info in pkgutil.iter_modules(folder.__path__))
    loaded = (importlib.import_module(f"{folder.__name__}.{name}") for name in modules)
    formats: list[SettingsFormat] = [module.FORMAT for module in loaded]
    return tuple(formats)
