"""Templates of prompts: files of Jinja2, versioned by their content.

The package has one for each use. A project's file ``prompts/NAME.jinja`` stands for the package's,
and ``prompts/VARIANT/NAME.jinja`` for both where an experiment compares that variant.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
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

# a prompt is no page: nothing is escaped
_JINJA = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, autoescape=False
)


class PromptFileError(ValueError):
    """A project's template cannot be used; the message names file and line, and what is known."""


@dataclass(frozen=True)
class Template:
    """One template.

    Args:
        name: What it is used for.
        text: Jinja2.
        origin: ``package``, or the file within the project.
    """

    name: str
    text: str
    origin: str = "package"

    @cached_property  # every answer names it
    def version(self) -> str:
        """SHA-256 of the text, the first 12 digits."""
        return _version(self.text)

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Templates:
    """One template for each use.

    Args:
        each: By name.
        variants: What experiments may compare with them, by name.
    """

    each: Mapping[str, Template]
    variants: "Mapping[str, Templates]" = field(default_factory=dict)

    def __getitem__(self, name: str) -> Template:
        return self.each[name]

    @cached_property
    def own(self) -> dict[str, str]:
        """Versions of those that are not the package's, by name."""
        known = package_templates().each
        return {
            name: template.version
            for name, template in self.each.items()
            if template.version != known[name].version
        }

    @cached_property
    def version(self) -> str:
        """Hash of the project's own templates; empty where all are the package's."""
        return _version(json.dumps(self.own, sort_keys=True)) if self.own else ""

    def variant(self, name: str) -> "Templates":
        """The templates of a variant.

        Raises:
            PromptFileError: there is none of this name.
        """
        if name not in self.variants:
            known = ", ".join(self.variants) or "none yet"
            raise PromptFileError(f"no folder {FOLDER}/{name} of templates; there is: {known}")
        return self.variants[name]

    def render(self, name: str, **values: Any) -> str:
        """The text that a template makes of these values.

        Raises:
            PromptFileError: it asks something of a value that the value does not have.
        """
        try:
            return _compiled(self[name].text).render(values)
        except (TemplateError, TypeError, ValueError) as error:
            raise PromptFileError(f"{self[name].origin}: {name}: {error}") from error


@cache
def package_templates() -> Templates:
    """The package's own."""
    return Templates(
        {
            path.stem: Template(path.stem, path.read_text(encoding="utf-8"))
            for path in sorted(_PACKAGE.glob(f"*{_ENDING}"))
        }
    )


def project_templates(root: Path) -> Templates:
    """The package's templates, with a project's own in their places, and its variants.

    Args:
        root: Project root.

    Raises:
        PromptFileError: a file is no template, or of no use.
    """
    folder = root / FOLDER
    own = _with_files(package_templates(), folder, root)
    inside = sorted(path for path in folder.glob("*/") if path.is_dir())
    return replace(own, variants={path.name: _with_files(own, path, root) for path in inside})


def _with_files(templates: Templates, folder: Path, root: Path) -> Templates:
    return Templates({**templates.each, **{each.name: each for each in _read(folder, root)}})


def _read(folder: Path, root: Path) -> Iterator[Template]:
    known = package_templates().each
    for path in sorted(folder.glob(f"*{_ENDING}")):
        place = path.relative_to(root).as_posix()
        if path.stem not in known:
            raise PromptFileError(f"{place}: used by nothing; templates are {', '.join(known)}")
        try:
            template = Template(path.stem, path.read_text(encoding="utf-8"), place)
        except UnicodeDecodeError as error:
            raise PromptFileError(f"{place}: it is no text in UTF-8: {error}") from error
        allowed = _variables(known[path.stem].text)
        try:
            others = sorted(_variables(template.text) - allowed)
        except TemplateError as error:
            line = getattr(error, "lineno", None)
            raise PromptFileError(f"{place}:{line}: {error}") from error
        if others:
            words = f"{', '.join(others)} is not known here; there is {', '.join(sorted(allowed))}"
            raise PromptFileError(f"{place}: {words}")
        yield template


def _version(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


@lru_cache(64)
def _compiled(text: str) -> Compiled:
    return _JINJA.from_string(text)


def _variables(text: str) -> set[str]:
    return meta.find_undeclared_variables(_JINJA.parse(text))
