"""Declare an asset: a function whose signature names its dependencies.

A parameter is named after what it receives:

* another asset: the folder of that asset's output (``Path``); for an un-partitioned asset that
  reads a partitioned one ``dict[str, Path]``, project to folder;
* a pin (``project_source``, ``base_model``, ...): what ``sources.lock`` or ``releases.lock`` names;
* a section of ``params.yaml``: that section's settings;
* one of ``PROVIDED``: what the spine itself provides.

So the signature is the one declaration of dependencies: the Dagster graph, the stages in
``dvc.yaml`` and the lineage tags in MLflow all come from it.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from cortex_pipelines.schemas.table import Table

PROVIDED = frozenset({"project", "out", "cache", "root", "observe", "versions", "reference", "load_version"})
"""Parameters that the platform fills; none of them alone changes an output's bytes."""

LoadVersion = Callable[[str, str | None, str], Path]
"""What ``load_version`` receives: takes an asset, a project (None if it has none) and a version
that ``params.yaml`` names, and gives the folder with the files of that version."""

Determinism = Literal["exact", "machine"]


@dataclass(frozen=True)
class VersionedAsset:
    """A declared asset, not yet bound to a project.

    Args:
        name: Asset key, stage name, and folder under ``data/``.
        compute: The function from inputs to tables.
        tables: Contracts of the Parquet tables in its output.
        declared_code: Files and folders that the computation runs, relative to the project's root,
            for a function outside the package; None to derive them from its imports.
        room: Room it belongs to; the group in the UI.
        partitioned: One output a project, or one for all.
        determinism: ``exact``: same bytes everywhere; ``machine``: same bytes on one type of
            processor, for whatever a neural network contributes.
        expectations: Whether Great Expectations checks the tables before they are published.
        champion_of: Model whose champion the asset compares its input with, if it does.
        registers: Model that the asset decides on: its output holds a ``verdict.json``, which an
            asset check mirrors, and the model's version is entered in the registry.
        alarm: Figure of its ``metrics.json`` that is 0 if all is well: an asset check of that name
            warns where it is not.
        watches: Model whose champion the asset compares with what came since, if it does: a nightly
            run makes it before it decides whether to train that model.
    """

    name: str
    compute: Callable[..., Any]
    tables: "tuple[Table, ...]"
    room: str
    partitioned: bool = True
    determinism: Determinism = "exact"
    expectations: bool = False
    champion_of: str | None = None
    registers: str | None = None
    alarm: str | None = None
    watches: str | None = None
    declared_code: tuple[str, ...] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function directly, as in a notebook or test."""
        return self.compute(*args, **kwargs)

    @cached_property
    def code(self) -> tuple[str, ...]:
        """Code dependencies: files and folders relative to the project root."""
        if self.declared_code is not None:
            return self.declared_code
        from cortex_pipelines.versioning.code import code_dependencies

        return code_dependencies(self.compute)

    @cached_property
    def packages(self) -> tuple[str, ...]:
        """Names of the installed packages whose versions count as code; none where the code is declared."""
        if self.declared_code is not None:
            return ()
        from cortex_pipelines.versioning.code import packages_of

        return packages_of(self.compute.__module__, self.compute.__qualname__)

    @property
    def description(self) -> str:
        """The function's docstring."""
        return inspect.getdoc(self.compute) or ""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters, which are the dependencies."""
        return tuple(inspect.signature(self.compute).parameters)


def versioned_asset(
    *,
    tables: "tuple[Table, ...]" = (),
    code: tuple[str, ...] | None = None,
    partitioned: bool = True,
    determinism: Determinism = "exact",
    expectations: bool = False,
    champion_of: str | None = None,
    registers: str | None = None,
    alarm: str | None = None,
    watches: str | None = None,
) -> Callable[[Callable[..., Any]], VersionedAsset]:
    """Decorator that declares an asset; the module describes its parameters.

    Its code dependencies are derived from its imports; only a function outside the package has to
    name them in ``code``.

    The function returns a dictionary from table name to polars frame, one for each of ``tables``,
    and may write further files (a model, a report) to the folder in its parameter ``out``.
    """

    def declare(compute: Callable[..., Any]) -> VersionedAsset:
        return VersionedAsset(
            name=compute.__name__,
            compute=compute,
            tables=tables,
            room=compute.__module__.split(".")[1] if "." in compute.__module__ else "assets",
            partitioned=partitioned,
            determinism=determinism,
            expectations=expectations,
            champion_of=champion_of,
            registers=registers,
            alarm=alarm,
            watches=watches,
            declared_code=code,
        )

    return declare
