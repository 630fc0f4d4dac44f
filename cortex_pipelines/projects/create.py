"""``cortex init`` and ``cortex add``: create a project, add sources to its ``params.yaml``."""

import subprocess  # nosec B404
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any
from urllib.parse import unquote

from cortex_pipelines.atomic import atomic_file, write_whole
from cortex_pipelines.catalog import open_project, project_name_refusal
from cortex_pipelines.config import load_parameters
from cortex_pipelines.ingestion.project_sources import parse_source
from cortex_pipelines.projects.parameter_file import read_values, to_yaml
from cortex_pipelines.projects.update_pins import add_author_tombstones, pin_sources
from cortex_pipelines.release.ledger import ensure_keys, project_models
from cortex_pipelines.settings import PROJECT_NAME, PROJECT_NAME_WORDS
from cortex_pipelines.versioning.dvc import stages
from cortex_pipelines.versioning.dvc.stages import follow_projects
from cortex_pipelines.versioning.merging import git_merge
from cortex_pipelines.versioning.parameters import DEMO, STANDARD
from cortex_pipelines.versioning.root import ProjectError

PARAMETERS = """\
# What differs from the profile. `cortex params` shows all values, where they come from and what
# they mean; `cortex add NAME SOURCE` adds a project.
profile: standard

projects: {}

general:
  project: null # the control, which represents all other code: `cortex add --control NAME SOURCE`

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

ui: ## Dagster on port 3000 and MLflow on port 5000
\tcortex sync
\tMLFLOW_TRACKING_URI="$${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/.mlflow/mlflow.db}" \\
\t\tMLFLOW_DISABLE_TELEMETRY=true uvicorn mlflow.server.fastapi_app:app --log-level warning --port 5000 & \\
\ttrap "kill $$!" EXIT INT TERM; dagster dev --port 3000
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
        ProjectError: the folder is already a project or its path unusable, or git or DVC is missing.
    """
    _require_room(folder)
    path = folder.resolve()
    if "?" in str(path) or unquote(str(path)) != str(path):
        raise ProjectError(f"{path}: no folder of a database's path may have ? or an escape such as %20 in its name")
    package = Path(__file__).parents[2]
    if (package / "dvc.yaml").is_file() and path.is_relative_to(package):
        raise ProjectError(f"{path} is in the repository of this package, {package}; a project is a folder elsewhere")
    for program in ("git", "dvc"):
        if which(program) is None:
            raise ProjectError(f"{program} is not installed; install it and try again")
    folder.mkdir(parents=True, exist_ok=True)
    files = {"params.yaml": parameters, **_FILES}
    missing_files = [name for name in files if not (folder / name).exists()]
    for name in missing_files:
        write_whole(folder / name, files[name])
    yield f"{folder}: {', '.join(missing_files)}"
    for name in (name for name in files if name.endswith("ignore") and name not in missing_files):
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        if added := [line for line in files[name].splitlines() if line not in lines]:
            write_whole(folder / name, "\n".join([*lines, *added, ""]))
            yield f"{name}: {' '.join(added)}"
    if not git_merge.is_repository(folder):
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
    git_merge.write_attributes(folder)
    if git_merge.set_driver(folder):
        yield git_merge.SET_UP
    project = open_project(folder)
    ensure_keys(folder, project_models(project))
    stages.write(project)
    yield "dvc.yaml"


def _require_room(folder: Path) -> None:
    """Check that a folder holds nothing that a project's files would replace or be mixed up with."""
    pipeline, parameters = folder / "dvc.yaml", folder / "params.yaml"
    remedy = f"name another folder, such as {folder / 'models'}"
    if pipeline.exists() and not pipeline.read_text("utf-8", "replace").startswith(stages.HEADER):
        raise ProjectError(f"{pipeline} is a pipeline of your own, which a project would replace; {remedy}")
    if parameters.exists():
        if pipeline.exists():
            raise ProjectError(f"{folder} is already a project")
        try:
            load_parameters(folder)
        except ProjectError as error:
            raise ProjectError(f"{parameters} is not a project's ({error}); {remedy}") from error


def _run(folder: Path, *command: str) -> None:
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # nosec B603
    if process.returncode:
        raise ProjectError(f"`{' '.join(command)}` failed: {(process.stderr or process.stdout).strip()}")


_PACKAGE = __name__.partition(".")[0]


def add_project(root: Path, name: str, source: str, control: bool = False) -> dict[str, Any]:
    """Add a project with one source, or one more source to a project, pin it, and return its entry; ProjectError."""
    if not PROJECT_NAME.fullmatch(name):
        raise ProjectError(f"project name {name!r}: {PROJECT_NAME_WORDS}")
    if refusal := project_name_refusal(name):
        raise ProjectError(refusal)
    load_parameters(root)  # report existing errors before anything changes
    entry = parse_source(source, root)
    values = read_values(root)
    projects = values.get("projects") or {}
    if control:
        general = values.setdefault("general", {})
        other = general.get("project")
        if other not in (None, name):
            raise ProjectError(
                f"general.project is {other} already; to make {name} the control, write "
                f"`general: {{project: {name}}}` to params.yaml"
            )
        general["project"] = name
    new: dict[str, Any] = {"sources": []}
    if values.get("profile", STANDARD) == DEMO and (root / _PACKAGE).is_dir():
        new = {"profile": STANDARD} | new  # in this repository the demo's limits are meant for its own projects
    sources = projects.setdefault(name, new)["sources"]
    if entry in sources:
        raise ProjectError(f"projects.{name} already has the source: {source}")
    sources.append(entry)
    values["projects"] = projects
    with atomic_file(root / "params.yaml") as scratch:
        scratch.write_text(to_yaml(values), encoding="utf-8")
        # a project that cannot be pinned is not added; a pin without a project is harmless
        pin_sources(root, name, load_parameters(root, scratch))
    add_author_tombstones(root)
    project = open_project(root)
    ensure_keys(root, project_models(project))
    follow_projects(project)
    return dict(entry)
