"""Ruff: Python in Black's style, and in other widths and quotes."""

from typing import ClassVar

from cortex_pipelines.augmentation.rewriting.formatter import Formatter, Style


class Ruff(Formatter):
    name = "ruff"
    version = "0.17.5"
    endings: ClassVar = {"python": ".py"}
    styles = (
        Style("black", ("line-length=88", "format.quote-style='double'")),
        Style("pep8", ("line-length=79", "format.quote-style='single'")),
        Style("google", ("line-length=80", "format.quote-style='preserve'", "indent-width=2")),
        Style("wide", ("line-length=120", "format.skip-magic-trailing-comma=true")),
    )

    def command(self, style: Style) -> list[str]:
        from ruff import find_ruff_bin

        fixed = ("exclude=[]", "respect-gitignore=false")
        options = [word for option in (*fixed, *style.options) for word in ("--config", option)]
        return [
            find_ruff_bin(),
            *("format", "--isolated", "--no-cache", "--silent", "--target-version", "py311"),
            *options,
        ]
