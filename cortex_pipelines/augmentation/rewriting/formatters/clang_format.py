"""clang-format: Java, JavaScript and TypeScript in published styles."""

import json
from typing import ClassVar

from cortex_pipelines.augmentation.rewriting.formatter import Formatter, Style

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
