"""Variants of train units with other names for their variables."""

import re

import polars as pl

RENAMED_COLUMNS = ("unit_id", "variant", "renamed_code", "renames")
"""Columns of RENAMED_UNITS that examples are made from."""

_TOKEN = re.compile(r"\w+|[^\w\s]")


def train_variants(originals: pl.DataFrame, renamed: pl.DataFrame) -> pl.DataFrame:
    """Train units with the code of their variants, each with where its body begins.

    Args:
        originals: Units with their ``split``.
        renamed: RENAMED_UNITS of the same project.
    """
    train = originals.filter(pl.col("split") == "train")
    changed = renamed.select("unit_id", "variant", "renamed_code")
    joined = train.join(changed, on="unit_id", how="inner", maintain_order="left_right")
    starts = [
        None if body is None else start + (moved_offset(code, new, body - start) or 0)
        for code, new, start, body in joined.select(
            "code", "renamed_code", "start_byte", "body_start_byte"
        ).iter_rows()
    ]
    moved = joined.with_columns(
        pl.col("renamed_code").alias("code"),
        pl.Series("body_start_byte", starts, dtype=pl.Int64),
    )
    lost = pl.col("body_start_byte").is_not_null() & (
        pl.col("body_start_byte") <= pl.col("start_byte")
    )
    return moved.filter(~lost).drop("renamed_code", "variant")


def moved_offset(code: str, renamed: str, offset: int) -> int | None:
    """Where a place of some code is after names in it were replaced by others.

    Args:
        code: The code.
        renamed: The same, with other names: token for token.
        offset: Byte in the code, where a token begins.

    Returns:
        The byte in ``renamed``; None if the two are not the same token for token.
    """
    head = code.encode()[:offset].decode("utf-8", "replace")
    if renamed.startswith(head):
        return offset
    before, all_tokens = len(_TOKEN.findall(head)), len(_TOKEN.findall(code))
    places = [match.start() for match in _TOKEN.finditer(renamed)]
    if len(places) != all_tokens or before >= len(places):
        return None
    return len(renamed[: places[before]].encode())
