"""Entry point for Dagster."""

from cortex_pipelines.orchestration.location import open_location
from cortex_pipelines.versioning.dagster.instance import TRAINING
from cortex_pipelines.versioning.project import ProjectError, find_root

try:
    defs = open_location(find_root(), TRAINING)[1]
except ProjectError as error:
    # Dagster shows the whole chain: of a wrong parameter the sentence alone is of use
    raise ProjectError(str(error)) from None
