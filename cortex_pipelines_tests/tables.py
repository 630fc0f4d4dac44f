"""Tables of cases beside the tests that read them."""

from pathlib import Path
from typing import Any

import yaml


def tables_of(test_file: str) -> Any:
    """The tables of ``test_NAME.py``, from ``NAME.yaml``, by name."""
    path = Path(test_file)
    return yaml.safe_load(path.with_name(f"{path.stem.removeprefix('test_')}.yaml").read_text(encoding="utf-8"))
