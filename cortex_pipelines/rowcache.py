"""Content-addressed cache of computed values, outside all outputs.

A value's key is the hash of everything that it depends on, so a hit equals the result of a fresh
computation, and the cache may be deleted at any time.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex_pipelines.atomic import atomic_file, sweep
from cortex_pipelines.parallel.ordered import mapped_rows

if TYPE_CHECKING:
    import polars as pl

_KEY = "cache_key"
_SEED = 20
# Rows of a few new keys go to a second file, so that the large one need not be rewritten.
_MORE, _MOST_MORE = "+", 0.1
_PRESENT = "cache_present"
_SEAL = 8  # bytes of a hash after each value, to detect truncation
_ROWS_PER_BATCH = 4096  # what is compressed at once


class RowCache:
    """Cache of bytes by the hash of their inputs and of the version of code and parameters."""

    def __init__(self, folder: Path, version: str) -> None:
        self._folder = folder
        sweep(folder)
        self._version = version
        self._scope = ""

    def scoped(self, scope: str) -> RowCache:
        """The same cache with tables of its own; rows of one table would otherwise evict those of another."""
        view = copy(self)
        view._scope = f"{self._scope}{scope}/"
        return view

    def get(self, *parts: Any) -> bytes | None:
        """The value computed from ``parts`` (any JSON value), or None."""
        try:
            data = self._path(parts).read_bytes()
        except FileNotFoundError:
            return None
        value, seal = data[:-_SEAL], data[-_SEAL:]
        return value if _seal(value) == seal else None

    def put(self, value: bytes, *parts: Any) -> None:
        with _if_writable(), atomic_file(self._path(parts), durable=False, staging=self._folder) as scratch:
            scratch.write_bytes(value + _seal(value))

    def rows(self, name: str, keys: pl.Series, compute: Callable[[pl.Series], pl.DataFrame]) -> pl.DataFrame:
        """Rows of a table for ``keys``, computed only for keys not in the stored table.

        One file has the rows of a full call and a second one the rows added since, so a change of
        one key among many costs one computation, a read and a small write.

        Args:
            name: Name of the table; must be unique per partition, or partitions evict each other.
            keys: Strings, each a hash of all inputs of its rows. May repeat.
            compute: Returns the rows of the given keys, with the key in the column ``cache_key``; a key may have any
                number of rows, or none. Always called, with no keys if all are stored, so that the columns are known.

        Returns:
            Rows of all keys, including the column ``cache_key``, in the order of ``keys`` (each
            once) and within a key as returned by ``compute``.
        """
        import polars as pl  # slow to import

        unique_keys = keys.unique(maintain_order=True).alias(_KEY)
        base, recent = self.load_table(name), self.load_table(name + _MORE)
        stored = base if base is None or recent is None else pl.concat([base, recent])
        missing = unique_keys if stored is None else unique_keys.filter(~unique_keys.is_in(stored[_KEY].implode()))
        computed = compute(missing).with_columns(pl.lit(True).alias(_PRESENT))
        fresh = missing.to_frame().join(computed, on=_KEY, how="left", maintain_order="left_right")
        if stored is not None:
            fresh = fresh.select(stored.columns)
        rows = fresh if stored is None else pl.concat([stored, fresh])
        result = unique_keys.to_frame().join(rows, on=_KEY, how="left", maintain_order="left_right")
        # rows added since the last full write, and rows that are no longer requested
        excess_rows = 2 * rows.height - result.height - (0 if base is None else base.height)
        if base is None or excess_rows > _MOST_MORE * base.height:
            self._table(name + _MORE).unlink(missing_ok=True)
            self.store_table(name, result)
        elif not missing.is_empty():
            self.store_table(name + _MORE, fresh if recent is None else pl.concat([recent, fresh]))
        return result.filter(pl.col(_PRESENT)).drop(_PRESENT)

    def load_table(self, name: str) -> pl.DataFrame | None:
        """The table stored last under a name; None if missing or truncated."""
        import polars as pl

        path = self._table(name)
        try:
            return pl.read_ipc(path) if path.exists() else None
        except (pl.exceptions.PolarsError, OSError):
            path.unlink(missing_ok=True)
            return None

    def store_table(self, name: str, table: pl.DataFrame) -> None:
        with _if_writable(), atomic_file(self._table(name), durable=False, staging=self._folder) as scratch:
            table.write_ipc(scratch, compression="lz4", record_batch_size=_ROWS_PER_BATCH)

    def _table(self, name: str) -> Path:
        return self._path(("rows", self._scope + name)).with_suffix(".arrow")

    def _path(self, parts: tuple[Any, ...]) -> Path:
        text = json.dumps([self._version, *parts], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return self._folder / digest[:2] / digest[2:]


def row_keys(rows: pl.DataFrame, identity: str) -> pl.Series:
    """A hash of each row, about a hundred times as fast as a cryptographic one.

    Args:
        rows: Inputs of the computation. Only versions of the same thing may share an identity: the
            hash of the other columns has just 64 bits.
        identity: Column of strings that identifies a row.
    """
    import polars as pl

    return rows.select(pl.concat_str(pl.col(identity), rows.hash_rows(seed=_SEED).cast(pl.String), separator=":"))[:, 0]


def unit_rows(
    cache: RowCache | None, name: str, inputs: pl.DataFrame, compute: Callable[[pl.DataFrame], pl.DataFrame]
) -> pl.DataFrame:
    """One computed row per unit, which may repeat, in order.

    ``inputs``: ``unit_id`` and all that a row depends on. ``compute`` is computed on all cores (``ordered_map``).
    """
    import polars as pl

    if cache is None:
        return mapped_rows(compute, inputs, f"Computing {name}")
    keyed = inputs.with_columns(row_keys(inputs, "unit_id").alias(_KEY))

    def compute_missing(missing: pl.Series) -> pl.DataFrame:
        rows = keyed.filter(pl.col(_KEY).is_in(missing.implode())).unique(_KEY, keep="first", maintain_order=True)
        return rows.select(_KEY).hstack(mapped_rows(compute, rows.drop(_KEY), f"Computing {name}"))

    computed = cache.rows(name, keyed[_KEY], compute_missing)
    return keyed.select(_KEY).join(computed, on=_KEY, how="left", maintain_order="left").drop(_KEY)


@contextmanager
def _if_writable() -> Iterator[None]:
    """Store nothing in a project that is mounted read-only."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise


def _seal(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=_SEAL).digest()
