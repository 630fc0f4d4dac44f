"""``cortex init``: create a project in a folder of its own."""

import subprocess  # nosec B404
from collections.abc import Iterator
from pathlib import Path

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.catalog import open_project
from cortex_pipelines.release.ledger import ensure_keys, project_models
from cortex_pipelines.versioning.dvc import stages
from cortex_pipelines.versioning.merging import git_index
from cortex_pipelines.versioning.root import ProjectError

PARAMETERS = """\
# What differs from the profile. `cortex params` shows all values, where they come from and what
# they mean; `cortex add NAME SOURCE` adds a project.
profile: standard

projects: {}

general:
  project: null # one that stands for all other code: `cortex add --control NAME SOURCE`

coordination: # the agent system's logs; the router is trained on them
  logs: logs
  sample: false
"""
"""``params.yaml`` of a new project."""

_FILES = {
    "workspace.yaml": "load_from:\n  - python_module: cortex_pipelines.definitions\n",
    "Makefile": """\
export DAGSTER_HOME := $(CURDIR)/.dagster

.PHONY: run ui

run: ## make all that is stale
\tcortex run

ui: ## Dagster's user interface
\tdagster dev
""",
    ".gitignore": ".venv/\n__pycache__/\n.cortex/\n.dagster/*\n!.dagster/dagster.yaml\n.mlflow/\n",
    ".dvcignore": "__pycache__/\n.ipynb_checkpoints/\n.venv/\n.cortex/\n.dagster/\n.mlflow/\n",
    "data/.gitignore": "/*\n!.gitignore\n!/parameters/\n",
    "logs/README.md": "The agent system's logs go here: JSON and JSON lines, in any folders.\n",
}


def create_project(folder: Path, parameters: str = PARAMETERS) -> Iterator[str]:
    """Write a new project's files and set up git and DVC where missing.

    After an interruption the next call continues: ``dvc.yaml`` is written last.

    Yields:
        A message for each step.

    Raises:
        ProjectError: the folder is already a project.
    """
    if all((folder / name).exists() for name in ("params.yaml", "dvc.yaml")):
        raise ProjectError(f"{folder} is already a project; `cortex upgrade` migrates it to this version")
    folder.mkdir(parents=True, exist_ok=True)
    files = {"params.yaml": parameters, **_FILES}
    missing_files = [name for name in files if not (folder / name).exists()]
    for name in missing_files:
        write_whole(folder / name, files[name])
    yield f"{folder}: {', '.join(missing_files)}"
    if not _inside_git(folder):
        _run(folder, "git", "init", "--quiet")
        yield "git init"
    if not (folder / ".dvc").is_dir():
        has_own_repository = (folder / ".git").exists()
        _run(folder, "dvc", "init", "--quiet", *(() if has_own_repository else ("--subdir",)))
        for key, value in (
            ("core.analytics", "false"),
            ("core.autostage", "false"),
            ("cache.type", "hardlink,symlink,copy"),
        ):
            _run(folder, "dvc", "config", key, value)
        yield "dvc init"
    git_index.write_attributes(folder)
    if git_index.set_driver(folder):
        yield git_index.SET_UP
    project = open_project(folder)
    ensure_keys(folder, project_models(project))
    stages.write(project)
    yield "dvc.yaml"


def _inside_git(folder: Path) -> bool:
    command = ["git", "-C", str(folder), "rev-parse", "--is-inside-work-tree"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # nosec B603


def _run(folder: Path, *command: str) -> None:
    try:
        process = subprocess.run(  # nosec B603
            command, cwd=folder, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise ProjectError(f"{command[0]} is not installed; install it and try again") from error
    if process.returncode:
        raise ProjectError(f"`{' '.join(command)}` failed: {(process.stderr or process.stdout).strip()}")
