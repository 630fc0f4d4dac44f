"""Commands that run the gateway: keys, audit log, prompt templates, experiments."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Unpack, get_args

import click

from cortex_pipelines.cli.console import AS_JSON, AS_JSON_LIST, in_project, print_json, say
from cortex_pipelines.release.experiments.plan import ExperimentOptions, Metric
from cortex_pipelines.serving.security.access import DEFAULT_ROLE, ROLES, SCOPES
from cortex_pipelines.serving.security.keys import KeyRing
from cortex_pipelines.versioning.root import ProjectError, find_root, require_project

_DAYS = re.compile(r"([1-9]\d{0,4})d")


@click.group(epilog="Example: cortex keys create anna --role user --project shop --expires 90d")
def keys() -> None:
    """Create, list and revoke API keys for `cortex serve`."""


@keys.command(epilog="Example: cortex keys create anna --role user --project shop")
@click.argument("name")
@click.option(
    "--role", type=click.Choice(tuple(ROLES)), help=f"A set of scopes; without role and scopes {DEFAULT_ROLE}."
)
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(tuple(SCOPES)), help="Besides the role; several times."
)
@click.option("--project", "projects", multiple=True, help="Only models of this project; several times.")
@click.option("--model", "models", multiple=True, help="Only this model, such as shop@1.2.0; several times.")
@click.option("--expires", help="In how many days, such as 90d; by default never.")
def create(
    name: str,
    role: str | None,
    scopes: tuple[str, ...],
    projects: tuple[str, ...],
    models: tuple[str, ...],
    expires: str | None,
) -> None:
    """Make a key called NAME and print it; only its hash is kept."""
    lifetime = None
    if expires is not None:
        if (match := _DAYS.fullmatch(expires)) is None:
            raise click.BadParameter(f"{expires} is not a number of days such as 90d", None)
        lifetime = timedelta(days=int(match[1]))
    token = _ring().create(name, scopes, projects, lifetime, role or "", models)
    _warn_of_unknown_projects([*projects, *(model.partition("@")[0] for model in models if "@" in model)])
    say("this key is shown once; clients send it as `Authorization: Bearer KEY`")
    click.echo(token)


@keys.command("list", epilog="Example: cortex keys list")
def list_keys() -> None:
    """List the keys with role, scopes, projects, models and state; no key itself is kept."""
    current_time = datetime.now(UTC)
    for key in _ring().keys:
        models = ", ".join((*key.projects, *key.models)) or "all projects"
        until = f"until {key.expires}" if key.expires else "without end"
        permissions = ", ".join(filter(None, (key.role, *key.scopes)))
        click.echo(f"{key.name}: {key.state(current_time)}, {until}, {permissions}, {models}")


@keys.command(epilog="Example: cortex keys revoke ci")
@click.argument("name")
def revoke(name: str) -> None:
    """Let the key NAME count no longer; a gateway that runs knows it at the next request."""
    ring = _ring()
    ring.revoke(name)
    say(f"{name} is revoked")
    if not ring.usable:
        say("no key is valid now: `cortex keys create NAME` makes one, and until then only tokens of a provider count")


def _warn_of_unknown_projects(projects: list[str]) -> None:
    from cortex_pipelines.config import load_parameters

    try:
        existing = load_parameters(find_root()).projects
    except ProjectError:  # the key is for exported models
        return
    for name in dict.fromkeys(projects):
        if name not in existing:
            say(f"no project is called {name}, so the key opens nothing of it; there are {', '.join(existing)}")


def _ring() -> KeyRing:
    from cortex_pipelines.serving.open_gateway import served_root
    from cortex_pipelines.signing.keys import keys_folder

    root = served_root()
    if not (root / "params.yaml").is_file():
        say(f"not in a project: these keys, in {root}, are for `cortex serve --from`")
    return KeyRing(keys_folder(root))


@click.group(epilog="Example: cortex audit verify")
def audit() -> None:
    """Check the audit log of `cortex serve`."""


@audit.command(epilog="Example: cortex audit verify --head 5feceb66ffc8")
@click.option("--head", help="A hash that an earlier call printed and that has to be in the log.")
def verify(head: str | None) -> None:
    """Say whether the log is whole and, if not, where it breaks.

    Note the printed hash: with --head, a later call also detects removed lines at the end, or a replaced log.
    """
    from cortex_pipelines.serving.open_gateway import served_root
    from cortex_pipelines.serving.security.audit import FILE
    from cortex_pipelines.serving.security.audit import verify as verified

    path = served_root() / ".cortex" / "serving" / FILE
    if not path.exists():
        raise click.ClickException(f"no {path}: nobody has asked yet, or it was deleted")
    verification = verified(path, head)
    if verification.problem:
        raise click.ClickException(f"{path}: {verification.problem}; {verification.entries} entries before are whole")
    click.echo(f"{verification.entries} entries are whole, the last is {verification.head}")
    if verification.redacted:
        say(f"{verification.redacted} of them without who asked, by `cortex forget`, whose certificates say how many")
    if verification.unfinished:
        say("behind it is a line that a killed process left unfinished")


@click.command(epilog="Example: cortex prompts refactoring > prompts/refactoring.jinja")
@click.argument("name", required=False)
@click.option("--variant", help="Those of prompts/VARIANT, which an experiment may compare.")
@click.option("--register", is_flag=True, help="Enter all in MLflow's prompt registry.")
@AS_JSON
@in_project
def prompts(name: str | None, variant: str | None, register: bool, as_json: bool) -> None:
    """List the templates of prompts with their versions, or print that of NAME.

    A file `prompts/NAME.jinja` in the project replaces the package's. The gateway follows it
    from the next request on and names its version in the answer.
    """
    from cortex_pipelines.prompts.templates import PromptFileError, project_templates

    root = find_root()
    project_set = project_templates(root)
    templates = project_set.variant(variant) if variant else project_set
    numbers: dict[str, int] = {}
    if register:
        from cortex_pipelines.tracking.registry import register_templates

        numbers = register_templates(root, project_set)
    if name is not None:
        if name not in templates.by_name:
            raise PromptFileError(f"no template {name}; there is {', '.join(templates.by_name)}")
        click.echo(templates[name].text, nl=False)
        return
    rows = [{"name": each.name, "version": each.version, "from": each.origin} for each in templates.by_name.values()]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(f"{row['name']:<14}{row['version']}  {row['from']}")
    say(*(f"prompts:/{registered}/{number}" for registered, number in numbers.items()))


@click.group(epilog="Example: cortex experiment start shop champion base --share 0.5")
def experiment() -> None:
    """Compare two ways of answering a project on its requests (A/B, A/A)."""


@experiment.command(epilog="Example: cortex experiment start shop champion base --share 0.5")
@click.argument("project")
@click.argument("a")
@click.argument("b")
@click.option("--share", type=float, default=0.5, show_default=True, help="Share of users answered by B.")
@click.option(
    "--metric",
    type=click.Choice(get_args(Metric)),
    default="accepted",
    show_default=True,
    help="Share of requests to compare: answers accepted, or answered without failure.",
)
@click.option("--smallest", type=float, default=0.05, show_default=True, help="Smallest difference that matters.")
@click.option("--most-answers", type=int, default=20_000, show_default=True, help="Answers after which it always ends.")
@click.option(
    "--tolerance",
    type=float,
    default=0.02,
    show_default=True,
    help="Guardrail: share of failed, and of withheld, answers of B beyond those of A.",
)
@click.option("--slowest", type=float, help="Guardrail: seconds that 95 % of B's answers keep to.")
@click.option("--why", default="by hand", help="Reason, for the record.")
@in_project
def start(project: str, a: str, b: str, **terms: Unpack[ExperimentOptions]) -> None:
    """Divide the users of PROJECT between A and B from the next request on.

    A and B are `champion` or a release's number, either with `:base`, `:context`, `:adapter` or `:both` for another way
    than the released one; `base` or `context` is answered without an adapter. With `+NAME` at its end prompts are made
    by the templates in `prompts/NAME`. The same twice is an A/A test. Nothing is promoted at its end.
    """
    from cortex_pipelines.serving.project_catalogue import read_catalogue
    from cortex_pipelines.serving.rollout import start_experiment as begin

    root = find_root()
    plan = begin(root, read_catalogue(root).models, project, a, b, **terms)
    say(f"{plan.describe()}; `cortex experiment status {project}`")


@experiment.command(epilog="Example: cortex experiment status shop --json")
@click.argument("project", required=False)
@AS_JSON_LIST
@in_project
def status(project: str | None, as_json: bool) -> None:
    """Show all experiments, or those of PROJECT, with what they have shown; the oldest first."""
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.release.experiments import running

    root = find_root()
    entries = [
        running.experiment_state(root, entry)
        for entry in running.experiment_log(root).entries()
        if project in (None, entry.plan.project)
    ]
    if project is not None and not entries:
        require_project(project, load_parameters(root).projects)
    if as_json:
        print_json(entries)
        return
    click.echo("\n".join(map(_describe, entries)) or "no experiment yet; `cortex experiment start` begins one")


@experiment.command(epilog='Example: cortex experiment stop shop --why "seen enough"')
@click.argument("project")
@click.option("--why", "reason", default="by hand", help="Reason, for the record.")
@in_project
def stop(project: str, reason: str) -> None:
    """End the experiment of PROJECT and print what it showed; its champion answers again."""
    from cortex_pipelines.release.experiments import running

    root = find_root()
    entry = running.stop(root, project, reason)
    click.echo(_describe(running.experiment_state(root, entry)))


def _describe(state: dict[str, Any]) -> str:
    plan, arms, difference = state["plan"], state["arms"], state["difference"]
    lines = [f"{plan['id']}: {state['state']}" + (f", {state['reason']}" if state["reason"] else "")]
    for name in ("a", "b"):
        counts = arms[name]
        p95 = "" if counts["p95"] is None else f", 95 % within {counts['p95']:.2f} s"
        lines.append(
            f"  {name} {plan[name]}: {counts['users']} users, {counts['good']} of {counts['answers']} "
            f"{plan['metric']}, {counts['failed']} failed, {counts['withheld']} withheld{p95}"
        )
    lines.append(
        f"  b less a {difference['value']:+.1%} ({difference['low']:+.1%} to "
        f"{difference['high']:+.1%}, at every look), smallest that matters {plan['smallest']:.1%}"
    )
    return "\n".join(lines)
