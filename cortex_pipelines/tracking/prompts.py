"""Templates of prompts in MLflow's prompt registry."""

from pathlib import Path

from cortex_pipelines.prompts.templates import Template, Templates
from cortex_pipelines.tracking.store import open_client

_TAG = "template"
"""Tag of a prompt's version: the template's version, which answers name, too."""


def register_templates(root: Path, templates: Templates) -> dict[str, int]:
    """Enter each template, those of variants too, unless its content is there already; returns the registry's number
    of each.
    """
    templates_by_name = {f"prompt-{name}": template for name, template in templates.by_name.items()}
    for variant, changed in templates.variants.items():
        for name, template in changed.by_name.items():
            if template != templates[name]:
                templates_by_name[f"prompt-{name}-{variant}"] = template
    return {name: _number(root, name, template) for name, template in templates_by_name.items()}


def _number(root: Path, name: str, template: Template) -> int:
    client = open_client(root)
    if any(prompt.name == name for prompt in client.search_prompts(f"name = '{name}'")):
        for version in client.search_prompt_versions(name):
            if version.tags.get(_TAG) == template.version:
                return int(version.version)
    prompt_version = client.register_prompt(
        name, template.text, commit_message=f"{template} of {template.origin}", tags={_TAG: template.version}
    )
    return int(prompt_version.version)
