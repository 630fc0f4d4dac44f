"""Issues and reviews as files of a project, one file a row, read like all other files.

An issue is a page of Markdown. A review is JSON in the form that its reader knows from exports: of
GitHub where it comes with a piece of a difference, of GitLab where the code stands in columns.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cortex_pipelines.ingestion.connectors.declared import DltSource
from cortex_pipelines.ingestion.connectors.snapshot import snapshot_rows
from cortex_pipelines.ingestion.entries import Entries, File, SourceLimits

_ISSUES = "issues/"
_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def read_rows(source: DltSource, sha256: str, root: Path, limits: SourceLimits) -> Entries:
    for table, row in snapshot_rows(source, sha256, root):
        if limits.full:
            return
        file = _file(source.tables[table].rows, _name(table), row)
        yield limits.check(file.path, len(file.data)) or file


def is_issue(source: str, path: str) -> bool:
    return source.startswith("dlt:") and path.startswith(_ISSUES)


def _file(kind: str, table: str, row: Mapping[str, Any]) -> File:
    if kind == "issues":
        title = " ".join(str(row.get("title", "")).split())
        page = f"# {title}\n\n{str(row.get('text', '')).strip()}\n"
        return File(f"{_ISSUES}{table}/{_name(str(row['id']))}.md", page.encode())
    document = json.dumps(_exported(row), sort_keys=True, indent=1, ensure_ascii=False)
    digest = hashlib.sha256(document.encode()).hexdigest()[:32]
    return File(f"reviews/{table}/{digest}.json", f"{document}\n".encode())


def _exported(row: Mapping[str, Any]) -> Mapping[str, Any]:
    body = row.get("body") or " "  # what has none is accounted for by the reader, if it sees it
    if "diff_hunk" in row:
        return {**row, "body": body}
    return {
        "position": {"new_path": row["path"]},
        "body": body,
        "suggestions": [{"from_content": row.get("before", ""), "to_content": row.get("after", "")}],
    }


def _name(name: str) -> str:
    if _HARMLESS.fullmatch(name):
        return name
    return hashlib.sha256(name.encode()).hexdigest()[:32]
