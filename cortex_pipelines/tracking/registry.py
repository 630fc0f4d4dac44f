"""The registries of models and prompts, written by releases and promotions, never read by assets."""

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cortex_pipelines.release.ledger import ReleasedModel
from cortex_pipelines.release.promotion import model_roles, verdict_folder
from cortex_pipelines.tracking.experiments import get_run
from cortex_pipelines.tracking.model_versions import (
    ASSET,
    DIGEST,
    LOCKS,
    PARTITION,
    complete_tags,
    enter_version,
    find_version,
    model_of,
    restore_version,
)
from cortex_pipelines.tracking.recorded_versions import recorded_aliases, recorded_model
from cortex_pipelines.tracking.store import open_client
from cortex_pipelines.versioning.champions import model_name
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.materialise import Version
from cortex_pipelines.versioning.project import Project, ProjectError, Stage

if TYPE_CHECKING:
    from cortex_pipelines.prompts.templates import Templates

CHALLENGER, CANARY, CHAMPION = "challenger", "canary", "champion"
_ALIASES = (CHALLENGER, CANARY, CHAMPION)
_GAIN = ("improvement", "improvement_low", "improvement_high")
"""Figures of a verdict that become tags: the gain over the reference, with its interval."""
_LOG = logging.getLogger("cortex_pipelines")


def register(stage: Stage, version: Version, run_id: str) -> str:
    """Register a model with what reproduces it, or give it a new verdict; the version's number in the registry."""
    project, partition, model = stage.project, stage.partition, str(stage.asset.registers)
    name = model_name(model, partition)
    verdict = read_json(stage.output / "verdict.json")
    md5 = str(verdict["model_version"])
    client = open_client(project.root)
    number = enter_version(project, ReleasedModel(model, partition), md5, run_id)
    tags = {ASSET: model, PARTITION: partition or ""} | _verdict_tags(verdict, version.value)
    _set_tags(client, name, number, tags)
    client.update_model_version(name, number, f"{str(verdict['verdict']).capitalize()}: {verdict['reason']}")
    client.set_registered_model_alias(name, CHALLENGER, number)
    return number


def _verdict_tags(verdict: Mapping[str, Any], release: str) -> dict[str, str]:
    figures = verdict["figures"]
    return {
        "verdict": str(verdict["verdict"]),
        "reason": str(verdict["reason"]),
        "release_md5": release,
        **{name: f"{figures[name]:.4g}" for name in _GAIN if name in figures},
    }


def evolution(project: Project, model: ReleasedModel) -> Iterator[tuple[str, str, str, str, str]]:
    """The registered versions of a model, the newest first. Yields name with number, when it was registered (ISO 8601
    in UTC), the version that its training continued from, its gain over what it was compared with (with the interval),
    and what became of it: its stage, or else the gate's verdict.
    """
    client = open_client(project.root)
    versions = client.search_model_versions(f"name = '{model.name}'")
    for version in sorted(versions, key=lambda version: -int(version.version)):
        tags = dict(version.tags)
        registered_at = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
        gain, *ends = (tags.get(name, "–") for name in _GAIN)
        yield (
            f"{model.name}/{version.version}",
            registered_at.isoformat(timespec="seconds"),
            tags.get("parent", "–"),
            f"{gain} ({' to '.join(ends)})",
            tags.get("stage") or tags.get("verdict", "–"),
        )


def follow_ledger(project: Project, model: ReleasedModel) -> int:
    """Set aliases and tags from releases.lock and the newest verdict.

    Every released version has the tags ``semantic_version`` and ``stage``: ``champion``, ``canary``, or ``archived``.
    Versions that have an alias are restored if they were deleted. Returns how many aliases moved.
    """
    ledger_roles = model_roles(project.root, model)
    numbers: dict[str | None, str | None] = {None: None}
    for md5 in filter(None, dict.fromkeys(ledger_roles[alias] for alias in _ALIASES)):
        try:
            numbers[md5] = restore_version(project, model, md5)
        except ProjectError as error:
            _LOG.warning("MLflow's registry cannot hold %s: %s", model.name, error)
            numbers[md5] = find_version(project, model.name, md5)
    roles = {alias: numbers[ledger_roles[alias]] for alias in _ALIASES}
    challenger = roles.pop(CHALLENGER)
    if challenger:  # else not judged here, but perhaps elsewhere
        roles[CHALLENGER] = challenger
        folder = verdict_folder(project.root, model)
        tags = _verdict_tags(read_json(folder / "verdict.json"), str(content_md5(folder)))
        if not tags.keys() <= open_client(project.root).get_model_version(model.name, challenger).tags.keys():
            _set_tags(open_client(project.root), model.name, challenger, tags)
    client, moved_aliases = open_client(project.root), 0
    aliases = _aliases(project, model.name)
    for alias, number in roles.items():
        if aliases.get(alias) != number:
            moved_aliases += 1
            if number is None:
                client.delete_registered_model_alias(model.name, alias)
            else:
                client.set_registered_model_alias(model.name, alias, number)
    stages = dict.fromkeys(ledger_roles["numbers"], "archived")
    stages |= {ledger_roles[alias]: alias for alias in (CANARY, CHAMPION) if ledger_roles[alias]}
    for version, stage in stages.items():
        number = find_version(project, model.name, version)
        if number is not None:  # else released elsewhere, or its files are gone
            tags = {"stage": stage, "semantic_version": ledger_roles["numbers"].get(version, "")}
            _set_tags(client, model.name, number, tags)
    return moved_aliases


