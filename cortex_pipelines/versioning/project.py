"""A project on disk bound to the asset graph: where things lie and which versions they have."""

import copy
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML

from cortex_pipelines.atomic import aside
from cortex_pipelines.settings import PROJECT_NAME, PROJECT_NAME_WORDS, Settings
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.content import content_md5, value_md5
from cortex_pipelines.versioning.figures import Figures
from cortex_pipelines.versioning.graph import Graph, Pin

# one name for those who read a project, one import for those who only look for it
from cortex_pipelines.versioning.root import ProjectError as ProjectError
from cortex_pipelines.versioning.root import find_root as find_root
from cortex_pipelines.versioning.yaml_text import YamlTextError, describe_errors, parse_yaml


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML 1.2 mapping, as DVC reads it; an absent file is empty.

    Raises:
        ProjectError: the file cannot be parsed or is no mapping; gives file, line and column.
    """
    return copy.deepcopy(peek_yaml(path))


def peek_yaml(path: Path) -> dict[str, Any]:
    """``read_yaml`` to look at and not to change: the values are kept for the next call."""
    if not path.exists():
        return {}
    try:
        loaded = parse_yaml(path.read_bytes(), path.name)
    except YamlTextError as error:
        raise ProjectError(str(error)) from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ProjectError(
            f"{path.name}: expected keys and values at the top, found {type(loaded).__name__}; "
            "write `key: value` lines"
        )
    return loaded


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    """Write a YAML mapping aside and rename it, so that a reader never sees half of it."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    with aside(path) as scratch, scratch.open("w", encoding="utf-8") as file:
        yaml.dump(dict(value), file)


def look_up(values: Mapping[str, Any], dotted: str) -> Any:
    """The value under a dotted key; None if there is none."""
    found: Any = values
    for part in dotted.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


class Project:
    """One project folder and the graph of its assets.

    Args:
        root: Folder with ``params.yaml``.
        graph: The asset graph.
        figures: Asset to what DVC shows of it; an asset without any is absent.

    The versions of code and parameters are taken when they are first asked for and kept: they are
    those of the code that this process runs.
    """

    def __init__(
        self, root: Path, graph: Graph, figures: Mapping[str, Figures] | None = None
    ) -> None:
        self.root = root
        self.graph = graph
        self.figures = dict(figures or {})

    @property
    def state(self) -> Path:
        """Folder for caches and temporary files, outside all outputs."""
        return self.root / ".cortex"

    @cached_property
    def params(self) -> dict[str, Any]:
        """``params.yaml`` as it was when this process first read it."""
        return read_yaml(self.root / "params.yaml")

    @cached_property
    def partitions(self) -> tuple[str, ...]:
        """Names of the projects in ``params.yaml``, sorted.

        Raises:
            ProjectError: a name has characters that a stage's name cannot have.
        """
        names = look_up(self.params, "projects") or {}
        for name in names:
            if not PROJECT_NAME.fullmatch(str(name)):
                raise ProjectError(f"params.yaml, projects.{name}: {PROJECT_NAME_WORDS}")
        return tuple(sorted(str(name) for name in names))

    def partitions_of(self, asset: VersionedAsset | Pin) -> tuple[str | None, ...]:
        """The partitions of an asset: the projects, or the single None."""
        return self.partitions if asset.partitioned else (None,)

    def section(self, name: str) -> Settings:
        """A typed section of ``params.yaml``.

        Raises:
            ProjectError: a key is missing, unknown or of the wrong type; names the key.
        """
        model = self.graph.sections[name]
        try:
            return model.model_validate(self.params.get(name) or {})
        except ValidationError as error:
            text = (self.root / "params.yaml").read_text(encoding="utf-8")
            raise ProjectError(
                f"params.yaml: {describe_errors(error, text, model, name)}"
            ) from error

    def output(self, name: str, partition: str | None) -> Path:
        """Folder of an asset's output."""
        folder = self.root / "data" / name
        return folder / partition if partition else folder

    def address(self, asset: VersionedAsset, partition: str | None) -> str:
        """Name of the DVC stage of an asset and partition."""
        return f"{asset.name}@{partition}" if partition else asset.name

    def lock_value(self, pin: Pin, partition: str | None) -> Any:
        """What the lock file on disk names for a pin now."""
        value = look_up(peek_yaml(self.root / pin.lock), pin.lock_key.format(project=partition))
        return copy.deepcopy(value)

    def pin_values(self, pin: Pin, partition: str | None) -> dict[str, Any]:
        """The values on disk that make a pin's version, by ``file:key``."""
        return {
            f"{file}:{key}": copy.deepcopy(look_up(peek_yaml(self.root / file), key))
            for file, keys in pin.keys(partition).items()
            for key in keys
        }

    def pin_version(self, pin: Pin, partition: str | None) -> str:
        """DataVersion of a pin, from the files on disk now."""
        return value_md5(self.pin_values(pin, partition))

    @cached_property
    def code_versions(self) -> dict[str, str]:
        """Asset to version of its code and parameters, as this process runs them."""
        return {asset.name: self.code_version(asset, self.params) for asset in self.graph.order}

    def code_version(self, asset: VersionedAsset, params: Mapping[str, Any] | None = None) -> str:
        """Version of an asset's declared code and parameters, from the files on disk now."""
        values = read_yaml(self.root / "params.yaml") if params is None else params
        return code_version_of(
            {path: content_md5(self.root / path) for path in asset.code},
            {name: look_up(values, name) for name in self.graph.wiring(asset.name).sections},
        )


def code_version_of(code: Mapping[str, str | None], params: Mapping[str, Any]) -> str:
    """Version of code and parameters, from their hashes and values.

    Both are in ``dvc.lock`` too, so the version of what made an output can be worked out from it.
    """
    return value_md5({"code": dict(code), "params": dict(params)})
