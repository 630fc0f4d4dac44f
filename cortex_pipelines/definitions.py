"""The one place where Dagster sees everything."""

from cortex_pipelines.orchestration.location import open_location
from cortex_pipelines.versioning.project import find_root

defs = open_location(find_root())[1]
