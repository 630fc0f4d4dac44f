"""Variants of train units: renamed or rewritten."""

import re

import polars as pl

from cortex_pipelines.datasets.assemble.selection import RENAMED, REWRITTEN

RENAMED_COLUMNS = ("unit_id", "variant", "renamed_code", "renames")
"""Columns of RENAMED_UNITS that examples are made from."""
REWRITTEN_COLUMNS = ("unit_id", "rewrite", "family", "rewritten_code")
"""Columns of REWRITTEN_UNITS that examples are made from."""
# A different layout is not the project's own: prefer structural and renamed variants.
_LAYOUT_WEIGHT = 0.25

_TOKEN = re.compile(r"\w+|[^\w\s]")


def renamed_variants(renamed: pl.DataFrame) -> pl.DataFrame:
    """Columns ``unit_id``, ``origin``, ``variant_code``, ``variant_weight`` of RENAMED_UNITS."""
    return renamed.select(
        "unit_id",
        pl.lit(RENAMED).alias("origin"),
        pl.col("renamed_code").alias("variant_code"),
        pl.lit(1.0).alias("variant_weight"),
    )


def rewritten_variants(rewritten: pl.DataFrame) -> pl.DataFrame:
    """The same columns of REWRITTEN_UNITS; ``origin`` is for example ``rewritten:reindented``."""
    return rewritten.select(
        "unit_id",
        pl.concat_str(pl.lit(REWRITTEN), "rewrite").alias("origin"),
        pl.col("rewritten_code").alias("variant_code"),
        pl.when(pl.col("family") == "layout").then(_LAYOUT_WEIGHT).otherwise(1.0).alias("variant_weight"),
    )


def train_variants(originals: pl.DataFrame, variants: pl.DataFrame) -> pl.DataFrame:
    """Train units with the code of their variants and the start of each body.

    A variant whose body cannot be separated from its header is left out. Returns units with ``origin``; their weight
    is that of the unit times that of the variant.
    ``originals``: units with their ``split`` and ``weight``. ``variants``: ``unit_id``, ``origin``, ``variant_code``
    and ``variant_weight``.
    """
    train = originals.filter(pl.col("split") == "train")
    with_variants = train.join(variants, on="unit_id", how="inner", maintain_order="left_right")
    starts = [
        None if body is None else start + (map_offset(code, new, body - start) or 0)
        for code, new, start, body in with_variants.select(
            "code", "variant_code", "start_byte", "body_start_byte"
        ).iter_rows()
    ]
    variant_units = with_variants.with_columns(
        pl.col("variant_code").alias("code"),
        (pl.col("weight") * pl.col("variant_weight")).alias("weight"),
        pl.Series("body_start_byte", starts, dtype=pl.Int64),
    )
    lost = pl.col("body_start_byte").is_not_null() & (pl.col("body_start_byte") <= pl.col("start_byte"))
    return variant_units.filter(~lost).drop("variant_code", "variant_weight")


def map_offset(code: str, changed: str, offset: int) -> int | None:
    """Map an offset to the changed code.

    Returns the byte in ``changed``; None if they share neither the beginning nor the number of tokens.
    """
    head = code.encode()[:offset].decode("utf-8", "replace")
    if changed.startswith(head):
        return offset
    before, all_tokens = len(_TOKEN.findall(head)), len(_TOKEN.findall(code))
    token_starts = [match.start() for match in _TOKEN.finditer(changed)]
    if len(token_starts) != all_tokens or before >= len(token_starts):
        return None
    return len(changed[: token_starts[before]].encode())
