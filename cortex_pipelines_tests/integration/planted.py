"""Where in a project bytes are that a test has planted."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import polars as pl

from cortex_pipelines.retrieval.vectors import vectors_of


def contents(root: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file but the sources themselves, as it is and with its compression taken off."""
    for path in root.rglob("*"):
        inside = path.relative_to(root).parts[0]
        if not path.is_file() or path.is_symlink() or inside in ("sources", "models"):
            continue
        data = path.read_bytes()
        yield path, data
        table = None
        if data[:4] == b"PAR1":
            table = pl.read_parquet(BytesIO(data))
        elif data[:6] == b"ARROW1":
            table = pl.read_ipc(BytesIO(data))
        if table is not None:
            yield path, table.drop("vector", strict=False).write_json().encode()
            if "vector" in table.columns:
                yield path, vectors_of(table).tobytes()


def holding(root: Path, content: bytes) -> set[str]:
    return {"/".join(path.relative_to(root).parts[:3]) for path, data in contents(root) if content in data}
