"""Materialise one version: compute aside, validate, publish, commit; independent of Dagster.

begin     what does it depend on now; unchanged since the last commit -> done
compute   into a scratch folder
validate  the tables' contracts; a broken one publishes nothing
end       nothing it depends on moved meanwhile; exchange folders; commit to DVC
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.atomic import replace_folder, scratch_folder, temporary_files
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.table import ContractError, Table
from cortex_pipelines.versioning import snapshot
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.champions import find_reference, model_folder
from cortex_pipelines.versioning.content import content_md5, value_md5
from cortex_pipelines.versioning.dvc import dvc_store, stages
from cortex_pipelines.versioning.dvc.yaml_files import look_up
from cortex_pipelines.versioning.parameters import ENTRY, FOLDER, PACKAGES
from cortex_pipelines.versioning.project import Project, ProjectError
from cortex_pipelines.versioning.snapshot import Snapshot, input_path

_LOG = logging.getLogger("cortex_pipelines")
_ROWS_PER_GROUP = 65_536


class InputMovedError(ProjectError):
    """A dependency changed during the computation; nothing was published."""


@dataclass(frozen=True)
class ContractCheck:
    """Result of a table's contract check."""

    table: str
    rows: int
    failures: tuple[str, ...] = ()  # what breaks the contract: nothing is published
    warnings: tuple[str, ...] = ()  # how it differs from the version before
    page: str | None = None  # Great Expectations' page, where there is one


Validate = Callable[[pl.DataFrame, Table, Path], ContractCheck]
"""Additional check of a table before publication: rows, contract, folder for its page."""


@dataclass(frozen=True)
class Version:
    """``made_from``: hashes of its inputs; ``observations``: timings and the like, in MLflow only, never in an
    output.
    """

    value: str
    made_from: Snapshot
    computed: bool
    checks: tuple[ContractCheck, ...] = ()
    observations: Mapping[str, float] = field(default_factory=dict)


class BrokenContractError(ContractError):
    def __init__(self, checks: tuple[ContractCheck, ...]) -> None:
        failed = [f"{c.table}: {text}" for c in checks for text in c.failures]
        super().__init__("nothing was published, because " + "; ".join(failed))
        self.checks = checks


def materialise(
    project: Project,
    asset: VersionedAsset,
    partition: str | None,
    validate: Validate | None = None,
    watch: Callable[[Snapshot], None] = lambda _: None,
) -> Version:
    """Bring one asset and partition up to date.

    Raises:
        InputMovedError: code, parameters or an input changed while it was computed.
        BrokenContractError: a table breaks its contract.
        ProjectError: an input is missing, dvc.yaml is out of date, or DVC refuses.
    """
    stages.check_stages(project)
    address = project.address(asset, partition)
    by_dvc = dvc_store.under_dvc(address)
    if not by_dvc:
        dvc_store.write_parameters(project)
    begin = snapshot.take(project, asset, partition)
    _require_own_parameters(project, begin)
    _require_own_code(project, asset, begin)
    if not by_dvc:
        unchanged = dvc_store.unchanged_version(project, address)
        if unchanged is not None:
            return Version(unchanged, begin, computed=False)
    _require_inputs(begin)
    watch(begin)
    observations: dict[str, float] = {}
    with temporary_files(), scratch_folder(project.state / "tmp") as scratch:
        out = scratch / "out"
        out.mkdir()
        tables = _compute(project, asset, partition, begin, out, observations, hold=not by_dvc)
        pages = project.state / "data_docs" / address
        checks = _write_tables(asset, tables, out, pages, validate)
        value = _end(project, asset, partition, begin, out, by_dvc)
    return Version(value, begin, True, checks, observations)


def _require_own_code(project: Project, asset: VersionedAsset, current: Snapshot) -> None:
    sections = project.graph.wiring(asset.name).sections
    if snapshot.code_version(asset, current, sections) != project.code_versions[asset.name]:
        raise InputMovedError(
            f"{asset.name}: its code or its section of params.yaml changed on disk after this "
            "process loaded it; reload the code location (or run the command again)"
        )


def _require_own_parameters(project: Project, current: Snapshot) -> None:
    effective = project.resolve().files
    for file, values in current.params.items():
        file_values = effective.get(file)
        if not file_values:
            continue
        changed = [key for key, value in values.items() if look_up(file_values, key) != value]
        if changed and file == PACKAGES:
            moves = ", ".join(f"{name} {values[name]} -> {look_up(file_values, name)}" for name in changed)
            raise ProjectError(
                f"installed packages changed since {file} was written ({moves}): run `cortex params --write`"
            )
        if changed:
            raise ProjectError(
                f"params.yaml was edited since {file} was written: run `dvc repro` without "
                "--single-item, or `cortex params --write` first"
            )


def _require_inputs(current: Snapshot) -> None:
    missing = [path for path, value in current.deps.items() if value is None]
    if missing:
        raise ProjectError(
            f"missing: {', '.join(missing)}; make the upstream assets first "
            "(`cortex run NAME --upstream`), or fetch it (`dvc pull`)"
        )


