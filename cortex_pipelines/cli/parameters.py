"""Parameters of commands that work on any file or folder, inside a project or not."""

from pathlib import Path

import cortex_pipelines
from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.versioning.root import ProjectError, find_root


def parameters_here() -> Parameters:
    """The parameters of the project around the working folder, else those that ship beside us.

    Raises:
        ProjectError: neither is there, or params.yaml is wrong.
    """
    try:
        root = find_root()
    except ProjectError:
        root = Path(cortex_pipelines.__file__).resolve().parents[1]
        if not (root / "params.yaml").is_file():
            raise
    return load_parameters(root)
