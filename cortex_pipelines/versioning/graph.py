"""The asset graph, derived from the assets' signatures."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cortex_pipelines.settings import Settings
from cortex_pipelines.versioning.asset import PROVIDED, VersionedAsset
from cortex_pipelines.versioning.parameters import SHARED, project_file


class GraphError(ValueError):
    pass


@dataclass(frozen=True)
class Pin:
    """External state pinned in a lock file: an observable source asset. ``{project}`` in ``lock_key`` stands for the
    partition; ``params_key`` is the key that says what is pinned, ``load`` makes the asset's argument from the
    values of both. A project's own parameters are one, too: Dagster has one code version for all partitions, so what
    differs by project has to come in as data.
    """

    name: str
    lock: str | None
    lock_key: str
    params_key: str | None
    partitioned: bool
    load: Callable[[Any, Any], Any]
    description: str
    parameter: str | None = None

    def params_file(self, project: str | None) -> str:
        return project_file(str(project)) if self.partitioned else SHARED

    def keys(self, project: str | None) -> dict[str, list[str]]:
        keys: dict[str, list[str]] = {}
        if self.lock:
            keys[self.lock] = [self.lock_key.format(project=project)]
        if self.params_key:
            keys[self.params_file(project)] = [self.params_key]
        return keys


@dataclass(frozen=True)
class Wiring:
    assets: tuple[VersionedAsset, ...]
    pins: tuple[Pin, ...]
    sections: tuple[str, ...]


class Graph:
    """Assets, pins and parameter sections, checked for consistency.

    Of the sections, those in ``per_project`` may differ by project: a partitioned asset gets them as its project has
    them.

    Raises GraphError: a parameter names nothing known, an exact asset reads a machine one, a partitioned asset reads
    one that is made from all projects, or there is a cycle.
    """

    def __init__(
        self,
        assets: Iterable[VersionedAsset],
        pins: Iterable[Pin],
        sections: Mapping[str, type[Settings]],
        per_project: Collection[str] = (),
    ) -> None:
        self.assets = {asset.name: asset for asset in assets}
        self.sections = dict(sections)
        partitioned = [asset for asset in self.assets.values() if asset.partitioned]
        parameter_names = {name for asset in partitioned for name in asset.parameters}
        self._of_project = {
            name: Pin(
                name=f"{name}_parameters",
                lock=None,
                lock_key="",
                params_key=name,
                partitioned=True,
                load=lambda values, _, model=self.sections[name]: model.model_validate(values),  # type: ignore[misc]
                description=f"Section {name} of the parameters, as effective for a project.",
                parameter=name,
            )
            for name in sorted(parameter_names & set(per_project))
        }
        self.pins = {pin.name: pin for pin in (*pins, *self._of_project.values())}
        self._wirings = {name: self._wire(asset) for name, asset in self.assets.items()}
        self.order  # noqa: B018 - a cycle is an error of the declaration, so found here

    def wiring(self, name: str) -> Wiring:
        return self._wirings[name]

    @cached_property
    def order(self) -> tuple[VersionedAsset, ...]:
        by_name: dict[str, VersionedAsset] = {}
        waiting = dict(sorted(self.assets.items()))
        while waiting:
            ready = [
                asset
                for name, asset in waiting.items()
                if all(upstream.name in by_name for upstream in self._wirings[name].assets)
            ]
            if not ready:
                raise GraphError(f"the assets have a dependency cycle: {', '.join(waiting)}")
            for asset in ready:
                by_name[asset.name] = waiting.pop(asset.name)
        return tuple(by_name.values())

    def downstream(self, names: Iterable[str]) -> set[str]:
        reached = set(names)
        for asset in self.order:
            if any(upstream.name in reached for upstream in self._wirings[asset.name].assets):
                reached.add(asset.name)
        return reached

    def upstream(self, names: Iterable[str]) -> set[str]:
        reached = set(names)
        for asset in reversed(self.order):
            if asset.name in reached:
                reached |= {other.name for other in self._wirings[asset.name].assets}
        return reached

    def _wire(self, asset: VersionedAsset) -> Wiring:
        names = asset.parameters
        unknown = [
            name
            for name in names
            if name not in PROVIDED | self.assets.keys() | self.pins.keys() | self.sections.keys()
        ]
        if unknown:
            raise GraphError(f"asset {asset.name}: parameter {', '.join(unknown)} is not an asset, pin or section")
        pins = {name for name in names if name in self.pins}
        if asset.champion_of:
            pins.add(f"{asset.champion_of}_champion")
        of_project = {name for name in names if asset.partitioned and name in self._of_project}
        pins |= {self._of_project[name].name for name in of_project}
        upstream = tuple(self.assets[name] for name in sorted(names) if name in self.assets)
        for other in upstream:
            if asset.determinism == "exact" and other.determinism == "machine":
                raise GraphError(f"{asset.name} is exact but depends on {other.name}, a machine asset")
        return Wiring(
            assets=upstream,
            pins=tuple(self.pins[name] for name in sorted(pins)),
            sections=tuple(sorted(set(names) & self.sections.keys() - of_project)),
        )


@dataclass(frozen=True)
class Plot:
    """A DVC plot of a JSON file, which may hold one list of objects: DVC lays several on each other."""

    file: str
    x: str
    y: str
    title: str
    template: str = "linear"


@dataclass(frozen=True)
class AssetMetrics:
    metrics: tuple[str, ...] = ("metrics.json",)
    plots: tuple[Plot, ...] = ()
