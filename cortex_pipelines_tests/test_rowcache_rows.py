import errno
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines import rowcache
from cortex_pipelines.rowcache import RowCache

_KEYS = st.lists(st.sampled_from("abcdefgh"), max_size=8)


class Counting:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, keys: pl.Series) -> pl.DataFrame:
        self.asked = keys.to_list()
        rows = [(key, f"{key}{number}") for key in keys for number in range(ord(key[0]) % 3)]
        return pl.DataFrame(rows, schema={"cache_key": pl.String, "value": pl.String}, orient="row")


@given(st.lists(_KEYS, max_size=6), st.sampled_from([None, 0.5, 2.0]))
def test_rows_are_those_of_a_computation_from_nothing(calls: list[list[str]], most: float | None) -> None:
    """However many new rows may stay beside the others."""
    with TemporaryDirectory() as folder, patch.object(rowcache, "_MOST_MORE", most or rowcache._MOST_MORE):
        before: set[str] = set()
        for keys in calls:
            compute = Counting()
            rows = RowCache(Path(folder), "v1").rows("t", pl.Series(keys, dtype=pl.String), compute)
            assert rows.equals(Counting()(pl.Series(list(dict.fromkeys(keys)), dtype=pl.String)))
            new = set(keys) - before
            assert set(compute.asked) <= new if most else set(compute.asked) == new
            before = set(keys)


def test_one_new_key_in_many_leaves_the_large_file_as_it_is(tmp_path: Path) -> None:
    many = pl.Series([f"{number}b" for number in range(100)])
    cache = RowCache(tmp_path, "v1")
    cache.rows("t", many, Counting())
    (large,) = tmp_path.rglob("*.arrow")
    modified = large.stat().st_mtime_ns
    cache.rows("t", many.append(pl.Series(["new"])), Counting())
    assert large.stat().st_mtime_ns == modified
    compute = Counting()
    assert cache.rows("t", many, compute).equals(Counting()(many))
    assert compute.asked == []


def test_another_version_or_name_shares_nothing(tmp_path: Path) -> None:
    keys = pl.Series(["a", "b"])
    RowCache(tmp_path, "v1").rows("t", keys, Counting())
    for version, name in (("v2", "t"), ("v1", "u")):
        compute = Counting()
        RowCache(tmp_path, version).rows(name, keys, compute)
        assert compute.asked == ["a", "b"]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_values_are_computed_again_where_a_project_is_mounted_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The hash of weights that this path did not have before, after an upgrade; a full disk is an error."""

    def refuse(self: Path, *args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number), str(self))

    cache, rows = RowCache(tmp_path, "v1"), pl.Series(["a", "b"])
    monkeypatch.setattr(Path, "mkdir", refuse)
    if number == errno.ENOSPC:
        with pytest.raises(OSError, match="No space left"):
            cache.put(b"value", "key")
        return
    cache.put(b"value", "key")
    assert cache.get("key") is None
    assert cache.rows("t", rows, Counting()).equals(Counting()(rows))
