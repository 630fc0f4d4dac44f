"""Read APIs from their descriptions: OpenAPI and Swagger documents, Protocol Buffers."""

import re
from collections.abc import Iterator

from cortex_pipelines.extraction.architecture.facts import METHODS, Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile, fact_reader, numbered_matches

_OPENAPI = re.compile(r"^[ \t]*[{]?[ \t]*[\"']?(openapi|swagger)[\"']?[ \t]*:[ \t]*[\"']?[123]\.", re.MULTILINE)


@fact_reader(lambda file: file.language in ("yaml", "json") and bool(_OPENAPI.search(file.text[:4000])))
def openapi(file: SourceFile) -> Iterator[Fact]:
    for document in file.yaml[:1]:
        title = document.scalar("info", "title") or file.name
        version, description = document.scalar("info", "version"), document.scalar("info", "description")
        yield Fact(1, document.end_line, "api", title, "api", version, "openapi", description, "summary")
        base = document.scalar("basePath").rstrip("/")
        for path, _, operations in document.children("paths"):
            for method, lines, operation in operations.children():
                if method.upper() in METHODS:
                    subject, identifier = f"{method.upper()} {base}{path}", operation.scalar("operationId")
                    description = operation.scalar("summary") or operation.scalar("description")
                    yield Fact(*lines, "api", subject, "operation", identifier, "openapi", description, "summary")
        for name, lines, schema in (*document.children("components", "schemas"), *document.children("definitions")):
            kind, description = schema.scalar("type"), schema.scalar("description")
            yield Fact(*lines, "api", name, "message", kind, "openapi", description, "summary")
            for field_name, field_lines, field in schema.children("properties"):
                kind = field.scalar("type") or field.scalar("$ref").rsplit("/", 1)[-1]
                yield Fact(*field_lines, "api", name, "field", f"{field_name} {kind}".strip(), "openapi")


_MAX_DEPTH = 64
# strings and comments hide what looks like a declaration
_PROTO = re.compile(
    r"(?P<hidden>//[^\n]*|/\*.*?(?:\*/|\Z)|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"
    r"|\b(?P<kind>service|message|enum|oneof|extend)\s+(?P<name>[\w.]+)\s*\{"
    r"|\brpc\s+(?P<rpc>\w+)\s*\(\s*(?P<given>(?:stream\s+)?[\w.]+)\s*\)\s*returns\s*"
    r"\(\s*(?P<gives>(?:stream\s+)?[\w.]+)\s*\)"
    r"|(?P<open>\{)|(?P<close>\})"
    r"|^[ \t]*(?P<field>(?:repeated\s+|optional\s+|required\s+)?(?:map\s*<[^<>\n]*>|[\w.]+)\s+\w+)"
    r"\s*=\s*\d+",
    re.DOTALL | re.MULTILINE,
)


@fact_reader(lambda file: file.name.endswith(".proto"))
def proto_api(file: SourceFile) -> Iterator[Fact]:
    open_blocks: list[tuple[str, str, int]] = []
    for line, match in numbered_matches(_PROTO, file.text):
        if match["hidden"]:
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
            if kind in ("service", "message", "enum"):
                comment = file.comment_above(start)
                subject = ".".join([*outer[:-1], name])
                yield Fact(start, line, "api", subject, kind, subject, "proto", comment, "comment")
        elif match["rpc"]:
            lines, subject = (line, line + match[0].count("\n")), ".".join([*outer, match["rpc"]])
            signature = " ".join([*match["given"].split(), "->", *match["gives"].split()])
            yield Fact(*lines, "api", subject, "rpc", signature, "proto", file.comment_above(line), "comment")
        elif match["field"] and outer and open_blocks[-1][0] in ("message", "oneof"):
            *field_type, name = match["field"].split()
            yield Fact(line, line, "api", ".".join(outer), "field", " ".join([name, *field_type]), "proto")
