"""Data sets in the shapes that the usual trainers take."""

import polars as pl

FIM_MARKERS = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
"""Plain-text markers of a gap (StarCoder's names), for a base without tokens of its own."""


def prompt_completion_view(
    frame: pl.DataFrame, markers: tuple[str, str, str] = FIM_MARKERS
) -> pl.DataFrame:
    """Columns ``prompt`` and ``completion``; a gap's suffix stands in the prompt, between markers.

    Args:
        frame: Rows of a data set.
        markers: What stands before the prefix, the suffix and the middle.
    """
    return frame.select(_prompt(frame, markers).alias("prompt"), "completion")


def chat_view(frame: pl.DataFrame, markers: tuple[str, str, str] = FIM_MARKERS) -> pl.DataFrame:
    """Column ``messages``: what the user asks and what the assistant answers.

    Where a row has an explanation, the answer begins with it.

    Args:
        frame: Rows of a data set.
        markers: What stands before the prefix, the suffix and the middle.
    """
    answer = pl.col("completion")
    if "explanation" in frame.columns:
        answer = pl.concat_str(pl.col("explanation"), answer, separator="\n\n")
    user = pl.struct(pl.lit("user").alias("role"), _prompt(frame, markers).alias("content"))
    assistant = pl.struct(pl.lit("assistant").alias("role"), answer.alias("content"))
    return frame.select(pl.concat_list(user, assistant).alias("messages"))


def _prompt(frame: pl.DataFrame, markers: tuple[str, str, str]) -> pl.Expr:
    prompt = pl.col("prompt")
    if "suffix" not in frame.columns:
        return prompt
    prefix, suffix, middle = map(pl.lit, markers)
    gap = pl.concat_str(prefix, prompt, suffix, pl.col("suffix"), middle)
    return pl.when(pl.col("suffix") != "").then(gap).otherwise(prompt)
