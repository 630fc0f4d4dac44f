"""What architecture facts can be told in ``params.yaml``."""

from pydantic import Field

from cortex_pipelines.settings import Settings


class ArchitectureSettings(Settings):
    """Limits that keep a hostile or generated file from costing more than it is worth."""

    max_file_bytes: int = Field(ge=1)
    """Larger files of code, SQL and schemas state no facts, in bytes: they are data or dumps."""

    max_yaml_bytes: int = Field(ge=1)
    """Larger YAML files state no facts, in bytes: the safe parser reads 0.4 MB/s (measured)."""

    max_yaml_depth: int = Field(ge=1)
    """YAML is read down to this many levels; a Kubernetes manifest has some 12."""

    max_facts_per_file: int = Field(ge=1)
    """Most facts that one file may state; the first ones are kept."""

    max_evidence_chars: int = Field(ge=1)
    """Evidence and descriptions are cut here, in characters; the lines tell the whole span."""
