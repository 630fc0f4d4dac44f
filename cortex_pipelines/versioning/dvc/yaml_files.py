"""Read and write YAML and JSON files of a project."""

import copy
import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.versioning.dvc.yaml_text import YamlTextError, parse_yaml
from cortex_pipelines.versioning.root import ProjectError


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML 1.2 mapping as DVC does; a missing file is empty. Raises ProjectError: the file cannot be parsed
    or is not a mapping; names file, line and column.
    """
    return copy.deepcopy(peek_yaml(path))


def peek_yaml(path: Path) -> dict[str, Any]:
    """``read_yaml`` for read-only use: the values are cached."""
    if not path.exists():
        return {}
    try:
        loaded = parse_yaml(path.read_bytes(), path.name)
    except YamlTextError as error:
        raise ProjectError(str(error)) from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ProjectError(
            f"{path.name}: expected keys and values at the top, found {type(loaded).__name__}; write `key: value` lines"
        )
    return loaded


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    write_whole(path, yaml_text(value))


def yaml_text(value: Mapping[str, Any], width: int | None = None) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = width
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = StringIO()
    yaml.dump(dict(value), text)
    return text.getvalue()


def look_up(values: Mapping[str, Any], dotted: str) -> Any:
    value: Any = values
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def read_values(path: Path) -> dict[str, Any]:
    """Read JSON or YAML by file name, for read-only use; a missing file is empty. Raises ProjectError: the file
    cannot be parsed.
    """
    if path.suffix != ".json":
        return peek_yaml(path)
    try:
        return dict(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ProjectError(f"{path.name} cannot be read: {error}; `cortex params --write` rewrites it") from error
