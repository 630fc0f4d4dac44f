"""Findings of an open file as diagnostics, and their fixes and suppressions as code actions.

Each function takes the document in the version in which the findings were made.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from lsprotocol import types

from cortex_pipelines.check.findings import Finding, LineEdit, disjoint
from cortex_pipelines.language_server.documents import OpenDocument

QUICK_FIX = types.CodeActionKind.QuickFix.value
FIX_ALL = f"{types.CodeActionKind.SourceFixAll.value}.cortex"
"""Kind of the action that editors can be set to take on save."""


def diagnostic(document: OpenDocument, finding: Finding) -> types.Diagnostic:
    warning = types.DiagnosticSeverity.Warning
    return types.Diagnostic(_range(document, finding), finding.message, warning, code=finding.rule, source="cortex")


def code_actions(
    document: OpenDocument, findings: Sequence[Finding], selection: types.Range, versioned: bool
) -> Iterator[types.CodeAction]:
    """Fixes and suppressions of the findings that a range touches, and the fixes of the whole file.

    ``versioned``: the editor takes edits that hold for one version only.
    """

    def action(kind: str, title: str, edits: Iterable[LineEdit], finding: Finding | None = None) -> types.CodeAction:
        change = _workspace_edit(document, edits, versioned)
        diagnostics = None if finding is None else [diagnostic(document, finding)]
        return types.CodeAction(title, kind, diagnostics, edit=change)

    spans = [(finding, _range(document, finding)) for finding in findings]
    touched = [finding for finding, span in spans if span.start <= selection.end and selection.start <= span.end]
    for finding in touched:
        if (fix := finding.fix) is not None:
            note = "" if fix.keeps_behaviour else " (changes behaviour)"
            fix_action = action(QUICK_FIX, f"{finding.rule}: {fix.description}{note}", fix.edits, finding)
            fix_action.is_preferred = fix.keeps_behaviour
            yield fix_action
    for rule in dict.fromkeys(finding.rule for finding in touched):
        fixable = disjoint([finding for finding in findings if finding.rule == rule and finding.fix])
        if len(fixable) > 1:
            yield action(QUICK_FIX, f"Fix all {len(fixable)} {rule} in this file", _edits(fixable))
    for finding in touched:
        if (comment := _suppression(document, finding)) is not None:
            yield action(QUICK_FIX, f"Ignore {finding.rule} here", [comment], finding)
    safe = disjoint([finding for finding in findings if finding.fix and finding.fix.keeps_behaviour])
    if safe:
        yield action(FIX_ALL, "Fix all that keeps behaviour", _edits(safe))


def _edits(findings: Iterable[Finding]) -> list[LineEdit]:
    return sorted(edit for finding in findings if finding.fix for edit in finding.fix.edits)


def _suppression(document: OpenDocument, finding: Finding) -> LineEdit | None:
    """A comment that silences a finding: at the end of its line, else above it; None if neither would be a comment."""
    from cortex_pipelines.check.checked_file import read_checked, suppression_filter

    lines = document.source.split("\n")
    file = read_checked(finding.path, document.source)
    line = lines[finding.line - 1].rstrip("\r")
    comment = f"{'#' if file.language == 'python' else '//'} cortex: ignore[{finding.rule}]"
    indent = line[: len(line) - len(line.lstrip())]
    for text, column, shift in ((f"  {comment}", len(line), 0), (f"{comment}\n{indent}", len(indent), 1)):
        changed = [*lines]
        changed[finding.line - 1] = line[:column] + text + line[column:]
        after = read_checked(finding.path, "\n".join(changed))
        is_silenced = suppression_filter(after)(replace(finding, line=finding.line + shift))
        if is_silenced and after.tree.root_node.has_error <= file.tree.root_node.has_error:
            return LineEdit(finding.line, column + 1, finding.line, column + 1, text)
    return None


def _workspace_edit(document: OpenDocument, edits: Iterable[LineEdit], versioned: bool) -> types.WorkspaceEdit:
    text_edits = [types.TextEdit(_range(document, edit), document.with_own_line_ends(edit.text)) for edit in edits]
    if not versioned:
        return types.WorkspaceEdit({document.uri: text_edits})
    identifier = types.OptionalVersionedTextDocumentIdentifier(document.uri, document.version)
    return types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(identifier, text_edits)])


def _range(document: OpenDocument, span: Finding | LineEdit) -> types.Range:
    return types.Range(
        document.position_in_lines(span.line, span.column), document.position_in_lines(span.end_line, span.end_column)
    )
