"""Redaction of text that people type."""

from cortex_pipelines.privacy.pseudonyms import logs_key
from cortex_pipelines.privacy.records import redact_record
from cortex_pipelines.privacy.settings import PrivacySettings


def redacted(settings: PrivacySettings, text: str) -> tuple[str, int]:
    """The text without private values, and their number."""
    record = redact_record({"text": text}, settings, logs_key(settings))
    return str(record.value["text"]), len(record.redactions)
