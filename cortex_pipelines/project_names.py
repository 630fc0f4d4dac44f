"""Reserved names of projects.

The catalog adds names of the asset graph. Case and ``-`` or ``_`` are ignored, since ``Base`` and
``task-router`` would be confused with the reserved names.
"""

from collections.abc import Iterable, Mapping

BASE, ROUTER, ENCODER = "base", "task_router", "code_encoder"
"""Models of the gateway that belong to no project."""

BASELINE = "baseline"
"""Argument of `cortex rollback --to` for no champion."""

ROLES = ("champion", "canary", "challenger")
"""Roles of a model's version."""

MEANINGS: Mapping[str, str] = {
    BASE: "the base model without an adapter, in `GET /v1/models`",
    ROUTER: "the task router, in `GET /v1/models`",
    ENCODER: "the encoder of code, in `GET /v1/models`",
    **{role: f"a role of a model's version (NAME@{role})" for role in ROLES},
    BASELINE: "what `cortex rollback --to` calls no champion",
    "all": "all projects together",
    "general": "code that is not a project's own (general.project in params.yaml)",
}
"""Reserved name to its meaning, without the asset graph."""


def graph_meanings(assets: Iterable[str], models: Iterable[str], pins: Iterable[str]) -> dict[str, str]:
    """Reserved names of an asset graph, with their meanings."""
    return {
        **dict.fromkeys(pins, "a source in Dagster's asset graph"),
        **dict.fromkeys(assets, "an asset, as in `cortex run NAME`"),
        **dict.fromkeys(models, "a model, as in `cortex releases`"),
    }


def name_refusal(name: str, meanings: Mapping[str, str], models: Iterable[str] = ()) -> str | None:
    """Why a project may not have a name, with a suggestion; ``meanings`` of reserved names, ``models`` as prefixes."""
    reserved = {_normalise(word): meaning for word, meaning in meanings.items()}
    normalised = _normalise(name)
    meaning = reserved.get(normalised)
    for model in models:
        if meaning is None and normalised.startswith(f"{_normalise(model)}_"):
            meaning = f"the {model} of a project, as in `cortex releases`"
    if meaning is None:
        return None
    return f"a project must not be called {name}, which means {meaning}; choose another name, such as team_{normalised}"


def case_clash(names: Iterable[str]) -> str | None:
    """Error message about names that differ only by case, or None."""
    name_by_folded: dict[str, str] = {}
    for name in names:
        other = name_by_folded.setdefault(name.casefold(), name)
        if other != name:
            return (
                f"projects {other} and {name} differ by case alone, so that their folders are one "
                f"where the file system ignores case; rename one, for example to {name}_2"
            )
    return None


def _normalise(name: str) -> str:
    return name.casefold().replace("-", "_")
