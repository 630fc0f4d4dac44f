"""Read Terraform blocks: resources, modules, data, variables, outputs and providers."""

import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile

_BLOCK = re.compile(r"^(resource|module|data|provider|variable|output)\s+\"([^\"]+)\"(?:\s+\"([^\"]+)\")?\s*\{")
_SOURCE = re.compile(r"^\s*source\s*=\s*\"([^\"]+)\"")
_DESCRIPTION = re.compile(r"^\s*description\s*=\s*\"([^\"]*)\"")


def applies_to(file: SourceFile) -> bool:
    return file.name.endswith((".tf", ".tofu"))


def facts(file: SourceFile) -> Iterator[Fact]:
    """Each top-level block; it ends at the first closing brace in column one."""
    start, name, kind, source, description = 0, "", "", "", ""
    for number, line in enumerate(file.lines, 1):
        match = _BLOCK.match(line)
        if match:
            start, kind, source, description = number, match[1], match[2], ""
            name = ".".join(part for part in match.groups() if part)
        if start and (attribute := _SOURCE.match(line)) and kind == "module":
            source = attribute[1]
        if start and (attribute := _DESCRIPTION.match(line)):
            description = attribute[1]
        if start and (line.startswith("}") or (match and line.rstrip().endswith("}"))):
            documentation = description or file.comment_above(start)
            label = "summary" if description else "comment"
            yield Fact(
                start,
                number,
                "deployment",
                name,
                kind,
                source,
                "terraform",
                documentation or None,
                label if documentation else None,
            )
            start = 0
