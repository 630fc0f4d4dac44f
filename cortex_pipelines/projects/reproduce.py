"""Reproduce a registered model in a fresh folder from the registry alone."""

import json
import os
import shutil
import subprocess  # nosec B404
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cortex_pipelines.release.ledger import FILE as RELEASES
from cortex_pipelines.release.ledger import ReleasedModel, moves, refit_of
from cortex_pipelines.tracking.experiments import find_run
from cortex_pipelines.tracking.registry import locks_of, resolve
from cortex_pipelines.tracking.runs import processor_type
from cortex_pipelines.tracking.store import open_client
from cortex_pipelines.versioning.champions import model_folder
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.lock_file import (
    differing_code,
    locked_stages,
    locked_version,
    split_address,
    stage_address,
)
from cortex_pipelines.versioning.parameters import CODE, PACKAGES
from cortex_pipelines.versioning.project import Project, ProjectError, read_yaml, write_yaml
from cortex_pipelines.versioning.root import ask_git

_PATH_KEYS = ("git", "directory", "archive", "logs", "path")
"""Keys of params.yaml with paths relative to the project."""


class ReproductionError(ProjectError):
    pass


@dataclass(frozen=True)
class VersionComparison:
    """A version as registered and as reproduced."""

    stage: str
    determinism: str
    registered: str
    found: str
    detail: str

    @property
    def identical(self) -> bool:
        return self.registered == self.found


@dataclass(frozen=True)
class Reproduction:
    model: str
    commit: str
    folder: Path
    same_processor: bool
    comparisons: tuple[VersionComparison, ...]

    @property
    def is_reproduced(self) -> bool:
        """Whether all versions that must match do; on the same processor type, all must."""
        return all(
            comparison.identical
            for comparison in self.comparisons
            if comparison.determinism == "exact" or self.same_processor
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "commit": self.commit,
            "folder": str(self.folder),
            "same_processor": self.same_processor,
            "same": all(comparison.identical for comparison in self.comparisons),
            "stages": [asdict(comparison) | {"same": comparison.identical} for comparison in self.comparisons],
        }


