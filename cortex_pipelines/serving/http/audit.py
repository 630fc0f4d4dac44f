"""``GET /audit``: the audit log."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query

from cortex_pipelines.serving.security import audit
from cortex_pipelines.serving.security.access import current_principal


def audit_router(state: Path) -> APIRouter:
    """The route ``/audit``; ``state`` is the folder of the log."""
    router = APIRouter()
    path = state / audit.FILE

    @router.get("/audit")
    def read(last: Annotated[int, Query(ge=1, le=1000)] = 100, verify: bool = False) -> dict[str, Any]:
        principal = current_principal()
        entries = [
            entry
            for entry in audit.latest_entries(path, last)
            if not principal.limited or (entry.get("model") and principal.may_use(str(entry["model"])))
        ]
        return {"entries": entries, "chain": _chain(path) if verify else None}

    return router


def _chain(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"entries": 0, "head": audit.FIRST, "problem": "", "redacted": 0}
    check = audit.verify(path)
    summary = {"entries": check.entries, "head": check.head, "problem": check.problem}
    return {**summary, "redacted": check.redacted}
