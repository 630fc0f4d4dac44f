"""``GET /audit``: who asked for what, for those who have to know."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query

from cortex_pipelines.serving.security import audit
from cortex_pipelines.serving.security.access import caller


def audit_router(state: Path) -> APIRouter:
    """The route.

    Args:
        state: Folder of the log.
    """
    router = APIRouter()
    path = state / audit.FILE

    @router.get("/audit")
    def read(
        last: Annotated[int, Query(ge=1, le=1000)] = 100, verify: bool = False
    ) -> dict[str, Any]:
        who = caller()
        entries = [
            entry
            for entry in audit.last(path, last)
            if not who.limited or (entry.get("model") and who.may_use(str(entry["model"])))
        ]
        return {"entries": entries, "chain": _chain(path) if verify else None}

    return router


def _chain(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"entries": 0, "head": audit.FIRST, "problem": "", "redacted": 0}
    seen = audit.verify(path)
    known = {"entries": seen.entries, "head": seen.head, "problem": seen.problem}
    return {**known, "redacted": seen.redacted}
