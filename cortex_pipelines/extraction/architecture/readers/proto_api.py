"""Read services and messages of Protocol Buffers."""

import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile

_MAX_DEPTH = 64
# strings and comments hide what looks like a declaration
_PART = re.compile(
    r"(?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))|(?P<text>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"
    r"|\b(?P<kind>service|message|enum|oneof|extend)\s+(?P<name>[\w.]+)\s*\{"
    r"|\brpc\s+(?P<rpc>\w+)\s*\(\s*(?P<given>(?:stream\s+)?[\w.]+)\s*\)\s*returns\s*"
    r"\(\s*(?P<gives>(?:stream\s+)?[\w.]+)\s*\)"
    r"|(?P<open>\{)|(?P<close>\})"
    r"|^[ \t]*(?P<field>(?:repeated\s+|optional\s+|required\s+)?(?:map\s*<[^<>\n]*>|[\w.]+)\s+\w+)"
    r"\s*=\s*\d+",
    re.DOTALL | re.MULTILINE,
)


def applies_to(file: SourceFile) -> bool:
    return file.name.endswith(".proto")


def facts(file: SourceFile) -> Iterator[Fact]:
    """Each service, method and message, and the fields of messages."""
    open_blocks: list[tuple[str, str, int]] = []
    line, offset = 1, 0
    for match in _PART.finditer(file.text):
        line += file.text.count("\n", offset, match.start())
        offset = match.start()
        if match["comment"] or match["text"]:
            continue
        if len(open_blocks) > _MAX_DEPTH:
            return
        outer = [name for kind, name, _ in open_blocks if kind in ("message", "service")]
        if match["kind"]:
            open_blocks.append((match["kind"], match["name"], line))
        elif match["open"]:
            open_blocks.append(("", "", line))
        elif match["close"] and open_blocks:
            kind, name, start = open_blocks.pop()
            yield from _block_fact(file, kind, ".".join([*outer[:-1], name]), start, line)
        elif match["rpc"]:
            last = line + match[0].count("\n")
            yield _fact(
                file,
                line,
                last,
                ".".join([*outer, match["rpc"]]),
                "rpc",
                f"{_single_spaced(match['given'])} -> {_single_spaced(match['gives'])}",
            )
        elif match["field"] and outer and open_blocks[-1][0] in ("message", "oneof"):
            field_line = line + match[0][: match.start("field") - match.start()].count("\n")
            words = _single_spaced(match["field"]).rsplit(" ", 1)
            yield Fact(field_line, field_line, "api", ".".join(outer), "field", f"{words[1]} {words[0]}", "proto")


def _block_fact(file: SourceFile, kind: str, name: str, start: int, end: int) -> Iterator[Fact]:
    if kind in ("service", "message", "enum"):
        yield _fact(file, start, end, name, kind, name)


def _fact(file: SourceFile, start: int, end: int, subject: str, relation: str, object_name: str) -> Fact:
    comment = file.comment_above(start)
    return Fact(start, end, "api", subject, relation, object_name, "proto", comment,
                "comment" if comment else None)  # fmt: skip


def _single_spaced(words: str) -> str:
    return " ".join(words.split())
