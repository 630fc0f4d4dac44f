"""Edit ``params.yaml`` with comments, order and quotes kept."""

from typing import Any

from ruamel.yaml import YAML


def round_trip() -> YAML:
    """A YAML reader and writer that preserves every line, explicit ``null`` included."""
    yaml = YAML()
    yaml.width = 4096
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), _null)
    return yaml


def _null(representer: Any, _value: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")
