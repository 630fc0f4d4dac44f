"""A project on disk: paths and current versions of its assets."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from cortex_pipelines.settings import Settings
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.code import recall
from cortex_pipelines.versioning.content import content_md5, file_md5, value_md5
from cortex_pipelines.versioning.dvc.yaml_files import look_up as look_up
from cortex_pipelines.versioning.dvc.yaml_files import peek_yaml as peek_yaml
from cortex_pipelines.versioning.dvc.yaml_files import read_yaml as read_yaml
from cortex_pipelines.versioning.dvc.yaml_files import write_yaml as write_yaml
from cortex_pipelines.versioning.graph import AssetMetrics, Graph, Pin, Wiring
from cortex_pipelines.versioning.lock_file import stage_address
from cortex_pipelines.versioning.packages import installed
from cortex_pipelines.versioning.parameters import PACKAGE, PACKAGE_PARENT, SHARED, Effective

# one name for those who read a project, one import for those who only look for it
from cortex_pipelines.versioning.root import ProjectError as ProjectError
from cortex_pipelines.versioning.root import find_root as find_root
from cortex_pipelines.versioning.root import require_project


class Project:
    """A project folder with its asset graph; versions of code and parameters are those that this process runs."""

    def __init__(
        self,
        root: Path,
        graph: Graph,
        resolve: Callable[[Path], Effective],
        figures: Mapping[str, AssetMetrics] | None = None,
    ) -> None:
        self.root = root
        self.graph = graph
        self.figures = dict(figures or {})
        self._resolve = resolve
        self._resolved: tuple[Effective, Effective] | None = None  # as the files say, and with the versions of code

    @property
    def state(self) -> Path:
        return self.root / ".cortex"

    @cached_property
    def effective(self) -> Effective:
        """The parameters as first read by this process; ProjectError for a missing, unknown or mistyped key."""
        return self.resolve()

    def resolve(self) -> Effective:
        """The parameters as the files say now."""
        explicit = self._resolve(self.root)
        if self._resolved is None or self._resolved[0] is not explicit:
            self._resolved = explicit, replace(explicit, code=self._installed_code, packages=installed())
        return self._resolved[1]

    def depends_on_files(self, asset: VersionedAsset) -> bool:
        """Whether an asset's code is in the project, so that DVC can depend on it."""
        return asset.declared_code is not None or (self.root / PACKAGE).is_dir()

    @cached_property
    def _installed_code(self) -> dict[str, str]:
        recall(self.graph.order, self.state / "cache" / "code.json")
        md5 = partial(content_md5, hash_file=cache(file_md5))  # of files that many assets share
        return {
            asset.name: value_md5({path: md5(PACKAGE_PARENT / path) for path in asset.code})
            for asset in self.graph.order
            if not self.depends_on_files(asset)
        }

    @cached_property
    def partitions(self) -> tuple[str, ...]:
        return tuple(sorted(self.effective.parameters.projects))

    def selected(self, name: str | None) -> list[str]:
        """A project of params.yaml, or all for None; ProjectError names those that there are."""
        if name is not None:
            require_project(name, self.partitions)
        return list(self.partitions) if name is None else [name]

    def partitions_of(self, asset: VersionedAsset | Pin) -> tuple[str | None, ...]:
        return self.partitions if asset.partitioned else (None,)

    def inputs_of(self, name: str, partition: str | None) -> list[tuple[str, str | None]]:
        """Assets and partitions that one of an asset reads; of a fan-in those of every project."""
        return [
            (other.name, part)
            for other in self.graph.wiring(name).assets
            for part in ((partition,) if partition and other.partitioned else self.partitions_of(other))
        ]

    def section(self, name: str) -> Settings:
        return self.graph.sections[name].model_validate(self.effective.files[SHARED][name])

    def output(self, name: str, partition: str | None) -> Path:
        folder = self.root / "data" / name
        return folder / partition if partition else folder

    def address(self, asset: VersionedAsset, partition: str | None) -> str:
        return stage_address(asset.name, partition)

    def pin_versions(self, pin: Pin, partitions: Iterable[str | None]) -> dict[str | None, str]:
        """DataVersions of a pin, from the current files."""
        files: dict[str, dict[str, Any]] = dict(self.resolve().files)  # whether or not they are written yet
        versions = {}
        for partition in partitions:
            values: dict[str, Any] = {}
            for file, keys in pin.keys(partition).items():
                if file not in files:
                    files[file] = peek_yaml(self.root / file)
                values |= {f"{file}:{key}": look_up(files[file], key) for key in keys}
            versions[partition] = value_md5(values)
        return versions

    @cached_property
    def code_versions(self) -> dict[str, str]:
        return {asset.name: self.code_version(asset) for asset in self.graph.order}

    def code_version(self, asset: VersionedAsset) -> str:
        """Version of an asset's code on disk and of the common parameters."""
        values = self.effective.files[SHARED]
        code: dict[str, str | None]
        if self.depends_on_files(asset):
            code = {path: content_md5(self.root / path) for path in asset.code}
        else:
            code = {PACKAGE: self._installed_code[asset.name]}
        code |= {name: installed().get(name) for name in asset.packages}
        return code_version_of(code, {name: values.get(name) for name in self.graph.wiring(asset.name).sections})


@dataclass(frozen=True)
class Stage:
    """An asset of a project, for a partition if it has any: what DVC runs, and Dagster materialises, at once."""

    project: Project
    asset: VersionedAsset
    partition: str | None

    @property
    def address(self) -> str:
        return self.project.address(self.asset, self.partition)

    @property
    def output(self) -> Path:
        return self.project.output(self.asset.name, self.partition)

    @property
    def wiring(self) -> Wiring:
        return self.project.graph.wiring(self.asset.name)

    def input_path(self, other: VersionedAsset) -> str:
        """Of another asset's output, from the root; of a fan-in the folder of all projects."""
        folder = f"data/{other.name}"
        return f"{folder}/{self.partition}" if other.partitioned and self.asset.partitioned else folder


def code_version_of(code: Mapping[str, str | None], params: Mapping[str, Any]) -> str:
    """Version of code, packages and parameters, from their hashes and values, which ``dvc.lock`` has too."""
    return value_md5({"code": dict(code), "params": dict(params)})
