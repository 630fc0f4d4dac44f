"""Detect generated, vendored and minified files: kept, but not trained on."""

import re

from cortex_pipelines.ingestion.settings import IngestionSettings

_FOLDERS = frozenset(
    {"node_modules", "bower_components", "site-packages", ".yarn", "vendor", "vendored", "_vendor"}
    | {"third_party", "third-party", "thirdparty"}
)
_NAMES = re.compile(
    r"[.-]min\.(js|mjs|cjs|css)$"
    r"|\.(bundle|chunk)\.js$"
    r"|_pb2(_grpc)?\.pyi?$|\.pb\.(go|h|cc)$|_pb\.(js|d\.ts)$|\.pb\.gw\.go$"
    r"|[._](generated|gen|g)\.\w+$|^zz_generated"
    r"|^(package-lock|npm-shrinkwrap)\.json$|^(yarn|Cargo|poetry|uv|Gemfile|composer|Pipfile)\.lock$"
    r"|^pnpm-lock\.yaml$|^go\.sum$"
)
# A mark counts in a comment only: code may well handle text that says so.
_MARK = re.compile(
    r"^\s*(?:#|//|/?\*|--|;|<!--|\"\"\"|%|'''|REM\b).*?"
    r"(?:code generated\b.*\bdo not edit|@generated\b|\bdo not edit (?:this file|by hand|manually)"
    r"|\b(?:auto-?|automatically[ -]|machine[ -])generated\b|\bgenerated (?:by|from|with) .*"
    r"do not (?:edit|modify)|this file (?:is|was) generated\b)",
    re.IGNORECASE,
)
# A compiler or bundler ends what it writes with the place of its source map.
_SOURCE_MAP = re.compile(r"\s*(?://|/\*)[#@]\s*sourceMappingURL=\S")
_MINIFIABLE = frozenset({"javascript", "typescript", "css"})


def is_generated(path: str, language: str | None, text: str, settings: IngestionSettings) -> bool:
    *folders, name = path.split("/")
    if _FOLDERS.intersection(folders) or _NAMES.search(name):
        return True
    head = text.split("\n", settings.generated_head_lines)[: settings.generated_head_lines]
    # a mark stands on a short line; one of a megabyte would be searched for ever
    if any(_MARK.match(line[:400]) for line in head):
        return True
    if language not in _MINIFIABLE:
        return False
    last = text.rstrip().rpartition("\n")[2]
    return bool(_SOURCE_MAP.match(last)) or _is_minified(text, settings)


def _is_minified(text: str, settings: IngestionSettings) -> bool:
    lines = text.splitlines() or [""]
    longest, mean = max(map(len, lines)), len(text) / len(lines)
    return longest > settings.minified_line_chars and mean > settings.minified_mean_chars
