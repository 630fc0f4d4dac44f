"""Code formatters: run a formatter on many texts in one process."""

import json
import os
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import ClassVar, NamedTuple

_MOST_FILES = 5000
"""Names of files on one command line; Linux allows 2 MiB."""


class FormatterError(RuntimeError):
    pass


class Style(NamedTuple):
    name: str
    options: tuple[str, ...]


class Formatter(ABC):
    """A code formatter installed from a wheel."""

    name: ClassVar[str]
    """Distribution on PyPI, unique."""
    version: ClassVar[str]
    """The one version that makes these bytes; being in this file, it is part of the version of what is made with it."""
    endings: ClassVar[Mapping[str, str]]
    """Languages claimed, with the ending of the files that it takes for theirs."""
    styles: ClassVar[tuple[Style, ...]]
    """Styles to choose from."""

    @abstractmethod
    def command(self, style: Style) -> list[str]:
        pass

    def check_version(self) -> None:
        requirement = f"{self.name}=={self.version}"
        try:
            installed = metadata.version(self.name)
        except metadata.PackageNotFoundError:
            installed = "none"
        if installed != self.version:
            raise FormatterError(
                f"augmentation needs {requirement} to format code, but found {installed}: another "
                f"version gives other bytes. Run `pip install {requirement}`, or set "
                "augmentation.reformatted_share in params.yaml to 0"
            )

    def formatted(self, texts: Sequence[bytes], language: str, style: Style) -> list[bytes]:
        """Format each text independently; one that the formatter rejects is returned unchanged."""
        parts = (texts[first : first + _MOST_FILES] for first in range(0, len(texts), _MOST_FILES))
        return [text for part in parts for text in self._formatted(part, language, style)]

    def _formatted(self, texts: Sequence[bytes], language: str, style: Style) -> list[bytes]:
        with tempfile.TemporaryDirectory(prefix="cortex-format-") as folder:
            files = [Path(folder) / f"{n}{self.endings[language]}" for n in range(len(texts))]
            for file, text in zip(files, texts, strict=True):
                file.write_bytes(text)
            if self._ends_well(style, files):
                return [file.read_bytes() for file in files]
        if len(texts) == 1:
            return list(texts)
        # it crashed on one text, which must not affect the others
        halves = texts[: len(texts) // 2], texts[len(texts) // 2 :]
        return [text for half in halves for text in self._formatted(half, language, style)]

    def _ends_well(self, style: Style, files: Sequence[Path]) -> bool:
        try:
            completed = subprocess.run(
                [*self.command(style), *(file.name for file in files)],
                cwd=files[0].parent,
                env=os.environ | {"RAYON_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
        except OSError as error:
            raise FormatterError(f"{self.name} cannot be started: {error}") from error
        return completed.returncode >= 0


# Only what lays out: breaking a string or a comment in two would change more than that.
_FIXED = {"BreakStringLiterals": False, "SortIncludes": "Never", "InsertTrailingCommas": "None"}


def _style(name: str, **options: object) -> Style:
    return Style(name, (f"--style={json.dumps(options | _FIXED)}",))


class ClangFormat(Formatter):
    name = "clang_format"
    version = "23.1.5"
    endings: ClassVar = {"java": ".java", "javascript": ".js", "typescript": ".ts"}
    styles = (
        _style("google", BasedOnStyle="Google"),
        _style("microsoft", BasedOnStyle="Microsoft", JavaScriptQuotes="Double"),
        _style("webkit", BasedOnStyle="WebKit", JavaScriptQuotes="Single"),
        _style("llvm", BasedOnStyle="LLVM", IndentWidth=4, ColumnLimit=100),
    )

    def command(self, style: Style) -> list[str]:
        from clang_format import get_executable

        return [str(get_executable("clang-format")), "-i", *style.options]


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


FORMATTERS: tuple[Formatter, ...] = (ClangFormat(), Ruff())
