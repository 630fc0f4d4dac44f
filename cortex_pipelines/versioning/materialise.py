"""Materialise one version: compute aside, validate, publish, commit; independent of Dagster.

begin     what does it depend on now; unchanged since the last commit -> done
compute   into a scratch folder
validate  the tables' contracts; a broken one publishes nothing
end       nothing it depends on moved meanwhile; exchange folders; commit to DVC
"""

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.atomic import replace_folder, scratch_folder, temporary_files
from cortex_pipelines.parallel.ordered import executing
from cortex_pipelines.progress import Steps, report_step
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.table import ContractError, Table
from cortex_pipelines.versioning import on_node, snapshot
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.champions import find_reference, model_folder
from cortex_pipelines.versioning.content import content_md5, file_md5, value_md5
from cortex_pipelines.versioning.dvc import dvc_store, stages
from cortex_pipelines.versioning.dvc.yaml_files import look_up
from cortex_pipelines.versioning.parameters import ENTRY, FOLDER, PACKAGES
from cortex_pipelines.versioning.peak_memory import observed_memory
from cortex_pipelines.versioning.project import Project, ProjectError, Stage
from cortex_pipelines.versioning.snapshot import Snapshot

_ROWS_PER_GROUP = 65_536
EXPECTATIONS = "expectations"
"""Folder of a run's artifacts with the pages of its contract checks."""


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
    """``made_from``: hashes of its inputs; ``observations``: timings and the like, in MLflow only."""

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
    stage: Stage, validate: Validate | None = None, watch: Callable[[Snapshot], None] = lambda _: None
) -> Version:
    """Bring one asset and partition up to date. Raises InputMovedError: code, parameters or an input changed while it
    was computed. Raises BrokenContractError: a table breaks its contract. Raises ProjectError: an input is missing,
    dvc.yaml is out of date, or DVC refuses.
    """
    project, asset = stage.project, stage.asset
    stages.check_stages(project)
    by_dvc = dvc_store.under_dvc(stage.address)
    if not by_dvc:
        dvc_store.write_parameters(project)
    stages.provide_inputs(project)
    begin = snapshot.take(stage)
    _require_own_parameters(project, begin, by_dvc)
    if snapshot.code_version(stage, begin) != project.code_versions[asset.name]:
        raise InputMovedError(
            f"{asset.name}: its code or its section of params.yaml changed on disk after this "
            "process loaded it; reload the code location (or run the command again)"
        )
    if not by_dvc:
        unchanged = dvc_store.unchanged_version(stage, begin)
        if unchanged is not None:
            return Version(unchanged, begin, computed=False)
    if missing := [path for path, value in begin.deps.items() if value is None]:
        raise ProjectError(
            f"missing: {', '.join(missing)}; make the upstream assets first "
            "(`cortex run NAME --upstream`), or fetch it (`dvc pull`)"
        )
    watch(begin)
    started = time.monotonic()
    observations: dict[str, float] = {}
    with Steps.during(stage.address), temporary_files(), scratch_folder(project.state / "tmp") as scratch:
        out = scratch / "out"
        out.mkdir()
        keywords = arguments(stage, begin, out, observations)
        inputs = [path for path in begin.deps if path not in asset.code]
        # dvc repro holds the inputs already
        with (
            executing(getattr(project.effective.parameters, "execution", None)),
            nullcontext() if by_dvc else dvc_store.reading(project.root, inputs),
            observed_memory(observations.__setitem__),
        ):
            tables = on_node.compute(asset, keywords, stage.address)
        checks = _write_tables(asset, tables, out, project.state / "data_docs" / stage.address, validate)
        value = _end(stage, begin, out, by_dvc)
    splits = {table.name for table in asset.splits}
    rows = sum(check.rows for check in checks if check.table in splits) if checks else None
    report_step(stage.address, rows, time.monotonic() - started)
    return Version(value, begin, True, checks, observations)


def _require_own_parameters(project: Project, current: Snapshot, by_dvc: bool) -> None:
    effective = project.resolve().files
    for file, values in current.params.items():
        file_values = effective.get(file)
        if not file_values:
            continue
        changed = [key for key, value in values.items() if look_up(file_values, key) != value]
        if changed and not by_dvc:  # this process wrote them a moment ago
            raise InputMovedError(f"{file}: {', '.join(changed)} changed as this began; run it again")
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


