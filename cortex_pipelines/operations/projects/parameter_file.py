"""Edit ``params.yaml`` with comments, order and quotes kept."""

from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.representer import RoundTripRepresenter

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.versioning.parameters import FILE


class _Representer(RoundTripRepresenter):
    """A class of its own, or DVC's lock would be written with these words for null, too."""


def _null(representer: RoundTripRepresenter, _value: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _null)


def round_trip() -> YAML:
    """A YAML reader and writer that preserves every line, explicit ``null`` included."""
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.width = 4096
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def read_values(root: Path) -> Any:
    """What ``params.yaml`` of a project says."""
    return round_trip().load((root / FILE).read_text(encoding="utf-8"))


def write_values(root: Path, values: Any) -> None:
    """Replace ``params.yaml`` of a project in one step."""
    write_whole(root / FILE, as_text(values))


def as_text(values: Any) -> str:
    """The values as they would stand in the file."""
    text = StringIO()
    round_trip().dump(values, text)
    return text.getvalue()