def _set_tags(client: Any, name: str, number: str, tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        client.set_model_version_tag(name, number, key, value)


def resolve(project: Project, reference: str) -> tuple[str, str, dict[str, str]]:
    """Find a model version by ``MODEL``, ``MODEL@ALIAS``, ``MODEL/NUMBER`` or ``MODEL/1.0.0``.

    Without alias or number: the champion if there is one, else the challenger. Returns name, number and tags. Raises
    LookupError: unknown model, alias or version; names the existing ones.
    """
    name, _, alias = reference.partition("@")
    name, _, requested = (name, "", "") if alias else name.partition("/")
    if recorded := _recorded(project, name, alias, requested):
        return recorded
    client = open_client(project.root)
    number: str | None = requested
    if number and not re.fullmatch(r"\d+(\.\d+\.\d+)?", number):
        raise LookupError(f"{reference}: a version is a number, as in {name}/1, {name}/1.0.0 or {name}@champion")
    model_names = sorted(model.name for model in client.search_registered_models())
    if name not in model_names:
        raise LookupError(
            f"no model {name} in the registry; models: {', '.join(model_names) or 'none yet'}"
            f"{_remedy(project, name, None)}"
        )
    if not number:
        aliases = [alias] if alias else [CHAMPION, CHALLENGER]
        numbers = _aliases(project, name)
        number = next((numbers[each] for each in aliases if each in numbers), None)
        if number is None:
            raise LookupError(
                f"model {name} has no version named {' or '.join(aliases)}{_remedy(project, name, aliases)}"
            )
    version_filter = f"version_number = {int(number)}" if number.isdigit() else f"tags.semantic_version = '{number}'"
    versions = client.search_model_versions(f"name = '{name}' and {version_filter}")
    if not versions:
        raise LookupError(f"model {name} has no version {number}")
    return name, str(versions[0].version), complete_tags(project, versions[0])


def _recorded(project: Project, name: str, alias: str, number: str) -> tuple[str, str, dict[str, str]] | None:
    """As ``resolve`` answers, from the project's own database; None if MLflow has to be asked."""
    if not number:
        aliases = recorded_aliases(project.root, name) or {}
        number = next((aliases[each] for each in ([alias] if alias else [CHAMPION, CHALLENGER]) if each in aliases), "")
    tags = recorded_model(project.root, name, number) if number.isdigit() else {}
    return (name, number, tags) if {DIGEST, ASSET, PARTITION} <= tags.keys() else None


def _remedy(project: Project, name: str, aliases: Collection[str] | None) -> str:
    """The command that enters a version again, if the ledger or a verdict names one."""
    model = model_of(project, name)
    roles: Mapping[str, Any] = model_roles(project.root, model) if model else {}
    if any(roles.get(alias) for alias in aliases or _ALIASES):
        return "; `cortex sync` enters again what releases.lock and the verdicts name"
    return ""


def locks_of(project: Project, name: str, number: str) -> dict[str, str]:
    """Text of a version's ``params.yaml``, ``sources.lock`` and ``dvc.lock``, where stored."""
    client = open_client(project.root)
    run = get_run(project.root, str(client.get_model_version(name, number).run_id))
    if run is None:
        return {}
    run_id = str(run.info.run_id)
    artifact_paths = {file.path for file in client.list_artifacts(run_id)}
    with TemporaryDirectory() as scratch:
        return {
            lock: Path(client.download_artifacts(run_id, lock, scratch)).read_text(encoding="utf-8")
            for lock in LOCKS
            if lock in artifact_paths
        }


def registered(project: Project, name: str) -> dict[str, str | None]:
    numbers = _aliases(project, name)
    return {f"{alias}_number": numbers.get(alias) for alias in _ALIASES}


def _aliases(project: Project, name: str) -> dict[str, str]:
    """Number of the version behind each alias of a registered model."""
    recorded = recorded_aliases(project.root, name)  # in no time, where MLflow's client takes 10 ms
    if recorded is not None:
        return recorded
    models = open_client(project.root).search_registered_models(f"name = '{name}'")
    return {alias: str(number) for alias, number in models[0].aliases.items()} if models else {}


_TAG = "template"  # tag of a prompt's version: the template's version, which answers name, too


def register_templates(root: Path, templates: "Templates") -> dict[str, int]:
    """Enter each template, variants' too, unless its content is there; returns the registry's number of each."""
    client, numbers = open_client(root), {}
    templates_by_name = {f"prompt-{name}": template for name, template in templates.by_name.items()}
    for variant, changed in templates.variants.items():
        for name, template in changed.by_name.items():
            if template != templates[name]:
                templates_by_name[f"prompt-{name}-{variant}"] = template
    for name, template in templates_by_name.items():
        is_known = any(prompt.name == name for prompt in client.search_prompts(f"name = '{name}'"))
        versions = client.search_prompt_versions(name) if is_known else ()
        number = next((entry.version for entry in versions if entry.tags.get(_TAG) == template.version), None)
        if number is None:
            message = f"{template} of {template.origin}"
            tags = {_TAG: template.version}
            number = client.register_prompt(name, template.text, commit_message=message, tags=tags).version
        numbers[name] = int(number)
    return numbers