def arguments(stage: Stage, begin: Snapshot, out: Path, observations: dict[str, float]) -> dict[str, Any]:
    project, asset, partition, wiring = stage.project, stage.asset, stage.partition, stage.wiring
    versions = input_versions(stage, begin)
    rows = RowCache(project.state / "cache" / "rows" / asset.name, rows_version(stage, begin))
    keywords: dict[str, Any] = {
        "project": partition,
        "out": out,
        "root": project.root,
        "observe": observations.__setitem__,
        "versions": versions,
        "load_version": partial(model_folder, project, named_in="params.yaml or releases.lock"),
        "cache": rows.scoped(partition or ""),
    }
    for other in wiring.assets:
        keywords[other.name] = project.output(other.name, partition if other.partitioned else None)
        if other.partitioned and not asset.partitioned:
            # A project whose part is not made yet is not part of the version that is read; once it is
            # made, the folder has another hash and what reads it is stale.
            folders = {name: project.output(other.name, name) for name in project.partitions}
            keywords[other.name] = {name: folder for name, folder in folders.items() if folder.is_dir()}
    for pin in wiring.pins:
        keywords[pin.parameter or pin.name] = pin.load(*snapshot.pinned(pin, begin, partition))
    keywords |= {name: project.section(name) for name in wiring.sections}
    if model := asset.champion_of:
        pin = keywords[f"{model}_champion"]
        keywords["reference"] = find_reference(project, model, partition, versions[model], pin)
    return {name: keywords[name] for name in asset.parameters}


def rows_version(stage: Stage, begin: Snapshot) -> str:
    """What cached rows depend on: the code, and the sections that hold for the project."""
    sections = {
        key: value
        for file, values in begin.params.items()
        if file.startswith(f"{FOLDER}/projects/")
        for key, value in values.items()
        if key != ENTRY
    }
    return value_md5({"code": stage.project.code_versions[stage.asset.name], "sections": sections})


def input_versions(stage: Stage, begin: Snapshot) -> dict[str, str]:
    """Version of each upstream asset; for a fan-in the version of the whole folder."""
    return {other.name: str(begin.deps[stage.input_path(other)]) for other in stage.wiring.assets}


def _write_tables(
    asset: VersionedAsset, tables: Mapping[str, pl.DataFrame], out: Path, pages: Path, validate: Validate | None
) -> tuple[ContractCheck, ...]:
    declared = {table.name for table in asset.tables}
    if tables.keys() != declared:
        raise ContractError(f"{asset.name}: returned tables {sorted(tables)}, expected {sorted(declared)}")
    checks = []
    for table in asset.tables:
        frame = tables[table.name]
        try:
            frame = table.conform(frame)
        except ContractError as error:
            checks.append(ContractCheck(table.name, frame.height, (str(error),)))
            continue
        # One compression, level and row-group size for all, or the same rows give other bytes.
        path = out / f"{table.name}.parquet"
        frame.write_parquet(path, compression="zstd", compression_level=3, row_group_size=_ROWS_PER_GROUP)
        checks.append(validate(frame, table, pages) if validate else ContractCheck(table.name, frame.height))
    if any(check.failures for check in checks):
        raise BrokenContractError(tuple(checks))
    return tuple(checks)


def _end(stage: Stage, begin: Snapshot, out: Path, by_dvc: bool) -> str:
    project, name, output = stage.project, stage.asset.name, stage.output
    hashes: dict[str, str] = {}

    def hash_file(path: str) -> str:
        return hashes.setdefault(path, file_md5(path))

    value = str(content_md5(out, hash_file=hash_file))
    dvc_store.drop_damaged(project.root, [*hashes.values(), value])

    def check() -> None:
        if not by_dvc:
            project.resolve().write(project.root)
        differences = begin.differences(snapshot.take(stage))
        if differences:
            raise InputMovedError(
                f"{name}: {', '.join(differences)} changed while it was being made; nothing was published, run it again"
            )

    if by_dvc:
        check()
        replace_folder(out, output)
        return value
    path = output.relative_to(project.root).as_posix()
    publish = partial(replace_folder, out, output)
    committed, recorded = dvc_store.commit(project.root, stage.address, path, check, publish)
    differences = begin.differences(recorded)
    if committed != value or differences:
        raise InputMovedError(
            f"{name}: DVC recorded a version other than the computed one "
            f"({committed} for {value}; {', '.join(differences) or 'same inputs'}); run it again"
        )
    return committed
