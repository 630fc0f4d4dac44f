"""Reports as text, JSON, SARIF 2.1.0 and GitHub's workflow commands."""

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cortex_pipelines.check.check_paths import Report, ReportedFinding
from cortex_pipelines.check.findings import Finding, LineEdit
from cortex_pipelines.check.rules import explanation_of

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_FINGERPRINT = "cortexCheck/v1"


def as_text(report: Report) -> str:
    lines = [f"{_location(fixed)}: fixed {fixed.rule}: {fixed.fix.description}" for fixed in report.fixed if fixed.fix]
    lines += [f"{_location(each.finding)}: {each.finding.rule}: {each.finding.message}" for each in report.findings]
    return "".join(f"{line}\n" for line in lines)


def _location(finding: Finding) -> str:
    return f"{finding.path}:{finding.line}:{finding.column}"


def as_json(report: Report) -> str:
    document = {
        "findings": [_as_object(each.finding) | {"fingerprint": each.fingerprint} for each in report.findings],
        "fixed": [_as_object(finding) for finding in report.fixed],
        "not_checked": [{"path": path, "reason": reason} for path, reason in report.not_checked],
    }
    return json.dumps(document, indent=1) + "\n"


def _as_object(finding: Finding) -> dict[str, Any]:
    location = {name: getattr(finding, name) for name in ("path", "line", "column", "end_line", "end_column")}
    rendered: dict[str, Any] = location | {"rule": finding.rule, "message": finding.message, "fix": None}
    if finding.fix:
        edits = [{name: getattr(edit, name) for name in edit.__dataclass_fields__} for edit in finding.fix.edits]
        fix = {"description": finding.fix.description, "keeps_behaviour": finding.fix.keeps_behaviour, "edits": edits}
        rendered["fix"] = fix
    return rendered


def as_github(report: Report) -> str:
    """Annotations of a GitHub action (docs.github.com, workflow commands)."""
    return "".join(f"{line}\n" for line in map(_annotation, report.findings))


def _annotation(each: ReportedFinding) -> str:
    finding = each.finding
    span = {"file": finding.path, "line": finding.line, "endLine": finding.end_line}
    # columns count for one line only
    columns = {"col": finding.column, "endColumn": finding.end_column} if finding.line == finding.end_line else {}
    values = {**span, **columns, "title": f"cortex {finding.rule}"}
    properties = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in values.items())
    return f"::warning {properties}::{_escaped(finding.message)}"


def _escaped(value: object, signs: str = "") -> str:
    return "".join(f"%{ord(sign):02X}" if sign in f"%\r\n{signs}" else sign for sign in str(value))


def as_sarif(report: Report) -> str:
    rules = sorted({each.finding.rule for each in report.findings})
    number = {rule: index for index, rule in enumerate(rules)}
    occurrences = Counter[str]()
    results = []
    for each in report.findings:
        occurrences[each.fingerprint] += 1
        mark = f"{each.fingerprint}:{occurrences[each.fingerprint]}"
        results.append(_result(each.finding, number[each.finding.rule], mark))
    notes = [
        {
            "level": "note",
            "message": {"text": f"not checked: {reason}"},
            "locations": [{"physicalLocation": _file(path)}],
        }
        for path, reason in report.not_checked
    ]
    run = {
        "tool": {
            "driver": {
                "name": "cortex check",
                "version": version("cortex-pipelines"),
                "rules": [_rule(rule) for rule in rules],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notes}],
        "results": results,
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(name: str) -> dict[str, Any]:
    text = explanation_of(name)
    help_text = f"{text} Silence it with the comment `cortex: ignore[{name}]`."
    return {
        "id": name,
        "name": "".join(word.capitalize() for word in name.replace("/", "-").split("-")),
        "shortDescription": {"text": text},
        "help": {"text": help_text},
        "defaultConfiguration": {"level": "warning"},
    }


def _result(finding: Finding, rule: int, mark: str) -> dict[str, Any]:
    location = _file(finding.path)
    result = {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": "warning",
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": location | {"region": _region(finding)}}],
        "partialFingerprints": {_FINGERPRINT: mark},
    }
    if finding.fix:
        replacements = [
            {"deletedRegion": _region(edit), "insertedContent": {"text": edit.text}} for edit in finding.fix.edits
        ]
        change = location | {"replacements": replacements}
        result["fixes"] = [{"description": {"text": finding.fix.description}, "artifactChanges": [change]}]
    return result


def _region(span: Finding | LineEdit) -> dict[str, int]:
    return {"startLine": span.line, "startColumn": span.column, "endLine": span.end_line, "endColumn": span.end_column}


def _file(path: str) -> dict[str, Any]:
    file = Path(path)
    if file.is_absolute() and not file.is_relative_to(Path.cwd()):
        return {"artifactLocation": {"uri": file.as_uri()}}
    relative = Path(os.path.relpath(file)).as_posix()
    if relative.startswith("../"):
        return {"artifactLocation": {"uri": file.absolute().as_uri()}}
    return {"artifactLocation": {"uri": quote(relative.encode(errors="surrogateescape")), "uriBaseId": "%SRCROOT%"}}


FORMATS: Mapping[str, Callable[[Report], str]] = {
    "text": as_text,
    "json": as_json,
    "sarif": as_sarif,
    "github": as_github,
}
