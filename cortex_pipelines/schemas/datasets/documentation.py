"""Tables of the documentation data set."""

from cortex_pipelines.schemas.datasets.examples import EXAMPLE, MANIFEST, split_tables

REQUEST = "What it does:"
"""The line after the code, in the prompt."""

DOCUMENTATION_DATASET = (
    *split_tables(
        "documentation_dataset", "One unit of code without its docstring, and the docstring's first paragraph", EXAMPLE
    ),
    MANIFEST,
)
