"""Read and write YAML and JSON files of a project, with errors by line, key and value."""

import copy
import difflib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from io import StringIO
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.settings import UnquotedError
from cortex_pipelines.versioning.dvc.quick_yaml import parsed_lock, parsed_quickly
from cortex_pipelines.versioning.merging.conflicts import Conflict, marker_line
from cortex_pipelines.versioning.root import ProjectError

LARGEST = 64 * 2**20  # size limit of a YAML file, in bytes; a lock file of ten thousand stages has a tenth of that
_DEEPEST = 60
_SHOWN = 80
_NAMED = 5
_ALIASES = "write the values out instead of repeating them by aliases (&name, *name)"
_NESTING = f"nested deeper than {_DEEPEST} levels; no file of a project needs more than ten"

_TAKES = {
    "missing": "add it, with a value",
    "extra_forbidden": "take it out, or correct its name",
    "int_type": "give a whole number, without quotes",
    "int_from_float": "give a whole number",
    "float_type": "give a number, without quotes",
    "string_type": "give a text, in quotes where it looks like a number or a date",
    "bool_type": "give true or false, without quotes",
    "greater_than": "give more than {gt}",
    "greater_than_equal": "give {ge} or more",
    "less_than": "give less than {lt}",
    "less_than_equal": "give {le} or less",
    "string_too_short": "give at least {min_length} characters",
    "string_too_long": "give at most {max_length} characters",
    "literal_error": "give {expected}",
    "finite_number": "give a number that is not .inf and not .nan",
    "tuple_type": "give a list: [a, b]",
    "list_type": "give a list: [a, b]",
    "dict_type": "give keys and values",
    "model_type": "give keys and values",
}


class YamlTextError(ValueError):
    """Invalid YAML; the message gives file, line, problem and remedy."""

    def __init__(self, name: str, words: str, line: int | None = None) -> None:
        line_prefix = f" line {line}:" if line is not None else ""
        super().__init__(f"{name} cannot be read:{line_prefix} {words}")


