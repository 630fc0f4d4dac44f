"""Read types, queries and mutations from GraphQL schemas."""

import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile

_PART = re.compile(
    r'(?P<doc>"""(?:.*?)(?:"""|\Z)|"(?:[^"\\\n]|\\.)*")|(?P<comment>\#[^\n]*)'
    r"|^[ \t]*(?:extend\s+)?(?P<kind>type|interface|input|enum|union|scalar)\s+(?P<name>\w+)"
    r"|(?P<open>\{)|(?P<close>\})"
    r"|^[ \t]*(?P<field>\w+)\s*(?P<given>\([^()]*\))?\s*:\s*(?P<gives>[\w!\[\] ]+)",
    re.DOTALL | re.MULTILINE,
)
_ROOTS = {"Query": "query", "Mutation": "mutation", "Subscription": "subscription"}


def applies_to(file: SourceFile) -> bool:
    return file.name.endswith((".graphql", ".graphqls", ".gql"))


def facts(file: SourceFile) -> Iterator[Fact]:
    """Each type with its fields; fields of the root types as operations."""
    kind, name, start, doc, depth = "", "", 0, "", 0
    line, offset = 1, 0
    for match in _PART.finditer(file.text):
        line += file.text.count("\n", offset, match.start())
        offset = match.start()
        if match["doc"]:
            doc = " ".join(match["doc"].strip('"').split())
            continue
        if match["kind"] and not depth:
            kind, name, start = match["kind"], match["name"], line
            if kind in ("union", "scalar"):
                yield _fact(line, line, name, kind, name, doc)
            description, doc = doc, ""
        elif match["open"]:
            depth += 1
        elif match["close"]:
            depth = max(depth - 1, 0)
            if not depth and name:
                yield _fact(start, line, name, _ROOTS.get(name, kind), name, description)
                name = ""
        elif match["field"] and depth == 1 and name:
            last = line + match[0].rstrip().count("\n")
            field_line = line + match[0][: match.start("field") - match.start()].count("\n")
            result_type = match["gives"].strip()
            if name in _ROOTS:
                parameters = " ".join((match["given"] or "").split())
                yield _fact(field_line, last, f"{name}.{match['field']}", _ROOTS[name],
                            f"{parameters} -> {result_type}".strip(), doc)  # fmt: skip
            else:
                yield _fact(field_line, last, name, "field", f"{match['field']} {result_type}", doc)
            doc = ""


def _fact(start: int, end: int, subject: str, relation: str, object_name: str, summary: str) -> Fact:
    return Fact(start, end, "api", subject, relation, object_name, "graphql", summary or None,
                "summary" if summary else None)  # fmt: skip
