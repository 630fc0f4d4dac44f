"""Opening a released model for use."""

from cortex_pipelines.catalog import models
from cortex_pipelines.config import load_parameters
from cortex_pipelines.ingestion.coordination import logs_folder
from cortex_pipelines.release.ledger import champion
from cortex_pipelines.routing.opening import open_trained
from cortex_pipelines.routing.router import Router
from cortex_pipelines.routing.tasks import find_rules
from cortex_pipelines.versioning.opponent import model_folder
from cortex_pipelines.versioning.project import Project


def open_router(project: Project) -> Router:
    """The task router that is champion; the keyword rules as long as there is none.

    Raises:
        ProjectError: the champion's files are not to be had.
        RouterError: there is neither a champion nor a file of rules.
    """
    params = load_parameters(project.root)
    (model,) = [model for model in models(project) if model.asset == "task_router"]
    version = champion(project.root, model).champion
    if version is None:
        logs = logs_folder(params.coordination.logs, project.root)
        rules = find_rules(logs)
        fallback = params.routing.fallback_master
        return Router.from_rules(rules, fallback) if rules else Router(None, None, None, fallback)
    folder = model_folder(project, model.asset, None, version)
    return open_trained(folder, project.root)