def parse_yaml(data: bytes, name: str) -> Any:
    """Parse YAML 1.2 into plain values, which are cached and must not be changed; raises YamlTextError."""
    if len(data) > LARGEST:
        raise YamlTextError(name, f"it has {len(data):,} bytes; at most {LARGEST:,} are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise YamlTextError(name, "it is not UTF-8; save it as UTF-8", line) from error
    try:
        return _parsed(text, name)
    except YamlTextError as error:
        if (marker := marker_line(data)) is None:
            raise
        raise YamlTextError(
            name, f"conflict markers of a git merge; {Conflict(name, marker).remedy}", marker
        ) from error


@lru_cache(maxsize=8)
def _parsed(text: str, name: str) -> Any:
    """A YAML text as plain values; copying is far cheaper than parsing."""
    try:
        loaded = parsed_lock(text) or parsed_quickly(text) or YAML(typ="safe").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        if isinstance(error, DuplicateKeyError):
            raise YamlTextError(name, f"{_one_line(error.problem)}; leave one of the two out", line) from error
        words = _one_line(" ".join(filter(None, (error.context, error.problem))))
        hint = "; indent with spaces" if "\\t" in words or "tab" in words else ""
        raise YamlTextError(name, f"{words}{hint}; correct that line", line) from error
    except RecursionError as error:
        raise YamlTextError(name, f"it is {_NESTING}") from error
    except (YAMLError, ValueError, TypeError, OverflowError) as error:
        raise YamlTextError(name, f"{_one_line(error)}; correct that value") from error
    # aliases allow values larger than their text, or endless ones
    remaining = 4 * len(text) + 1000
    waiting = [(loaded, 0)]
    while waiting:
        node, depth = waiting.pop()
        inside: Sequence[Any] = ()
        if isinstance(node, Mapping):
            inside = [*node.keys(), *node.values()]
        elif isinstance(node, (list, set, tuple)):
            inside = list(node)
        remaining -= 1 + len(inside)
        if remaining < 0:
            raise YamlTextError(name, f"it grows far beyond its own size; {_ALIASES}")
        if depth > _DEEPEST:
            raise YamlTextError(name, f"it is {_NESTING}")
        waiting.extend((part, depth + 1) for part in inside)
    return loaded


def describe_errors(error: ValidationError, text: str, model: type[BaseModel], *prefix: str) -> str:
    """Describe validation errors: line, value and expected type of each key."""
    tree = _syntax_tree(text)
    phrases = []
    for item in error.errors(include_url=False)[:_NAMED]:
        loc = [part for part in item["loc"] if part != "[key]"]
        key = ".".join([*prefix, *(_short(part, as_text=str) for part in loc)])
        line = _line_of(tree, [*prefix, *loc])
        line_prefix = f"line {line}: " if line is not None else ""
        words = item["msg"].removeprefix("Value error, ")
        # of a key that is missing, what is found is all that stands around it
        has_value = item["type"] != "missing" or isinstance(loc[-1], int)
        has_value &= not isinstance(item.get("ctx", {}).get("error"), UnquotedError)
        value = f" (found {_short(item['input'])})" if has_value else ""
        phrases.append(f"{line_prefix}{key}: {words}{value}; {_remedy(item, loc, model)}")
    more = error.error_count() - len(phrases)
    return "; ".join(phrases) + (f"; and {more} more" if more > 0 else "")


def _syntax_tree(text: str) -> Node | None:
    try:
        return YAML().compose(text)  # type: ignore[no-any-return]
    except (YAMLError, RecursionError):
        return None  # lines are a help, no more


def lines_of(text: str) -> dict[tuple[str, ...], int]:
    lines: dict[tuple[str, ...], int] = {}
    waiting: list[tuple[tuple[str, ...], Node | None]] = [((), _syntax_tree(text))]
    while waiting:
        above, tree = waiting.pop()
        for key, value in tree.value if isinstance(tree, MappingNode) else ():
            keys = (*above, str(key.value))
            lines[keys] = key.start_mark.line + 1
            waiting.append((keys, value))
    return lines


def _remedy(item: ErrorDetails, loc: Sequence[int | str], model: type[BaseModel]) -> str:
    if item["type"] == "extra_forbidden":
        suggestions = difflib.get_close_matches(str(loc[-1]), _siblings(model, loc), 1)
        if suggestions:
            return f"did you mean {suggestions[0]}?"
        if len(loc) > 1 and str(loc[-1]) in model.model_fields:
            return "set it for all projects, at the top of params.yaml"
    return _TAKES.get(item["type"], "correct that value").format(**item.get("ctx", {}))


def _siblings(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """Keys allowed beside the last one, by the models."""
    inside: Any = model
    for part in loc[:-1]:
        if get_origin(inside) is dict:
            inside = get_args(inside)[1]
        elif _is_model(inside) and str(part) in inside.model_fields:
            inside = inside.model_fields[str(part)].annotation
        else:
            return []
        inside = (
            next(filter(_is_model, get_args(inside)), inside) if get_origin(inside) in (Union, UnionType) else inside
        )
    return list(inside.model_fields) if _is_model(inside) else []


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _line_of(tree: Node | None, keys: Sequence[int | str]) -> int | None:
    line = None
    for key in keys:
        if isinstance(tree, MappingNode):
            pair = next((p for p in tree.value if p[0].value == str(key)), None)
            if pair is not None:
                line, tree = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(tree, SequenceNode) and isinstance(key, int) and key < len(tree.value):
            tree = tree.value[key]
            line = tree.start_mark.line + 1
    return line


def _one_line(text: Any) -> str:
    return _short(" ".join(str(text).split()), 3 * _SHOWN, str)


def _short(value: Any, most: int = _SHOWN, as_text: Any = repr) -> str:
    text = str(as_text(value))
    return text if len(text) <= most else f"{text[: most - 3]}..."


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML 1.2 mapping as DVC does; a missing file is empty. ProjectError names file, line and column."""
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
    """Read JSON or YAML by file name, for read-only use; a missing file is empty. Raises ProjectError."""
    if path.suffix != ".json":
        return peek_yaml(path)
    try:
        return dict(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ProjectError(f"{path.name} cannot be read: {error}; `cortex params --write` rewrites it") from error


def read_json(path: Path) -> dict[str, Any]:
    loaded = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return loaded if isinstance(loaded, dict) else {}
