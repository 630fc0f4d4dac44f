"""Stored events of earlier versions in today's form, so that importing them again changes nothing.

Earlier versions kept some files' places with the folders above their repository, and named a
correction without a completion by its texts alone, so that two people's were one.
"""

import re
from collections.abc import Mapping
from typing import Any

from cortex_pipelines.feedback.formats import content_id, correction_id
from cortex_pipelines.privacy.detect.values import PLACEHOLDER
from cortex_pipelines.privacy.repository_paths import repository_path

FORM = 1
"""Number of today's form; a store with a lower one is brought up to it."""

_CONTENT_ID = re.compile(r"[0-9a-f]{32}")


def upgraded(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A stored event in today's form; one that has it already stays as it is.

    Args:
        fields: The event's, as they are stored.
    """
    event = dict(fields)
    if isinstance(event.get("path"), str):
        event["path"] = repository_path(event["path"], event.get("project"))
    if _named_by_content(event):
        event["completion_id"] = correction_id(event, event["completion_id"])
    return {name: value for name, value in event.items() if value is not None}


def _named_by_content(event: Mapping[str, Any]) -> bool:
    """Whether an id is of texts; those with private values taken out give it no longer."""
    name = event.get("completion_id")
    if event.get("source") != "corrections" or not isinstance(name, str):
        return False
    texts = f"{event.get('original')} {event.get('corrected')}"
    redacted = _CONTENT_ID.fullmatch(name) is not None and PLACEHOLDER.search(texts) is not None
    return redacted or name == content_id(event)
