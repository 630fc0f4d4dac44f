"""The asset graph: which asset depends on what, worked out from the signatures once."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cortex_pipelines.settings import Settings
from cortex_pipelines.versioning.asset import PROVIDED, VersionedAsset


class GraphError(ValueError):
    """The declared assets do not fit together."""


@dataclass(frozen=True)
class Pin:
    """Something outside that is pinned inside: an observable source asset.

    Args:
        name: Asset key, and the parameter's name in an asset's signature.
        lock: File that holds the pin (``sources.lock`` or ``releases.lock``).
        lock_key: Dotted key in that file; ``{project}`` stands for the partition.
        params_key: Dotted key in ``params.yaml`` that says what is pinned, if any.
        partitioned: One pin a project, or one for all.
        load: Makes the asset's argument from the values under ``params_key`` and ``lock_key``.
        description: What is pinned, for the UI.
    """

    name: str
    lock: str
    lock_key: str
    params_key: str | None
    partitioned: bool
    load: Callable[[Any, Any], Any]
    description: str

    def keys(self, project: str | None) -> dict[str, list[str]]:
        """The dotted keys that make the pin's version, by file, for one partition."""
        found = {self.lock: [self.lock_key.format(project=project)]}
        if self.params_key:
            found["params.yaml"] = [self.params_key.format(project=project)]
        return found


@dataclass(frozen=True)
class Wiring:
    """What one asset reads.

    Args:
        assets: Upstream assets, sorted by name.
        pins: Pins, sorted by name.
        sections: Sections of ``params.yaml``, sorted.
    """

    assets: tuple[VersionedAsset, ...]
    pins: tuple[Pin, ...]
    sections: tuple[str, ...]


class Graph:
    """Assets, pins and sections of ``params.yaml``, checked against each other.

    Args:
        assets: Every asset of the path.
        pins: Every pin.
        sections: Name to type of the sections of ``params.yaml`` that assets may ask for.

    Raises:
        GraphError: a parameter names nothing known, an exact asset reads a machine one, a
            partitioned asset reads one that is made from all projects, or there is a cycle.
    """

    def __init__(
        self,
        assets: Iterable[VersionedAsset],
        pins: Iterable[Pin],
        sections: Mapping[str, type[Settings]],
    ) -> None:
        self.assets = {asset.name: asset for asset in assets}
        self.pins = {pin.name: pin for pin in pins}
        self.sections = dict(sections)
        self._wirings = {name: self._wire(asset) for name, asset in self.assets.items()}
        self.order  # noqa: B018 - a cycle is an error of the declaration, so found here

    def wiring(self, name: str) -> Wiring:
        """What the named asset reads."""
        return self._wirings[name]

    @cached_property
    def order(self) -> tuple[VersionedAsset, ...]:
        """All assets, each after those it reads; ties by name."""
        done: dict[str, VersionedAsset] = {}
        waiting = dict(sorted(self.assets.items()))
        while waiting:
            ready = [
                asset
                for name, asset in waiting.items()
                if all(upstream.name in done for upstream in self._wirings[name].assets)
            ]
            if not ready:
                raise GraphError(f"assets read each other in a circle: {', '.join(waiting)}")
            for asset in ready:
                done[asset.name] = waiting.pop(asset.name)
        return tuple(done.values())

    def downstream(self, names: Iterable[str]) -> set[str]:
        """The named assets and all that depend on them."""
        found = set(names)
        for asset in self.order:
            if any(upstream.name in found for upstream in self._wirings[asset.name].assets):
                found.add(asset.name)
        return found

    def _wire(self, asset: VersionedAsset) -> Wiring:
        names = asset.parameters
        unknown = [
            name
            for name in names
            if name not in PROVIDED | self.assets.keys() | self.pins.keys() | self.sections.keys()
        ]
        if unknown:
            raise GraphError(
                f"asset {asset.name}: parameter {', '.join(unknown)} is no asset, pin or section"
            )
        pins = {name for name in names if name in self.pins}
        if asset.champion_of:
            pins.add(f"{asset.champion_of}_champion")
        upstream = tuple(self.assets[name] for name in sorted(names) if name in self.assets)
        for other in upstream:
            if asset.determinism == "exact" and other.determinism == "machine":
                raise GraphError(f"{asset.name} is exact but reads {other.name}, a machine asset")
        return Wiring(
            assets=upstream,
            pins=tuple(self.pins[name] for name in sorted(pins)),
            sections=tuple(sorted(name for name in names if name in self.sections)),
        )
