"""Access fields of a JSON record."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST_LABEL = 200
"""Characters of a label that are kept: labels are words such as ``stuck``, not texts."""


def attempt_id(task_id: str | None, text: str | None, master: str | None) -> str | None:
    """Hash shared by the records of one task at one master.

    None where they cannot be told to belong together: no master, or neither id nor text.
    """
    task = task_id or (" ".join(text.casefold().split()) if text else None)
    if task is None or master is None:
        return None
    kind = "id" if task_id else "text"
    return hashlib.sha256(json.dumps([kind, task, master]).encode()).hexdigest()


def value_at(record: Mapping[str, Any], dotted: str) -> Any:
    node: Any = record
    for part in dotted.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def first_text(record: Mapping[str, Any], paths: Sequence[str]) -> str | None:
    texts = (value_at(record, path) for path in paths)
    return next((text for text in texts if isinstance(text, str) and text.strip()), None)


def first_number(record: Mapping[str, Any], paths: Sequence[str]) -> float | None:
    numbers = (number(value_at(record, path)) for path in paths)
    return next((value for value in numbers if value is not None), None)


def number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        parsed = float(value)
    except OverflowError:
        return None
    return parsed if math.isfinite(parsed) else None


def leaves(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of each field; a list is one value, an empty object has none."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def number_or_label(value: Any) -> tuple[float | None, str | None]:
    """A field as a number or else as a label; booleans are 1 or 0."""
    if isinstance(value, bool):
        return float(value), None
    quantity = number(value)
    if quantity is not None or value is None:
        return quantity, None
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return None, text.encode("utf-8", "replace").decode("utf-8")[:MOST_LABEL]
