"""Content-addressed cache of computed values, outside all outputs.

A value is found by the hash of everything that it depends on, so a hit equals what a computation
from nothing would give, and the cache may be deleted at any time.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.atomic import aside, sweep

_KEY = "cache_key"
_SEED = 20
# What few new keys give is kept beside the rest, which need not be written again.
_MORE, _MOST_MORE = "+", 0.1
_PRESENT = "cache_present"
_SEAL = 8  # bytes of a hash after each value, to tell one that was cut off


class RowCache:
    """Cache of bytes by the hash of their inputs.

    Args:
        folder: Where values are kept.
        version: Version of the code and parameters that make the values; part of every key.
    """

    def __init__(self, folder: Path, version: str) -> None:
        self._folder = folder
        sweep(folder)
        self._version = version

    def get(self, *parts: Any) -> bytes | None:
        """The value computed from ``parts`` (any JSON value), or None."""
        try:
            data = self._path(parts).read_bytes()
        except FileNotFoundError:
            return None
        value, seal = data[:-_SEAL], data[-_SEAL:]
        return value if _seal(value) == seal else None

    def put(self, value: bytes, *parts: Any) -> None:
        """Store ``value`` as computed from ``parts``."""
        with aside(self._path(parts), durable=False, place=self._folder) as scratch:
            scratch.write_bytes(value + _seal(value))

    def rows(
        self, name: str, keys: pl.Series, compute: Callable[[pl.Series], pl.DataFrame]
    ) -> pl.DataFrame:
        """Rows of a table for ``keys``, computed only for keys not in the last table.

        One file holds what a call under this name gave, and another one what came since, so a
        change of one key in many costs one computation, a read and a small write.

        Args:
            name: Name of the table; one a partition, or two partitions push each other out.
            keys: Strings, each a hash of everything that its rows are made from. May repeat.
            compute: Gives the rows of some keys, with their key in the column ``cache_key``; a
                key may have any number of rows, or none. Always asked, if only with no key at
                all, so that the columns are known.

        Returns:
            Rows of all keys, ``cache_key`` among the columns, in the order of ``keys`` (each once)
            and within a key as ``compute`` gave them.
        """
        wanted = keys.unique(maintain_order=True).alias(_KEY)
        base, more = self.recall(name), self.recall(name + _MORE)
        known = base if base is None or more is None else pl.concat([base, more])
        missing = wanted if known is None else wanted.filter(~wanted.is_in(known[_KEY].implode()))
        made = compute(missing).with_columns(pl.lit(True).alias(_PRESENT))
        fresh = missing.to_frame().join(made, on=_KEY, how="left", maintain_order="left_right")
        if known is not None:
            fresh = fresh.select(known.columns)
        rows = fresh if known is None else pl.concat([known, fresh])
        joined = wanted.to_frame().join(rows, on=_KEY, how="left", maintain_order="left_right")
        # rows that came since, and those that nothing asks for any more
        beside = 2 * rows.height - joined.height - (0 if base is None else base.height)
        if base is None or beside > _MOST_MORE * base.height:
            self._table(name + _MORE).unlink(missing_ok=True)
            self.keep(name, joined)
        elif not missing.is_empty():
            self.keep(name + _MORE, fresh if more is None else pl.concat([more, fresh]))
        return joined.filter(pl.col(_PRESENT)).drop(_PRESENT)

    def recall(self, name: str) -> pl.DataFrame | None:
        """The table stored last under a name; None if missing or truncated."""
        path = self._table(name)
        try:
            return pl.read_ipc(path) if path.exists() else None
        except (pl.exceptions.PolarsError, OSError):
            path.unlink(missing_ok=True)
            return None

    def keep(self, name: str, table: pl.DataFrame) -> None:
        """Store a table under a name, replacing the last one."""
        with aside(self._table(name), durable=False, place=self._folder) as scratch:
            table.write_ipc(scratch, compression="lz4")

    def _table(self, name: str) -> Path:
        return self._path(("rows", name)).with_suffix(".arrow")

    def _path(self, parts: tuple[Any, ...]) -> Path:
        text = json.dumps([self._version, *parts], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return self._folder / digest[:2] / digest[2:]


def row_keys(rows: pl.DataFrame, identity: str) -> pl.Series:
    """A hash of each row, some hundred times as fast as a cryptographic one.

    Args:
        rows: What is computed from; nothing but versions of one thing may have one identity, as the
            rest adds 64 bits alone.
        identity: Column of strings that says what a row is.
    """
    return rows.select(
        pl.concat_str(pl.col(identity), rows.hash_rows(seed=_SEED).cast(pl.String), separator=":")
    )[:, 0]


def _seal(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=_SEAL).digest()
