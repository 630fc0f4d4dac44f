"""Prompt templates: Jinja2 files, versioned by their content.

The package has one for each use. A project's file ``prompts/NAME.jinja`` overrides the package's,
and ``prompts/VARIANT/NAME.jinja`` overrides both in an experiment that compares that variant.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Template as Compiled
from jinja2 import TemplateError, meta
from jinja2.runtime import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

FOLDER = "prompts"
_ENDING = ".jinja"
_PACKAGE = Path(__file__).parent / "package"
_DIGITS = 12

# a prompt is not HTML: nothing is escaped
_JINJA = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, autoescape=False
)


class PromptFileError(ValueError):
    """A project's template cannot be used. The message names file, line and valid names."""


@dataclass(frozen=True)
class Template:
    name: str
    text: str
    origin: str = "package"

    @cached_property  # part of every answer
    def version(self) -> str:
        """SHA-256 of the text, the first 12 digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:_DIGITS]

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Templates:
    by_name: dict[str, Template]
    variants: "Mapping[str, Templates]" = field(default_factory=dict)

    def __getitem__(self, name: str) -> Template:
        return self.by_name[name]

    @cached_property
    def project_versions(self) -> dict[str, str]:
        """Versions of the templates that differ from the package's, by name."""
        packaged = package_templates().by_name
        return {
            name: template.version
            for name, template in self.by_name.items()
            if template.version != packaged[name].version
        }

    @cached_property
    def version(self) -> str:
        """Hash of the templates that differ from the package's; empty if none does."""
        versions = json.dumps(self.project_versions, sort_keys=True)
        return hashlib.sha256(versions.encode()).hexdigest()[:_DIGITS] if self.project_versions else ""

    def variant(self, name: str) -> "Templates":
        if name not in self.variants:
            names = ", ".join(self.variants) or "none yet"
            raise PromptFileError(f"no folder {FOLDER}/{name} of templates; there is: {names}")
        return self.variants[name]

    def render(self, name: str, **values: Any) -> str:
        try:
            return _compiled(self[name].text).render(values)
        except (TemplateError, TypeError, ValueError) as error:
            raise PromptFileError(f"{self[name].origin}: {name}: {error}") from error


@cache
def package_templates() -> Templates:
    return Templates(
        {
            path.stem: Template(path.stem, path.read_text(encoding="utf-8"))
            for path in sorted(_PACKAGE.glob(f"*{_ENDING}"))
        }
    )


def project_templates(root: Path) -> Templates:
    """The package's templates with the project's overrides and variants.

    Raises ``PromptFileError`` for an invalid template or an unknown name.
    """
    folder = root / FOLDER
    templates = package_templates().by_name | _read(folder, root)
    variant_folders = sorted(path for path in folder.glob("*/") if path.is_dir())
    return Templates(templates, {path.name: Templates(templates | _read(path, root)) for path in variant_folders})


def _read(folder: Path, root: Path) -> dict[str, Template]:
    packaged, templates = package_templates().by_name, {}
    for path in sorted(folder.glob(f"*{_ENDING}")):
        location = path.relative_to(root).as_posix()
        if path.stem not in packaged:
            raise PromptFileError(f"{location}: used by nothing; templates are {', '.join(packaged)}")
        try:
            template = Template(path.stem, path.read_text(encoding="utf-8"), location)
        except UnicodeDecodeError as error:
            raise PromptFileError(f"{location}: not UTF-8 text: {error}") from error
        allowed = _variables(packaged[path.stem].text)
        try:
            unknown_variables = sorted(_variables(template.text) - allowed)
        except TemplateError as error:
            line = getattr(error, "lineno", None)
            raise PromptFileError(f"{location}:{line}: {error}") from error
        if unknown_variables:
            raise PromptFileError(
                f"{location}: {', '.join(unknown_variables)} is not known here; there is {', '.join(sorted(allowed))}"
            )
        templates[template.name] = template
    return templates


@lru_cache(64)
def _compiled(text: str) -> Compiled:
    return _JINJA.from_string(text)


def _variables(text: str) -> set[str]:
    return meta.find_undeclared_variables(_JINJA.parse(text))
