"""Tables of the naming data set."""

from cortex_pipelines.schemas.datasets.examples import EXAMPLE, MANIFEST, split_tables

NAMING_DATASET = (*split_tables("naming_dataset", "One name to find, masked at every occurrence", EXAMPLE), MANIFEST)
