"""Settings of architecture extraction in ``params.yaml``."""

from cortex_pipelines.settings import Bytes, PositiveInt, Settings


class ArchitectureSettings(Settings):
    """Limits that bound the cost of hostile or generated files."""

    max_file_bytes: Bytes
    """Larger files of code, SQL and schemas are skipped, in bytes: they are data or dumps."""

    max_yaml_bytes: Bytes
    """Larger YAML files are skipped, in bytes: the safe parser reads 0.4 MB/s (measured)."""

    max_yaml_depth: PositiveInt
    """YAML is read down to this many levels; a Kubernetes manifest has some 12."""

    max_facts_per_file: PositiveInt
    """Most facts of one file; the first ones are kept."""

    max_evidence_chars: PositiveInt
    """Evidence and descriptions are truncated to so many characters; the lines give the span."""
