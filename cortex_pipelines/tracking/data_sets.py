"""Outputs as MLflow datasets: digest from DVC's hash, schema from the table contracts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.versioning.asset import VersionedAsset

OUTPUT, INPUT = "output", "input"


def data_set(asset: VersionedAsset, partition: str | None, digest: str, folder: Path, context: str) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    parts = ("data", asset.name, partition)
    uri = "/".join(part for part in parts if part)
    return DatasetInput(
        Dataset(
            name=asset.name,
            digest=digest,
            source_type="local",
            source=json.dumps({"uri": uri}),
            schema=_schema(asset),
            profile=_profile(asset, folder),
        ),
        tags=[InputTag("mlflow.data.context", context)],
    )


def _schema(asset: VersionedAsset) -> str | None:
    """Columns for MLflow; where tables differ, prefixed with the table's name.

    None for outputs without tables.
    """
    from mlflow.types.schema import ColSpec, Schema

    unlike = any(table.columns != asset.tables[0].columns for table in asset.tables)
    columns: list[Any] = [
        ColSpec(
            _type(column.dtype), f"{table.name}.{column.name}" if unlike else column.name, required=not column.nullable
        )
        for table in (asset.tables if unlike else asset.tables[:1])
        for column in table.columns
    ]
    return json.dumps({"mlflow_colspec": Schema(columns).to_dict()}) if columns else None


def _profile(asset: VersionedAsset, folder: Path) -> str | None:
    rows = {
        table.name: sum(int(pl.scan_parquet(path).select(pl.len()).collect().item()) for path in files)
        for table in asset.tables
        if (files := _files(folder, table.name))
    }
    if not rows:
        return None
    elements = sum(rows.get(table.name, 0) * len(table.columns) for table in asset.tables)
    profile: Mapping[str, Any] = {"num_rows": sum(rows.values()), "num_elements": elements}
    return json.dumps({**profile, **{f"rows/{name}": count for name, count in rows.items()}})


def _files(folder: Path, table: str) -> list[Path]:
    single_file = folder / f"{table}.parquet"
    return [single_file] if single_file.exists() else sorted(folder.glob(f"*/{table}.parquet"))


def _type(dtype: Any) -> Any:
    from mlflow.types import DataType
    from mlflow.types.schema import Array, Object, Property

    if isinstance(dtype, pl.List | pl.Array):
        return Array(_type(dtype.inner))
    if isinstance(dtype, pl.Struct):
        return Object([Property(field.name, _type(field.dtype)) for field in dtype.fields])
    if dtype in (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16):
        return DataType.integer
    if dtype.is_integer():
        return DataType.long
    mlflow_types = {
        pl.Float32: DataType.float,
        pl.Float64: DataType.double,
        pl.Boolean: DataType.boolean,
        pl.Binary: DataType.binary,
    }
    if isinstance(dtype, pl.Date | pl.Datetime) or dtype in (pl.Date, pl.Datetime):
        return DataType.datetime
    return next((data_type for kind, data_type in mlflow_types.items() if dtype == kind), DataType.string)
