"""Variants of train units: other prompts for the same answers.

A variant is a unit with other names, comments or another layout. What it changes stands in the prompt or after the gap
alone; an answer is always the project's own text, byte for byte.
"""

import polars as pl

from cortex_pipelines.datasets.assemble.selection import RENAMED, REWRITTEN

RENAMED_COLUMNS = ("unit_id", "variant", "renamed_code", "renames")
"""Columns of RENAMED_UNITS that examples are made from."""
REWRITTEN_COLUMNS = ("unit_id", "rewrite", "rewritten_code")
"""Columns of REWRITTEN_UNITS that examples are made from."""
_CHANGED = ("prompt", "suffix")


def variant_codes(renamed: pl.DataFrame, rewritten: pl.DataFrame) -> pl.DataFrame:
    """Columns ``unit_id``, ``variant_code`` and ``origin``, for example ``rewritten:comments_removed``."""
    origin = pl.concat_str(pl.lit(REWRITTEN), "rewrite").alias("origin")
    return pl.concat(
        [
            renamed.select("unit_id", pl.lit(RENAMED).alias("origin"), variant_code="renamed_code"),
            rewritten.select("unit_id", origin, variant_code="rewritten_code"),
        ]
    )


def renamed_units(units: pl.DataFrame, renamed: pl.DataFrame) -> pl.DataFrame:
    """Train units with the code of their renamed variants, whose own names are the answers."""
    codes = renamed.select("unit_id", pl.col("renamed_code").alias("code"))
    return units.filter(split="train").drop("code").join(codes, on="unit_id", maintain_order="left_right")


def gap_variants(gaps: pl.DataFrame, codes: pl.DataFrame) -> pl.DataFrame:
    """Gaps of train functions in the code of their variants, where that has the answer's lines unchanged.

    ``gaps``: rows of ``infilling_candidates``. ``codes``: see ``variant_codes``.
    """
    train = gaps.filter(pl.col("not_made").is_null(), split="train")
    rows = train.drop("origin", strict=False).join(codes, on="unit_id", maintain_order="left_right")
    columns = ("code", "variant_code", "prompt", "completion", "suffix")
    changed = [_around_answer(*row) for row in rows.select(columns).iter_rows()]
    schema = dict.fromkeys(_CHANGED, pl.String)
    return rows.drop("variant_code", *_CHANGED).hstack(pl.DataFrame(changed, schema, orient="row")).drop_nulls("prompt")


def _around_answer(code: str, variant: str, prompt: str, answer: str, suffix: str) -> tuple[str | None, str | None]:
    """Prompt and suffix with the variant's code around the answer; None unless it has the answer exactly once."""
    old, new = (f"{text.rstrip()}\n".split(f"\n{answer}\n") for text in (code, variant))
    if len(old) != 2 or len(new) != 2 or old == new:
        return None, None
    before, new_before = (f"{head}\n" for head, _ in (old, new))
    after, new_after = (f"\n{tail}".rstrip() for _, tail in (old, new))
    if not prompt.endswith(before) or not suffix.startswith(after):
        return None, None
    return prompt.removesuffix(before) + new_before, new_after + suffix.removeprefix(after)
