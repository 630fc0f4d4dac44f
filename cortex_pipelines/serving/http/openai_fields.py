"""Every field of OpenAI's requests, and what the gateway does with it.

A field that would change the answer is never ignored: it is supported, it has no effect on the answer, or it is refused
by name unless its value is the default behaviour. The reference in the documentation is generated from these rows.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from cortex_pipelines.serving.http.errors import RequestError

_EMPTY: tuple[Any, ...] = (None, [], {}, "")
"""Values that clients send for fields they leave out."""

Handling = Literal["supported", "no effect", "refused"]


@dataclass(frozen=True)
class RequestField:
    """A field of a request; ``neutral`` are values accepted besides null although the field is refused."""

    name: str
    handling: Handling
    note: str
    neutral: tuple[Any, ...] = ()

    def accepts(self, value: Any) -> bool:
        """Whether the answer would be the same without the field."""
        if self.handling != "refused" or value is None:
            return True
        return any(type(value) is type(each) and value == each for each in self.neutral)

    @property
    def advice(self) -> str:
        if not self.neutral:
            return f"leave {self.name} out"
        values = " or ".join(json.dumps(value) for value in self.neutral)
        return f"leave {self.name} out, or send {values}"


_TABLES = tomllib.loads((Path(__file__).parent / "openai_fields.toml").read_text(encoding="utf-8"))
FIELDS: Final[dict[str, tuple[RequestField, ...]]] = {
    table: tuple(RequestField(name, kind, note, tuple(neutral)) for name, (kind, note, *neutral) in rows.items())
    for table, rows in _TABLES.items()
}
for _table in ("completions", "chats"):
    FIELDS[_table] += FIELDS["generation"]


def require_supported(
    body: Mapping[str, Any], fields: Iterable[RequestField], allowed_names: Iterable[str] | None
) -> None:
    """RequestError for a field that changes the answer, or is unknown; unless ``allowed_names`` is None."""
    rows = {field.name: field for field in fields}
    names = None if allowed_names is None else set(allowed_names)
    for name, value in body.items():
        row = rows.get(name)
        if row is not None and not row.accepts(value):
            raise RequestError(
                f"{name}: not supported with this value ({row.note}); {row.advice}", name, code="unsupported_parameter"
            )
        unknown = row is None and names is not None and name not in names
        if unknown and value not in _EMPTY:
            short_name = name[:100]
            raise RequestError(
                f"{short_name}: not a parameter of this request; leave it out", short_name, code="unknown_parameter"
            )
