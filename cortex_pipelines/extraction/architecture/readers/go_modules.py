"""Read Go modules from ``go.mod``."""

import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import Fact, detail
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile

_MODULE = re.compile(r"\s*module\s+\"?([^\s\"]+)")
_REQUIRE = re.compile(r"\s*(?:require\s+)?\"?([^\s\"()]+)\"?\s+v\d")


def applies_to(file: SourceFile) -> bool:
    return file.name == "go.mod"


def facts(file: SourceFile) -> Iterator[Fact]:
    """The module and its direct requirements."""
    name, block = "", ""
    for number, line in enumerate(file.lines, 1):
        code, _, remark = line.partition("//")
        words = code.split()
        block = words[0] if words[1:] == ["("] else "" if words == [")"] else block
        if match := _MODULE.match(code):
            name = match[1]
            yield Fact(number, number, "service", name, "rooted-at", file.folder, "go",
                       detail=detail(module=name))  # fmt: skip
        required = block == "require" or words[:1] == ["require"]
        match = _REQUIRE.match(code)
        if required and match and "indirect" not in remark:
            yield Fact(number, number, "service-dependency", name, "depends-on", match[1], "go")
