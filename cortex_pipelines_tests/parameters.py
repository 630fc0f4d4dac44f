"""The parameters of this repository, for tests that need a section as the project has it."""

import os
from pathlib import Path
from typing import Any

import yaml

from cortex_pipelines.config import resolve
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.versioning.parameters import SHARED

PROPERTY_STEPS = int(os.environ.get("CORTEX_PROPERTY_STEPS", "50"))
"""Examples of a property: few in `make test`, many on a build server (`make test STEPS=500`)."""

ROOT = Path(__file__).parents[1]
STANDARD = ROOT / "cortex_pipelines" / "profiles" / "standard.yaml"

EXTRACTION = ExtractionSettings(
    max_file_bytes=2_000_000, max_nesting=32, max_header_chars=400, max_repeated_bytes=100_000
)
"""Limits of parsing; what exceeds them is smaller than what exceeds the project's own."""


def load_cases(test_file: str) -> dict[str, Any]:
    """Inputs of a test module, by name: the YAML file beside it."""
    cases: dict[str, Any] = yaml.safe_load(Path(test_file).with_suffix(".yaml").read_text(encoding="utf-8"))
    return cases


def sections() -> dict[str, Any]:
    """Every section as plain values, as it holds for all projects."""
    return dict(resolve(ROOT).files[SHARED])


def whole_file() -> str:
    """A parameter file in which every value is written out, each on a line of its own."""
    project_values = (ROOT / "params.yaml").read_text(encoding="utf-8")
    projects = project_values[project_values.index("projects:") : project_values.index("general:")]
    text = f"profile: standard\n\n{projects}" + STANDARD.read_text(encoding="utf-8")
    return text.replace("project: null #", "project: polyglot #")