def _compute(
    project: Project,
    asset: VersionedAsset,
    partition: str | None,
    begin: Snapshot,
    out: Path,
    observations: dict[str, float],
    hold: bool,
) -> Mapping[str, pl.DataFrame]:
    keywords = arguments(project, asset, partition, begin, out, observations)
    if not hold:  # dvc repro holds the inputs already
        return asset.compute(**keywords) or {}
    outputs = [path for path in begin.deps if path not in asset.code]
    with dvc_store.reading(project.root, outputs):
        return asset.compute(**keywords) or {}


def arguments(
    project: Project,
    asset: VersionedAsset,
    partition: str | None,
    begin: Snapshot,
    out: Path,
    observations: dict[str, float],
) -> dict[str, Any]:
    graph = project.graph
    keywords: dict[str, Any] = {
        "project": partition,
        "out": out,
        "root": project.root,
        "observe": observations.__setitem__,
        "versions": input_versions(project, asset, partition, begin),
        "load_version": partial(model_folder, project, named_in="params.yaml or releases.lock"),
        "cache": RowCache(project.state / "cache" / "rows" / asset.name, _rows_version(project, asset, begin)).scoped(
            partition or ""
        ),
    }
    for other in graph.wiring(asset.name).assets:
        keywords[other.name] = _input_folders(project, other, asset, partition)
    for pin in graph.wiring(asset.name).pins:
        keywords[pin.parameter or pin.name] = pin.load(*snapshot.pinned(pin, begin, partition))
    for name in graph.wiring(asset.name).sections:
        keywords[name] = project.section(name)
    if asset.champion_of:
        keywords["reference"] = _reference(project, asset, partition, keywords)
    return {name: keywords[name] for name in asset.parameters}


def _rows_version(project: Project, asset: VersionedAsset, begin: Snapshot) -> str:
    project_sections = {
        key: value
        for file, values in begin.params.items()
        if file.startswith(f"{FOLDER}/projects/")
        for key, value in values.items()
        if key != ENTRY
    }
    return value_md5({"code": project.code_versions[asset.name], "sections": project_sections})


def input_versions(project: Project, asset: VersionedAsset, partition: str | None, begin: Snapshot) -> dict[str, str]:
    """Version of each upstream asset; for a fan-in the version of the whole folder."""
    return {
        other.name: str(begin.deps[input_path(other, asset, partition)])
        for other in project.graph.wiring(asset.name).assets
    }


def _input_folders(
    project: Project, other: VersionedAsset, asset: VersionedAsset, partition: str | None
) -> Path | dict[str, Path]:
    if other.partitioned and not asset.partitioned:
        # A project whose part is not made yet is not part of the version that is read; once it is
        # made, the folder has another hash and what reads it is stale.
        return {name: folder for name in project.partitions if (folder := project.output(other.name, name)).is_dir()}
    return project.output(other.name, partition if other.partitioned else None)


def _write_tables(
    asset: VersionedAsset, tables: Mapping[str, pl.DataFrame], out: Path, pages: Path, validate: Validate | None
) -> tuple[ContractCheck, ...]:
    declared = {table.name for table in asset.tables}
    if tables.keys() != declared:
        raise ContractError(f"{asset.name}: returned tables {sorted(tables)}, expected {sorted(declared)}")
    checks = tuple(_write_table(t, tables[t.name], out, pages, validate) for t in asset.tables)
    if any(check.failures for check in checks):
        raise BrokenContractError(checks)
    return checks


def _write_table(table: Table, frame: pl.DataFrame, out: Path, pages: Path, validate: Validate | None) -> ContractCheck:
    try:
        conforming = table.conform(frame)
    except ContractError as error:
        return ContractCheck(table.name, frame.height, (str(error),))
    # One compression, level and row-group size for all, or the same rows give other bytes.
    conforming.write_parquet(
        out / f"{table.name}.parquet", compression="zstd", compression_level=3, row_group_size=_ROWS_PER_GROUP
    )
    if validate:
        return validate(conforming, table, pages)
    return ContractCheck(table.name, conforming.height)


def _end(
    project: Project, asset: VersionedAsset, partition: str | None, begin: Snapshot, out: Path, by_dvc: bool
) -> str:
    output = project.output(asset.name, partition)
    value = content_md5(out)

    def check() -> None:
        if not by_dvc:
            project.resolve().write(project.root)
        differences = begin.differences(snapshot.take(project, asset, partition))
        if differences:
            raise InputMovedError(
                f"{asset.name}: {', '.join(differences)} changed while it was being made; "
                "nothing was published, run it again"
            )

    if by_dvc:
        check()
        replace_folder(out, output)
        return str(value)
    committed, recorded = dvc_store.commit(
        project.root,
        project.address(asset, partition),
        output.relative_to(project.root).as_posix(),
        check,
        lambda: replace_folder(out, output),
    )
    differences = begin.differences(recorded)
    if committed != value or differences:
        raise InputMovedError(
            f"{asset.name}: DVC recorded a version other than the computed one "
            f"({committed} for {value}; {', '.join(differences) or 'same inputs'}); run it again"
        )
    _LOG.info("%s is now %s", project.address(asset, partition), committed)
    return committed


def _reference(project: Project, asset: VersionedAsset, partition: str | None, keywords: Mapping[str, Any]) -> Any:
    model = str(asset.champion_of)
    return find_reference(project, model, partition, keywords["versions"][model], keywords[f"{model}_champion"])
