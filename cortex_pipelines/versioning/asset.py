"""Declare an asset: a function whose signature names its dependencies.

A parameter is named after what it receives:

* another asset: the folder of that asset's output (``Path``); for an un-partitioned asset that
  reads a partitioned one ``dict[str, Path]``, project to folder;
* a pin (``project_source``, ``base_model``, ...): what ``sources.lock`` or ``releases.lock`` names;
* a section of ``params.yaml``: that section's settings;
* one of ``PROVIDED``: what the spine itself provides.

So the signature is the one declaration of dependencies: the Dagster graph, the stages in ``dvc.yaml`` and the lineage
tags in MLflow all come from it.
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
    """``room``: group in the UI. ``determinism``: ``exact`` has the same bytes everywhere, ``machine`` on one type
    of processor. ``registers``: model that it decides on by a ``verdict.json``. ``alarm``: metric that is 0 if all
    is well. ``watches``: model that a nightly run retrains only after this asset. ``on_request``: a run that names no
    asset makes it only if it was made before.
    """

    name: str
    compute: Callable[..., Any]
    tables: "tuple[Table, ...]"
    room: str
    partitioned: bool = True
    determinism: Determinism = "exact"
    champion_of: str | None = None
    registers: str | None = None
    alarm: str | None = None
    watches: str | None = None
    on_request: bool = False
    declared_code: tuple[str, ...] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.compute(*args, **kwargs)

    @property
    def splits(self) -> "tuple[Table, ...]":
        """The main table, and those with its columns: train, validation, test."""
        return tuple(table for table in self.tables if table.columns == self.tables[0].columns)

    @cached_property
    def code(self) -> tuple[str, ...]:
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
        return inspect.getdoc(self.compute) or ""

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(inspect.signature(self.compute).parameters)


def versioned_asset(
    *,
    tables: "tuple[Table, ...]" = (),
    code: tuple[str, ...] | None = None,
    partitioned: bool = True,
    determinism: Determinism = "exact",
    champion_of: str | None = None,
    registers: str | None = None,
    alarm: str | None = None,
    watches: str | None = None,
    on_request: bool = False,
) -> Callable[[Callable[..., Any]], VersionedAsset]:
    """Decorator that declares an asset; the module describes its parameters.

    Its code dependencies are derived from its imports; only a function outside the package has to name them in
    ``code``.

    The function returns a dictionary from table name to polars frame, one for each of ``tables``, and may write further
    files (a model, a report) to the folder in its parameter ``out``.
    """

    def declare(compute: Callable[..., Any]) -> VersionedAsset:
        return VersionedAsset(
            name=compute.__name__,
            compute=compute,
            tables=tables,
            room=compute.__module__.split(".")[1] if "." in compute.__module__ else "assets",
            partitioned=partitioned,
            determinism=determinism,
            champion_of=champion_of,
            registers=registers,
            alarm=alarm,
            watches=watches,
            on_request=on_request,
            declared_code=code,
        )

    return declare