def reproduce(
    project: Project,
    reference: str,
    into: Path | None,
    data_only: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Reproduction:
    """Check out code, parameters and pins of a registered model, rebuild it, and compare.

    Only this project's git history, the locks in the registry, DVC's cache (for the champion that the evaluation
    compared with; outputs are computed, never restored) and untracked sources in its folder are used.

    Args:
        project: The project whose registry knows the model.
        reference: ``MODEL``, ``MODEL@ALIAS`` or ``MODEL/NUMBER``.
        into: Target folder, absent or empty; None for a sibling of the project, where relative paths to sources stay
            valid.
        data_only: Stop before the model is trained.
        report: Receives progress messages.

    Raises:
        LookupError: the registry has no such model.
        ReproductionError: no commit holds its code, its locks are gone, or the folder is not empty.
    """
    entry = _RegisteredModel(project, reference)
    folder = (into or project.root.parent / f"{project.root.name}-{entry.name}-{entry.number}").resolve()
    _check_out(entry, folder)
    report(f"{entry.commit[:12]} is checked out in {folder}")
    _cortex(folder, "dvc-yaml")
    names = [asset.name for asset in entry.required_assets(data_only)]
    report(f"making {', '.join(names)}")
    for part, shared in entry.assets_of_other_projects(data_only).items():
        _cortex(folder, "run", *shared, "--project", part)
    _cortex(folder, "run", *names, *(("--project", entry.partition) if entry.partition else ()))
    stages = locked_stages(folder)
    comparisons = tuple(
        _compare(entry, folder, address, determinism, stages)
        for address, determinism in entry.required_stages(data_only)
    )
    return Reproduction(
        f"{entry.name} version {entry.number}", entry.commit, folder, entry.processor == processor_type(), comparisons
    )


class _RegisteredModel:
    def __init__(self, project: Project, reference: str) -> None:
        self.project = project
        self.name, self.number, tags = resolve(project, reference)
        self.asset: str = tags["model_asset"]
        self.partition: str | None = tags["partition"] or None
        self.version: str = tags["dvc_md5"]
        self.evaluation = f"{self.asset}_evaluation"
        self.locks = locks_of(project, self.name, self.number)
        run = find_run(project.root, self.asset, self.partition, self.version)
        self.commit = run[1].get("git_commit", "") if run else ""
        self.processor = run[1].get("processor", "") if run else ""
        if not self.commit or "dvc.lock" not in self.locks:
            raise ReproductionError(
                f"{self.name} version {self.number}: the registry does not record "
                f"{'which commit' if not self.commit else 'which data'} it was made from; "
                "models are reproducible if the project is in git and MLflow still has their runs"
            )

    @cached_property
    def registered_stages(self) -> dict[str, Any]:
        from ruamel.yaml import YAML

        return dict((YAML(typ="safe").load(self.locks["dvc.lock"]) or {}).get("stages") or {})

    @cached_property
    def refit_release(self) -> list[str]:
        """The release whose weights are served in place of the version's own, if any."""
        model = ReleasedModel(self.asset, self.partition)
        refit = refit_of(moves(self.project.root, model), self.version)
        address = stage_address(f"{self.asset}_release", self.partition)
        is_current = refit is not None and locked_version(self.registered_stages, address) == refit
        return [f"{self.asset}_release"] if is_current else []

    def required_assets(self, data_only: bool) -> Iterator[Any]:
        graph = self.project.graph
        required = {self.asset} if data_only else {self.asset, self.evaluation, *self.refit_release}
        for asset in reversed(graph.order):
            if asset.name in required:
                required |= {other.name for other in graph.wiring(asset.name).assets}
        for asset in graph.order:
            if asset.name in required and not (data_only and asset.name == self.asset):
                yield asset

    def assets_of_other_projects(self, data_only: bool) -> dict[str, list[str]]:
        """Other projects' assets that the model depends on; empty for a model made from all projects."""
        if self.partition is None:
            return {}
        path = list(self.required_assets(data_only))
        read: set[str] = set()
        for asset in reversed(path):
            if not asset.partitioned or asset.name in read:
                read |= {other.name for other in self.project.graph.wiring(asset.name).assets}
        stages: dict[str, list[str]] = {}
        for asset in path:
            for address in self.registered_stages:
                name, part = split_address(address)
                if name == asset.name and name in read and part not in (None, self.partition):
                    stages.setdefault(part, []).append(name)
        return stages

    def required_stages(self, data_only: bool) -> Iterator[tuple[str, str]]:
        shared = self.assets_of_other_projects(data_only)
        for asset in self.required_assets(data_only):
            for address in self.registered_stages:
                name, part = split_address(address)
                is_required = not part or self.partition in (None, part) or name in shared.get(part, ())
                if name == asset.name and is_required:
                    yield address, asset.determinism

    def compared_champion(self) -> Any:
        address = stage_address(self.evaluation, self.partition)
        version = locked_version(self.registered_stages, address)
        run = version and find_run(self.project.root, self.evaluation, self.partition, version)
        return json.loads(run[1].get(f"pin.{self.asset}_champion", "null")) if run else None


def _check_out(entry: _RegisteredModel, folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise ReproductionError(f"{folder} is not empty; choose another folder with --into")
    root = entry.project.root
    if below := _git(root, "rev-parse", "--show-prefix"):
        raise ReproductionError(
            f"{root} is the folder {below} of a larger repository; to be reproducible, a "
            "project must be a separate git repository"
        )
    _git(root, "clone", "--quiet", "--no-checkout", str(root), str(folder))
    _git(folder, "-c", "advice.detachedHead=false", "checkout", "--quiet", entry.commit)
    for name, text in entry.locks.items():
        if name != "dvc.lock":
            (folder / name).write_text(text, encoding="utf-8")
    (folder / "dvc.lock").unlink(missing_ok=True)  # no stage may count as done
    (folder / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {root / '.dvc' / 'cache'}\n", encoding="utf-8")
    releases = read_yaml(folder / RELEASES)
    champions = releases.setdefault("champions", {})
    if entry.partition:
        champions.setdefault(entry.asset, {})[entry.partition] = entry.compared_champion()
    else:
        champions[entry.asset] = entry.compared_champion()
    write_yaml(folder / RELEASES, releases)
    # sources that git does not track; their pins fix the content, so one that was edited since then is refused
    for relative_path in _relative_paths(read_yaml(folder / "params.yaml")):
        source, target = (root / relative_path).resolve(), (folder / relative_path).resolve()
        inside = source.is_relative_to(root.resolve()) and target.is_relative_to(folder)
        if inside and source.exists() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True)
            else:
                shutil.copy2(source, target)
    addresses = [address for address, _ in entry.required_stages(data_only=False)]
    differing = differing_code(folder, entry.registered_stages, addresses)
    if differing:
        raise ReproductionError(
            f"{entry.name} version {entry.number} was made from code that commit {entry.commit[:12]} does not contain: "
            f"{', '.join(differing[:5])}{' …' if len(differing) > 5 else ''}. Commit the code, then train again"
        )


def _relative_paths(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in _PATH_KEYS and isinstance(inner, str) and "://" not in inner:
                yield inner
            else:
                yield from _relative_paths(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _relative_paths(inner)


def _compare(
    entry: _RegisteredModel, folder: Path, address: str, determinism: str, stages: Mapping[str, Any]
) -> VersionComparison:
    registered = str(locked_version(entry.registered_stages, address))
    reproduced = locked_version(stages, address) or "not made"
    name, partition = split_address(address)
    output, details = folder / "data" / name / (partition or ""), list[str]()
    if registered != reproduced and address in stages:
        details += _describe_makers(entry.registered_stages[address], stages[address])
    if registered != reproduced and name == entry.asset:
        details.append(_describe_weight_difference(entry, output))
    elif registered != reproduced and name == entry.evaluation:
        details.append(_describe_metric_difference(entry, output, registered))
    return VersionComparison(address, determinism, registered, reproduced, "; ".join(details))


def _describe_makers(registered: Mapping[str, Any], reproduced: Mapping[str, Any]) -> Iterator[str]:
    """How this package, where it is not part of the project, and others differ from those that made a version."""
    before, after = registered.get("params", {}), reproduced.get("params", {})
    if before.get(CODE) != after.get(CODE):
        yield "made by another version of this package: install that one and reproduce it again"
    versions = before.get(PACKAGES, {})
    for name, version in after.get(PACKAGES, {}).items():
        if versions.get(name) != version:
            yield f"{name} {version}, was {versions.get(name, 'not read')}"


def _describe_weight_difference(entry: _RegisteredModel, output_folder: Path) -> str:
    from safetensors.numpy import load_file

    try:
        registered_files = model_folder(entry.project, entry.asset, entry.partition, entry.version)
    except ProjectError as error:
        return f"the registered files are gone: {error}"
    largest_difference = 0.0
    for file in sorted(registered_files.glob("*.safetensors")):
        old = load_file(file)
        new = load_file(output_folder / file.name) if (output_folder / file.name).exists() else {}
        if {k: v.shape for k, v in old.items()} != {k: v.shape for k, v in new.items()}:
            return f"{file.name} has other tensors"
        largest_difference = max(
            [largest_difference, *(float(abs(old[k].astype("f8") - new[k].astype("f8")).max()) for k in old)]
        )
    return f"weights differ by at most {largest_difference:.3g}"


def _describe_metric_difference(entry: _RegisteredModel, output_folder: Path, registered: str) -> str:
    run = find_run(entry.project.root, entry.evaluation, entry.partition, registered)
    registered_metrics = open_client(entry.project.root).get_run(run[0]).data.metrics if run else {}
    reproduced_metrics = read_json(output_folder / "metrics.json")
    out_of_interval = [
        f"{name} {reproduced_metrics[name]:.4g}, was {registered_metrics[name]:.4g}"
        for name in sorted(registered_metrics)
        if f"{name}_low" in registered_metrics
        and reproduced_metrics.get(name) is not None
        and not registered_metrics[f"{name}_low"] <= reproduced_metrics[name] <= registered_metrics[f"{name}_high"]
    ]
    return f"out of the interval: {'; '.join(out_of_interval)}" if out_of_interval else "figures within their intervals"


def _git(folder: Path, *arguments: str) -> str:
    process = ask_git(folder, *arguments)
    if process.returncode:
        raise ReproductionError(f"git {arguments[0]} failed: {process.stderr.decode(errors='replace').strip()}")
    return process.stdout.decode().strip()


def _cortex(folder: Path, *command: str) -> None:
    """Run the checked-out command line; ReproductionError with its error output if it fails."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("CORTEX_", "DVC_", "DAGSTER"))}
    process = subprocess.run(  # nosec B603
        [sys.executable, "-c", "from cortex_pipelines.cli.main import main; main()", *command],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise ReproductionError(f"`cortex {' '.join(command)}` failed in {folder}: {process.stderr.strip()[-2000:]}")
