"""What architecture facts can be told in ``params.yaml``."""

from cortex_pipelines.settings import Bytes, PositiveInt, Settings


class ArchitectureSettings(Settings):
    """Limits that keep a hostile or generated file from costing more than it is worth."""

    max_file_bytes: Bytes
    """Larger files of code, SQL and schemas state no facts, in bytes: they are data or dumps."""

    max_yaml_bytes: Bytes
    """Larger YAML files state no facts, in bytes: the safe parser reads 0.4 MB/s (measured)."""

    max_yaml_depth: PositiveInt
    """YAML is read down to this many levels; a Kubernetes manifest has some 12."""

    max_facts_per_file: PositiveInt
    """Most facts that one file may state; the first ones are kept."""

    max_evidence_chars: PositiveInt
    """Evidence and descriptions are cut here, in characters; the lines tell the whole span."""
