"""Properties of a file that depend on its path and bytes alone, so that they can be cached."""

import re
from typing import Any

import polars as pl

from cortex_pipelines.ingestion.entries import File, blob_id
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.ingestion.files.notebooks import NotebookError, read_notebook
from cortex_pipelines.ingestion.licences.detect import stated_licences
from cortex_pipelines.ingestion.redactions import REDACTION, redaction_rows
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.privacy.redaction import redact_text
from cortex_pipelines.privacy.settings import PrivacySettings

_FOLDERS = frozenset(
    {"node_modules", "bower_components", "site-packages", ".yarn", "vendor", "vendored", "_vendor"}
    | {"third_party", "third-party", "thirdparty"}
)
_NAMES = re.compile(
    r"[.-]min\.(js|mjs|cjs|css)$"
    r"|\.(bundle|chunk)\.js$"
    r"|_pb2(_grpc)?\.pyi?$|\.pb\.(go|h|cc)$|_pb\.(js|d\.ts)$|\.pb\.gw\.go$"
    r"|[._](generated|gen|g)\.\w+$|^zz_generated"
    r"|^(package-lock|npm-shrinkwrap)\.json$|\.lock$|^pnpm-lock\.yaml$|^go\.sum$"
)
# A mark counts in a comment only: code may well handle text that says so. One may speak of what is generated, too:
# before that word nothing but the file is named.
_MARK = re.compile(
    r"^\s*(?:#|//|/?\*|--|;|<!--|\"\"\"|%|'''|REM\b)(?:.*?"
    r"(?:code generated\b.*\bdo not edit|@generated\b|\bdo not (?:edit|modify) (?:this file|by hand|manually)"
    r"|\bgenerated (?:by|from|with) .*do not (?:edit|modify)"
    r"|this (?:file (?:is|was) generated|is a generated file)\b)"
    r"|\W*+(?>(?:[\w-]+\.\w+|this|the|file|code|content|module|source|class|is|was|has|been|an?|note|warning)\b\W*)*+"
    r"(?:auto[ -]?|automatically[ -]|machine[ -])generated\b)",
    re.IGNORECASE,
)
# What a generator writes may say no more than that, in its first comment: migrations of Django, parsers of ANTLR.
_FIRST_COMMENT = re.compile(
    r"\ufeff?(?:#!.*\n)?(?:#.{0,80}coding.{0,80}\n)?\s*(?:#|//|/\*|--|;|<!--|%)[ *]*"
    r"generated (?:by|from|with) .{1,200}$",
    re.IGNORECASE | re.MULTILINE,
)
# A copy of another project's release among the files that a site serves or tests read: its banner has its version.
_ASSETS = frozenset(
    {"static", "public", "assets", "wwwroot", "webroot"}
    | {"test", "tests", "testdata", "fixtures", "__fixtures__", "bench", "benchmarks"}
)
_RELEASE = re.compile(r"\s*/\*!(?:(?!\*/).){0,400}?\d\.\d{1,4}\.\d", re.DOTALL)
# A compiler or bundler ends what it writes with the place of its source map.
_SOURCE_MAP = re.compile(r"\s*(?://|/\*)[#@]\s*sourceMappingURL=\S")
# What a bundler writes begins with its loader, however long the lines of comments and texts within are.
_BUNDLE = re.compile(r"(?:webpack|rspack)(?:Chunk|Jsonp|UniversalModule)|\b__webpack_require__\b|\bparcelRequire")
_HEAD = 1_000
# A text with blanks, such as the classes of a component or the path of an icon, may be long in any code.
_TEXT = re.compile(r"""(["'`])[^"'`\n]*+\1""")
_MINIFIABLE = frozenset({"javascript", "typescript", "css"})


def is_generated(path: str, language: str | None, text: str, settings: IngestionSettings) -> bool:
    *folders, name = path.split("/")
    if _FOLDERS.intersection(folders) or _NAMES.search(name):
        return True
    head = text.split("\n", settings.generated_head_lines)[: settings.generated_head_lines]
    # a mark stands on a short line; one of a megabyte would be searched for ever
    if _FIRST_COMMENT.match(text) or any(_MARK.match(line[:400]) for line in head):
        return True
    if language not in _MINIFIABLE:
        return False
    if _ASSETS.intersection(folders) and _RELEASE.match(text):
        return True
    last = text.rstrip().rpartition("\n")[2]
    if _SOURCE_MAP.match(last) or _BUNDLE.search(text, 0, _HEAD):
        return True
    lines = text.splitlines() or [""]
    if max(map(len, lines)) <= settings.minified_line_chars:
        return False
    sizes = [len(line) - sum(len(match[0]) for match in _TEXT.finditer(line) if " " in match[0]) for line in lines]
    return max(sizes) > settings.minified_line_chars and sum(sizes) / len(sizes) > settings.minified_mean_chars


_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "cache_key": pl.String,
    "reason": pl.String,  # why the text is missing; null if it is present
    "detail": pl.String,
    "blob": pl.String,
    "language": pl.String,
    "generated": pl.Boolean,
    "notebook": pl.Boolean,
    "header": pl.String,  # licence that the file states of itself
    "stated": pl.String,  # licence that it states of its folder
    "stated_by": pl.String,
    "text": pl.String,
    "redactions": REDACTION,
}
CONTENT = pl.Schema(_COLUMNS)

_LARGE_FILE_POINTER = b"version https://git-lfs."


def content_of(file: File, settings: IngestionSettings, privacy: PrivacySettings, key: bytes) -> dict[str, Any]:
    """Columns of ``CONTENT`` for one file, without the key."""
    fields: dict[str, Any] = dict.fromkeys(CONTENT) | {"blob": blob_id(file.data)}
    if b"\0" in file.data:
        return fields | {"reason": "binary", "detail": "holds NUL bytes"}
    if file.data.startswith(_LARGE_FILE_POINTER):
        return fields | {"reason": "large_file_pointer", "detail": "stands for a file kept elsewhere"}
    try:
        text = file.data.decode("utf-8")
    except UnicodeDecodeError as error:
        return fields | {"reason": "not_utf8", "detail": f"not UTF-8 at byte {error.start}"}
    language = language_of(file.path, text)
    is_notebook = language == "jupyter"
    if is_notebook:
        try:
            notebook = read_notebook(text)
        except NotebookError as error:
            return fields | {"reason": "damaged_notebook", "detail": str(error)}
        language, text = notebook.language, notebook.text
    header, stated, stated_by = stated_licences(file.path, language, text, settings.licence_head_lines)
    redacted = redact_text(text, file.path, language, privacy, key)
    return fields | {
        "language": language,
        "generated": is_generated(file.path, language, text, settings),
        "notebook": is_notebook,
        "header": header,
        "stated": stated,
        "stated_by": stated_by,
        "text": redacted.text,
        "redactions": redaction_rows(redacted.redactions),
    }
